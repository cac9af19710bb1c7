import pytest
import torch
from torch.nn import functional

from fourfold.models.heads import ActionTowers, CrossNetwork, MemberLinear, MMoEHead, ParallelDCNv2Head


def test_members_are_separate_linear_layers() -> None:
    torch.manual_seed(0)
    layer, x = MemberLinear(3, 4, 2), torch.randn(3, 5, 4)
    for member in range(3):
        expected = functional.linear(x[member], layer.weight[member].T, layer.bias[member, 0])
        torch.testing.assert_close(layer(x)[member], expected)


def test_two_cross_layers_by_hand() -> None:
    cross = CrossNetwork(1, 2, 2)
    for down, up in zip(cross.down, cross.up, strict=True):
        assert isinstance(down, MemberLinear)
        assert isinstance(up, MemberLinear)
        down.weight.data, down.bias.data = torch.tensor([[[1.0], [2.0]]]), torch.zeros(1, 1, 1)
        up.weight.data, up.bias.data = torch.tensor([[[1.0, -1.0]]]), torch.tensor([[[0.0, 1.0]]])
    # Layer 1: d = 3 + 2 * 1 = 5, x = (3 * 5 + 3, 1 * (1 - 5) + 1) = (18, -3). Layer 2: d = 12, x = (3 * 12 + 18, -11 - 3).
    assert cross(torch.tensor([[[3.0, 1.0]]])).tolist() == [[[54.0, -14.0]]]


@pytest.mark.parametrize("passive", [(True, False, True), (False, True, False), (True, True, True), (False,)])
def test_towers_give_each_action_the_logit_of_its_own_group(passive: tuple[bool, ...]) -> None:
    torch.manual_seed(0)
    towers = ActionTowers(4, 3, passive)
    inputs = [torch.randn(5, 4) for _ in towers.groups]
    logits = towers(inputs)
    for group, tower, x in zip(towers.groups, towers.towers, inputs, strict=True):
        columns = [action for action, kind in enumerate(passive) if kind == group]
        torch.testing.assert_close(logits[:, columns], tower(x))
    assert logits.shape == (5, len(passive))


@pytest.mark.parametrize("passive", [(True, False), (True, True), (False, False)])
def test_mmoe_mixes_experts_by_the_gate_of_the_action_s_group(passive: tuple[bool, ...]) -> None:
    torch.manual_seed(0)
    head, x = MMoEHead(4, 3, passive, dropout=0.5).eval(), torch.randn(5, 4)
    found = head.experts(x.expand(6, 5, 4))
    mixed = [sum(gate(x).softmax(-1)[:, [e]] * found[e] for e in range(6)) for gate in head.gates]
    torch.testing.assert_close(head(x), head.towers(mixed))


def test_gate_dropout_acts_on_whole_experts_after_the_softmax() -> None:
    torch.manual_seed(0)
    head, x = MMoEHead(4, 3, (True,), dropout=0.5), torch.randn(1, 4)
    shares: list[torch.Tensor] = []
    head.dropout.register_forward_hook(lambda module, args, out: shares.append(torch.stack([args[0], out])))
    for _ in range(50):
        head(x)
    before, after = torch.stack(shares, dim=1)[:, :, 0]
    torch.testing.assert_close(before.sum(1), torch.ones(50))
    assert ((after == 0) | torch.isclose(after, 2 * before)).all()
    assert 0.3 < (after == 0).float().mean().item() < 0.7


def test_the_ensemble_is_the_mean_of_its_members() -> None:
    torch.manual_seed(0)
    head, x = ParallelDCNv2Head(6, 4, 3, dropout=0.1, members=3).eval(), torch.randn(5, 6)
    whole, singles = head(x), []
    for member in range(3):
        single = ParallelDCNv2Head(6, 4, 3, dropout=0.1, members=1).eval()
        single.load_state_dict({name: value[member : member + 1] for name, value in head.state_dict().items()})
        singles.append(single(x))
    torch.testing.assert_close(whole, torch.stack(singles).mean(0))
    assert not torch.allclose(singles[0], singles[1])
