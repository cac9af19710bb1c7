import pytest

from fourfold.training.loop import TrainingConfig, learning_rate, step_seed


def test_the_rate_rises_to_its_peak_and_falls_to_nearly_nothing() -> None:
    config = TrainingConfig(learning_rate=1.0, warm_up=0.3)
    rates = [learning_rate(config, step, 101) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[15] == pytest.approx((1 + 1 / 25) / 2)
    assert rates[30] == pytest.approx(1.0)
    assert rates[65] == pytest.approx((1 + 1e-4) / 2)
    assert rates[100] == pytest.approx(1e-4)
    assert learning_rate(config, 0, 1) == pytest.approx(1.0)
    assert learning_rate(TrainingConfig(learning_rate=1.0, warm_up=0.0), 0, 10) == pytest.approx(1.0)


def test_steps_and_seeds_have_random_numbers_of_their_own() -> None:
    seeds = {step_seed(seed, step) for seed in range(20) for step in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 1 << 63 for seed in seeds)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("learning_rate", float("nan")), ("batch_entries", -1), ("weight_decay", -0.1), ("warm_up", 1.0)],
)
def test_settings_that_cannot_work_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is .*; write"):
        TrainingConfig(**{name: value})  # type: ignore[arg-type]  # the wrong values are the point
