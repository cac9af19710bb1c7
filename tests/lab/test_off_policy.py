"""Off-policy estimates: by hand, against the truth of a generated world, and on the Open Bandit sample where it is there."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pytest

from fourfold.lab.off_policy import Decisions, Estimate, OffPolicyError, Values, doubly_robust, ips, self_normalised


def values(*numbers: float) -> Values:
    return np.array(numbers, np.float64)


BY_HAND = Decisions(values(1, 0, 1, 0), values(0.5, 0.5, 0.25, 0.25), values(0.25, 0.25, 0.5, 0.0))
"""Weights 0.5, 0.5, 2 and 0."""


def test_estimates_by_hand() -> None:
    found = ips(BY_HAND)
    assert found.value == pytest.approx((0.5 + 2) / 4)
    assert (found.effective, found.largest, found.clipped) == pytest.approx((9 / 4.5, 2.0, 0.0))
    spread = np.std(values(0.5, 0, 2, 0), ddof=1) / 2
    assert (found.low, found.high) == pytest.approx((found.value - 1.95996 * spread, found.value + 1.95996 * spread), abs=1e-5)
    normalised = self_normalised(BY_HAND)
    assert normalised.value == pytest.approx(2.5 / 3)
    # Each decision moves the ratio by w (r - v) / mean(w).
    influence = values(0.5, 0.5, 2, 0) * (values(1, 0, 1, 0) - 2.5 / 3) / 0.75
    margin = 1.95996 * np.sqrt((influence**2).sum() * 4 / 3) / 4
    assert (normalised.low, normalised.high) == pytest.approx((2.5 / 3 - margin, 2.5 / 3 + margin), abs=1e-5)
    predicted, expected = values(0.5, 0.5, 0.5, 0.5), values(0.6, 0.6, 0.4, 0.4)
    terms = values(0.6 + 0.5 * 0.5, 0.6 - 0.5 * 0.5, 0.4 + 2 * 0.5, 0.4)
    assert doubly_robust(BY_HAND, predicted, expected).value == pytest.approx(terms.mean())


def test_clipped_weights_are_stated() -> None:
    found = ips(BY_HAND, clip=1.0)
    assert (found.value, found.largest, found.clipped) == pytest.approx(((0.5 + 1) / 4, 1.0, 0.25))


def test_the_policy_that_logged_is_worth_what_it_earned() -> None:
    same = Decisions(BY_HAND.reward, BY_HAND.propensity, BY_HAND.propensity)
    for found in (ips(same), self_normalised(same), doubly_robust(same, np.zeros(4), np.zeros(4))):
        assert found.value == pytest.approx(0.5)
        assert found.effective == 4


def test_copies_of_a_member_s_decisions_tell_nothing_new() -> None:
    rng = np.random.default_rng(0)
    reward, propensity, target = rng.integers(0, 2, 50).astype(float), rng.uniform(0.2, 0.8, 50), rng.uniform(0.2, 0.8, 50)
    member = np.arange(50)
    once = self_normalised(Decisions(reward, propensity, target, member))
    many = self_normalised(
        Decisions(np.repeat(reward, 20), np.repeat(propensity, 20), np.repeat(target, 20), np.repeat(member, 20))
    )
    assert (many.low, many.high) == pytest.approx((once.low, once.high))
    alone = self_normalised(Decisions(np.repeat(reward, 20), np.repeat(propensity, 20), np.repeat(target, 20)))
    assert alone.high - alone.low < (many.high - many.low) / 4


class Bandit:
    """Three contexts, five items: the rewards of all are known, the log shows one each, drawn by a softmax."""

    def __init__(self, seed: int, decisions: int = 4_000) -> None:
        rng = np.random.default_rng(seed)
        self.worth = np.random.default_rng(99).uniform(0.02, 0.4, (3, 5))
        logging, asked = np.exp(-4 * self.worth), np.exp(6 * self.worth)
        self.logging, self.asked = (policy / policy.sum(axis=1, keepdims=True) for policy in (logging, asked))
        context = rng.integers(0, 3, decisions)
        item = (rng.random(decisions)[:, None] > self.logging[context].cumsum(axis=1)).sum(axis=1)
        reward = (rng.random(decisions) < self.worth[context, item]).astype(float)
        self.context, self.item = context, item
        self.decisions = Decisions(reward, self.logging[context, item], self.asked[context, item])

    @property
    def truth(self) -> float:
        return float((self.asked * self.worth).sum(axis=1).mean())

    def estimates(self, model: Values) -> dict[str, Estimate]:
        expected = (self.asked * model).sum(axis=1)[self.context]
        return {
            "ips": ips(self.decisions),
            "self_normalised": self_normalised(self.decisions),
            "doubly_robust": doubly_robust(self.decisions, model[self.context, self.item], expected),
        }


def test_intervals_hold_the_truth_of_a_generated_world() -> None:
    held = dict.fromkeys(("ips", "self_normalised", "doubly_robust"), 0)
    bias = dict.fromkeys(held, 0.0)
    for seed in range(60):
        world = Bandit(seed)
        for name, found in world.estimates(world.worth).items():
            held[name] += found.low <= world.truth <= found.high
            bias[name] += (found.value - world.truth) / 60
    assert all(52 <= count <= 60 for count in held.values()), held
    assert all(abs(one) < 0.004 for one in bias.values()), bias
    # What the log earned is far from that.
    world = Bandit(0)
    assert world.decisions.reward.mean() < world.truth - 0.04


def test_doubly_robust_is_right_with_a_wrong_model_or_with_wrong_propensities() -> None:
    world = Bandit(3, 40_000)
    wrong_model = world.estimates(np.full((3, 5), 0.9))["doubly_robust"]
    assert wrong_model.value == pytest.approx(world.truth, abs=0.02)
    wrong = Decisions(world.decisions.reward, np.full(40_000, 0.2), world.decisions.target)
    expected = (world.asked * world.worth).sum(axis=1)[world.context]
    found = doubly_robust(wrong, world.worth[world.context, world.item], expected)
    assert found.value == pytest.approx(world.truth, abs=0.02)
    assert ips(wrong).value < world.truth - 0.02
    # A good model makes the interval narrow.
    width = {name: one.high - one.low for name, one in world.estimates(world.worth).items()}
    assert width["doubly_robust"] < width["ips"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"propensity": values(0.5, 0.5, 0.0, 0.25)}, "propensity must lie above 0"),
        ({"propensity": values(0.5, 0.5, np.nan, 0.25)}, "propensity must lie above 0"),
        ({"target": values(0.5, 1.5, 0.0, 0.25)}, "target must lie between 0 and 1"),
        ({"target": values(0.5)}, "target has shape (1,); give one number for each of the 4 decisions"),
        ({"reward": values(1, np.nan, 0, 0)}, "reward holds NaN"),
        ({"reward": values()}, "reward is empty"),
    ],
)
def test_what_is_no_log_is_refused(change: dict[str, Values], problem: str) -> None:
    arrays = {"reward": BY_HAND.reward, "propensity": BY_HAND.propensity, "target": BY_HAND.target} | change
    with pytest.raises(OffPolicyError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        Decisions(arrays["reward"], arrays["propensity"], arrays["target"])


def test_what_is_no_question_is_refused() -> None:
    with pytest.raises(OffPolicyError, match="clip is 0"):
        ips(BY_HAND, clip=0)
    with pytest.raises(OffPolicyError, match="predicted must hold a finite number for each of the 4"):
        doubly_robust(BY_HAND, values(1), values(1, 1, 1, 1))
    nowhere = Decisions(BY_HAND.reward, BY_HAND.propensity, np.zeros(4))
    assert ips(nowhere).value == 0
    with pytest.raises(OffPolicyError, match="target is 0 everywhere"):
        self_normalised(nowhere)


def test_open_bandit() -> None:
    """The sample of the Open Bandit Dataset: the value of showing at random, from what Thompson sampling logged."""
    package = find_spec("obp")
    assert package is not None, "the package obp, which carries the data, is missing; tools/install.py installs it"
    assert package.origin is not None
    folder = Path(package.origin).parent / "dataset" / "obd"
    columns = pa_csv.ConvertOptions(include_columns=["click", "propensity_score"])
    logged, truth = (
        pa_csv.read_csv(folder / policy / "all" / "all.csv", convert_options=columns) for policy in ("bts", "random")
    )
    reward, propensity = logged["click"].to_numpy().astype(float), logged["propensity_score"].to_numpy()
    decisions = Decisions(reward, propensity, np.full(len(reward), 1 / 80))
    clicks = truth["click"].to_numpy().mean()
    model = np.full(len(reward), reward.mean())
    for found in (ips(decisions), self_normalised(decisions), doubly_robust(decisions, model, model)):
        assert found.low <= clicks <= found.high
        assert found.effective < 1_000
    assert ips(decisions).value == pytest.approx(0.00236, abs=1e-5)
    assert ips(decisions, clip=50).clipped > 0
