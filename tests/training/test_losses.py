import math

import pytest
import torch

from fourfold.training.losses import action_loss, sampled_softmax_loss

NAN = float("nan")


def test_the_action_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 5.0], [torch.inf, -torch.inf]], requires_grad=True)
    labels = torch.tensor([[1.0, 0.0], [0.0, NAN], [0.0, 1.0]])
    loss = action_loss(logits, labels, torch.tensor([1.0, 3.0, 0.0]))
    assert loss.item() == pytest.approx((math.log(2) + math.log(4) + 3 * math.log(2)) / 4)
    torch.autograd.backward(loss)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[:2], torch.tensor([[-0.5, 0.75], [1.5, 0.0]]) / 4)


def test_the_sampled_softmax_by_hand() -> None:
    scores = torch.tensor([[1.0, 2.0, 9.0], [0.5, 1.5, 0.0], [9.0, 2.0, 1.0]])
    log_q = torch.tensor([0.5, 0.25, 0.5]).log()
    loss = sampled_softmax_loss(scores, log_q, torch.tensor([7, 4, 7]))
    corrected = (scores - log_q).exp()
    # Columns 0 and 2 are one item: neither is a negative of the other.
    expected = [
        corrected[0, 0] / (corrected[0, 0] + corrected[0, 1]),
        corrected[1, 1] / corrected[1].sum(),
        corrected[2, 2] / (corrected[2, 1] + corrected[2, 2]),
    ]
    torch.testing.assert_close(loss, -torch.stack(expected).log().mean())
