"""The draw: seeds of requests, and frequencies over many seeds against the stated model."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from fourfold.definition import Explore
from fourfold.pipeline.explore import draw, seed_of


def test_seeds_tell_requests_apart() -> None:
    asked = [seed_of(*parts) for parts in product(("feed", "pymk"), ("m", "m1"), (1, 11), (None, "r", "1"))]
    assert len(set(asked)) == len(asked)
    assert all(0 <= seed < 1 << 128 for seed in asked)
    assert seed_of("feed", "m1", 1_704_067_200_000, None) == 72414461177878514349851947687905712283, "stable for ever"


@pytest.mark.parametrize(("openable", "following"), [([0, 1, 2, 3], 2), ([1, 3], 3), ([0, 4], 0), ([], 3), ([2], 1)])
def test_every_outcome_has_the_probability_of_the_model(openable: list[int], following: int) -> None:
    """Which places open, and each ordered choice for them, within four standard errors over fixed seeds."""
    trials, share = 20_000, 0.4
    last = openable[max(len(openable) - following, 0) :]
    found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for seed in range(trials):
        drawn = draw(Explore(share), np.array(openable, np.int64), 5, following, seed)
        found[tuple(drawn.places.tolist()), tuple(drawn.replaced.tolist())] += 1
        assert drawn.kept.tolist() == [1 - share if place in last else 1.0 for place in range(5)]
        assert drawn.drawn == pytest.approx(share * len(last) / following if last else 0.0)
    for (places, replaced), count in found.items():
        assert set(places) <= set(last)
        assert len(set(replaced)) == len(replaced) == len(places)
        ways = np.prod([following - n for n in range(len(places))])
        chance = share ** len(places) * (1 - share) ** (len(last) - len(places)) / ways
        assert abs(count / trials - chance) <= 4 * np.sqrt(chance * (1 - chance) / trials) + 1e-12


def test_a_draw_is_the_same_for_ever() -> None:
    drawn = draw(Explore(0.5), np.arange(6), 6, 4, seed_of("feed", "m1", 1_704_067_200_000, None))
    assert (drawn.places.tolist(), drawn.replaced.tolist()) == ([2, 3, 4, 5], [2, 3, 0, 1])
