"""Late rows: exactly the events that an upsert or delete of their viewer or item does not come after."""

import numpy as np

from fourfold.events.types import Action, Event, Impression
from fourfold.features.late import late_rows
from tests.features.samples import state_of
from tests.strategies import START


def test_only_events_at_or_after_a_change_of_their_viewer_or_item_are_late() -> None:
    shown = [("m0", "p0", 1), ("m0", "p1", 2), ("m1", "p0", 3), ("m1", "p1", 4)]
    events: list[Event] = [
        *(Impression(id=f"i{at}", time=START + at, viewer=v, item=i, surface="feed") for v, i, at in shown),
        Action(id="a", time=START + 9, viewer="m1", item="p1", surface="feed", name="like"),
    ]
    view = state_of(events, cuts=(1, 2, 3, 4)).view()

    def late(*, member: dict[str, int], post: dict[str, int]) -> list[int]:
        changed = {
            entity: [(view.rows(entity, list(when)), np.array([START + at for at in when.values()]))]
            for entity, when in (("member", member), ("post", post))
            if when
        }
        found = late_rows(view, changed)
        assert (found["name"] >= 0).tolist() == (found["time"] == START + 9).tolist()
        return sorted((found["time"] - START).tolist())

    assert late(member={}, post={"p0": 2}) == [3]
    assert late(member={}, post={"p0": 3}) == [3]
    assert late(member={}, post={"p0": 4}) == []
    assert late(member={"m0": 2}, post={"p1": 4}) == [2, 4, 9]
    assert late(member={"m0": 3}, post={}) == []
    assert late(member={"m1": 9}, post={}) == [9]
    assert late(member={"m1": 10}, post={}) == []
    assert late(member={}, post={"p0": 0}) == [1, 3]


def test_who_came_with_the_change_has_no_late_events() -> None:
    view = state_of([Impression(id="i", time=START, viewer="m0", item="p0", surface="feed")]).view()
    unheard_of = {"post": [(np.array([7]), np.array([START - 9]))]}
    assert not len(late_rows(view, unheard_of)["time"])
