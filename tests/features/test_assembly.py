"""Assembly by hand: gaps, hours and windows of a context and of its candidates."""

from dataclasses import replace

import numpy as np
import pytest

from fourfold.definition import History
from fourfold.events.types import Action, EntityUpsert, Event, Impression
from fourfold.features.assembly import NO_ENTRY, UNDATED, candidates, context, moments
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import MOMENTS
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY

SHORT = replace(TINY, history=History(impressions=3, block=2))


def shown(n: int, at: int, item: str) -> Impression:
    return Impression(id=f"i{n}", time=START + at, viewer="m0", item=item, surface="feed", request=f"r{n}")


def test_moments_by_hand() -> None:
    assert MOMENTS == ("gap", "hour_sin", "hour_cos")
    requests = START + HOUR * np.array([0, 6, 12, 12, 6])
    previous = np.array([NO_ENTRY, START, START + 12 * HOUR, UNDATED, START])
    dated = np.array([True, True, True, True, False])
    found = moments(requests, previous, dated)
    wanted = [[0, 0, 1], [np.log1p(6 * 3600), 1, 0], [0, 0, -1], [np.nan, 0, -1], [np.nan] * 3]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_context_by_hand() -> None:
    events: list[Event] = [
        EntityUpsert(id="u", time=START - 1, type="member", key="m0", attributes={"country": "dk"}),
        *(shown(n, n * 1_000, f"p{n}") for n in range(4)),
        Action(id="a", time=START + 3_500, viewer="m0", item="p3", surface="feed", name="like"),
    ]
    view, encoder = state_of(events, SHORT).view(), Encoder(SHORT)
    row = int(view.rows("member", ["m0"])[0])
    known = context(view, encoder, row, START + 10_000)
    # Four entries, and the window of three starts at a block of two.
    np.testing.assert_array_equal(
        known.history.items, encoder.items(view, view.rows("post", ["p2", "p3"]), np.full(2, START + 9_000))
    )
    assert known.history.seen.tolist() == [0, 1]
    assert known.history.actions.tolist() == [[0, 0, 0], [0, 1, 0]]
    assert known.history.moments[:, 0].tolist() == pytest.approx([np.log1p(1)] * 2)
    assert np.isnan(known.history.late).all()
    assert known.previous == START + 3_000
    assert len(known.entries) == 4
    made = candidates(view, encoder, known, view.rows("post", ["p0", "p3"]))
    assert made.moments[:, 0].tolist() == pytest.approx([np.log1p(7)] * 2)
    late = [feature.name for feature in TINY.features if feature.late]
    assert made.late[:, late.index("shown")].tolist() == [1, 1]
    assert made.late[:, late.index("viewer_likes")].tolist() == [1, 1]
    np.testing.assert_array_equal(known.viewer_ids, encoder.viewers(view, np.array([row]), np.array([START])))
    assert known.viewer_ids.any()


def test_the_history_ends_before_the_request() -> None:
    view, encoder = state_of([shown(0, 0, "p0"), shown(1, 5, "p1")], SHORT).view(), Encoder(SHORT)
    lengths = [len(context(view, encoder, 0, START + at).history) for at in (0, 1, 5, 6)]
    assert lengths == [0, 1, 1, 2]


def test_a_stranger_has_an_empty_context() -> None:
    view, encoder = state_of([shown(0, 0, "p0")], SHORT).view(), Encoder(SHORT)
    known = context(view, encoder, -1, START + 10)
    assert len(known.history) == 0
    assert known.previous == NO_ENTRY
    assert not known.viewer_ids.any()
    made = candidates(view, encoder, known, np.array([0, -1]))
    assert made.moments[:, 0].tolist() == [0, 0]
    assert made.items[1, 0] == 1
    assert len(candidates(view, encoder, known, np.zeros(0, np.int64))) == 0
