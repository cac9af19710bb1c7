"""The catalogue behind the candidates: as much of it as is needed, and all of it before a cap gives way."""

import numpy as np
import pytest

from fourfold.candidates import Proposal
from fourfold.definition import Slate
from fourfold.events.types import EntityUpsert
from fourfold.pipeline.backfill import HEAD, backfill, is_short
from fourfold.pipeline.filters import Asked
from fourfold.pipeline.pool import Pool
from tests.features.samples import state_of
from tests.strategies import START

CAPPED = Slate(size=2, per_author=1)


def asked_of(authors: list[str]) -> Asked:
    """Posts of these authors; the first ones are the newest, which come first."""
    posts = [
        EntityUpsert(id=f"p{n}", time=START + 1000 - n, type="post", key=f"p{n}", attributes={"author": author})
        for n, author in enumerate(authors)
    ]
    return Asked(state_of(posts).view(), "m0", -1, START + 2000)


def pool_of(asked: Asked, *posts: str) -> Pool:
    rows = asked.view.rows("post", list(posts))
    return Pool.merge({"trending": Proposal(rows, np.ones(len(rows), np.float32), np.full(len(rows), -1))})


def ids(asked: Asked, pool: Pool) -> list[str]:
    return asked.view.ids("post", pool.items)


@pytest.mark.parametrize("others", [1, 2 * HEAD - 1, 2 * HEAD, 5 * HEAD])
def test_the_whole_catalogue_is_searched_before_a_cap_gives_way(others: int) -> None:
    asked = asked_of(["m1"] * (1 + others) + ["m2"])
    pool = pool_of(asked, "p0")
    assert is_short([asked], [], CAPPED, pool, 2)
    assert ids(asked, backfill([asked], [], CAPPED, pool, 2)) == ["p0", f"p{others + 1}"]


def test_only_what_is_needed_comes_and_nothing_where_nothing_is() -> None:
    asked = asked_of(["m1", "m1", "m2", "m3"])
    assert not is_short([asked], [], CAPPED, pool_of(asked, "p0", "p2"), 2)
    assert ids(asked, backfill([asked], [], CAPPED, pool_of(asked, "p1"), 2)) == ["p1", "p2"]
    assert ids(asked, backfill([asked], [], CAPPED, pool_of(asked), 4)) == ["p0", "p2", "p3", "p1"]
    assert ids(asked, backfill([asked], [], CAPPED, pool_of(asked, "p1"), 9)) == ["p1", "p2", "p3", "p0"]
    empty = asked_of([])
    assert len(backfill([empty], [], CAPPED, pool_of(empty), 2)) == 0


def test_every_state_is_asked() -> None:
    """An item that went between two states of one request is not brought in."""
    before, after = asked_of(["m1", "m2"]), asked_of(["m1"])
    assert ids(before, backfill([before, after], [], CAPPED, pool_of(before), 2)) == ["p0"]
