"""Who is in which variant: uniform, independent between experiments, and the same for ever."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from fourfold.definition.experiments import HOLDOUT, Experiment
from fourfold.modes import assignment
from fourfold.modes.assignment import assigned

VIEWERS = [f"m{n}" for n in range(20_000)]


def experiment(holdout: float = 0.0, **shares: float | None) -> Experiment:
    return Experiment(holdout=holdout, variants={name: {"share": share} for name, share in shares.items()})


def assignments(name: str, declared: Experiment, surface: str = "feed") -> list[str]:
    return [assigned(surface, name, declared, viewer) or "-" for viewer in VIEWERS]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (experiment(a=None, b=None), {"a": 0.5, "b": 0.5}),
        (experiment(holdout=0.05, a=None, b=None, c=None), {HOLDOUT: 0.05, "a": 0.95 / 3, "b": 0.95 / 3, "c": 0.95 / 3}),
        (experiment(holdout=0.1, a=0.7, b=0.1), {HOLDOUT: 0.1, "a": 0.7, "b": 0.1, "-": 0.1}),
        (experiment(a=0.02, b=0.02), {"a": 0.02, "b": 0.02, "-": 0.96}),
    ],
)
def test_viewers_are_spread_as_the_shares_say(declared: Experiment, expected: dict[str, float]) -> None:
    found = assignments("one", declared)
    assert set(found) == set(expected)
    counts = [found.count(name) for name in expected]
    assert chisquare(counts, [share * len(VIEWERS) for share in expected.values()]).pvalue > 0.001


def test_experiments_and_surfaces_are_independent_of_each_other() -> None:
    halves = experiment(a=None, b=None)
    one = np.array(assignments("one", halves))
    for other in (np.array(assignments("two", halves)), np.array(assignments("one", halves, "pymk"))):
        table = [[((one == x) & (other == y)).sum() for x in "ab"] for y in "ab"]
        assert chi2_contingency(table).pvalue > 0.001


def test_growing_shares_move_nobody_to_another_variant() -> None:
    small = assignments("one", experiment(holdout=0.05, a=0.1, b=0.2))
    large = assignments("one", experiment(holdout=0.05, a=0.3, b=0.6))
    kept = [(before, after) for before, after in zip(small, large, strict=True) if before != "-"]
    assert all(before == after for before, after in kept)
    assert 0.3 < len(kept) / len(VIEWERS) < 0.4


def test_nobody_is_left_out_where_shares_add_up_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    tenths = experiment(**dict.fromkeys("abcdefghij", 0.1))
    assert sum(tenths.shares.values()) < 1.0
    assert set(assignments("one", tenths)) == set("abcdefghij")
    monkeypatch.setattr(assignment, "_uniform", lambda *_: 1 - 2**-53)
    assert assigned("feed", "one", tenths, "m0") == "j"


def test_an_assignment_never_changes() -> None:
    """Another hash would put viewers of running experiments elsewhere."""
    halves = experiment(a=None, b=None)
    assert "".join(assigned("feed", "fresher", halves, f"m{n}") or "-" for n in range(16)) == "ababaaabbaaaaaba"
