"""The map of logits keeps their order, goes through its knots, and is the identity until it is set."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourfold.models.calibration import KNOTS, Calibration

STEPS = torch.arange(KNOTS, dtype=torch.float64)


def test_it_is_the_identity_until_set_and_after_reset() -> None:
    calibration, logits = Calibration(2), torch.tensor([[-40.0, 0.3], [70.5, -2.0], [1e-7, 63.0]], dtype=torch.float64)
    torch.testing.assert_close(calibration(logits), logits)
    calibration.set(torch.stack([STEPS, STEPS]), torch.stack([3 * STEPS, STEPS - 1]))
    torch.testing.assert_close(calibration(logits), logits * torch.tensor([3.0, 1.0]) - torch.tensor([0.0, 1.0]))
    calibration.reset()
    torch.testing.assert_close(calibration(logits), logits)


def test_it_is_linear_between_knots_and_goes_on_beyond_them() -> None:
    calibration = Calibration(1)
    # Slope 1/2 up to logit 2, then 3: the outer lines have the slopes of the outer segments.
    calibration.set(STEPS[None], torch.where(STEPS <= 2, STEPS / 2, 1 + 3 * (STEPS - 2))[None])
    found = calibration(torch.tensor([[-4.0], [1.0], [2.0], [2.5], [100.0]]))
    assert found[:, 0].tolist() == pytest.approx([-2.0, 0.5, 1.0, 2.5, 295.0])


@given(st.integers(0, 1 << 32), st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=50, unique=True))
def test_no_two_logits_change_places(seed: int, logits: list[float]) -> None:
    rng, calibration = np.random.default_rng(seed), Calibration(1)
    knots, values = (np.cumsum(rng.uniform(low, high, KNOTS)) - high * 20 for low, high in ((0.1, 1.0), (1e-3, 2.0)))
    calibration.set(torch.from_numpy(knots)[None], torch.from_numpy(values)[None])
    ordered = torch.tensor(sorted(logits))
    found = calibration(ordered[:, None])[:, 0].numpy()
    far = np.diff(ordered.double().numpy()) > 1e-9
    assert (np.diff(found) >= 0).all()
    assert (np.diff(found)[far] > 0).all()


@pytest.mark.parametrize(
    "wrong", [STEPS.flip(0), torch.where(STEPS == 5, 4, STEPS), torch.where(STEPS == 63, torch.inf, STEPS)]
)
def test_what_does_not_rise_is_refused_and_changes_nothing(wrong: torch.Tensor) -> None:
    calibration = Calibration(1)
    for tables in ((wrong[None], STEPS[None]), (STEPS[None], wrong[None])):
        with pytest.raises(ValueError, match="do not rise from each to the next"):
            calibration.set(*tables)
    with pytest.raises(ValueError, match=r"knots have shape \(2, 64\); give \(1, 64\)"):
        calibration.set(torch.stack([STEPS, STEPS]), STEPS[None])
    assert torch.equal(calibration.values_AK, STEPS[None])
