"""Impressions apart by history and by age: the edges by hand, and every impression in one part of each."""

from typing import Any

import numpy as np

from fourfold.events.types import EntityUpsert, Event, Impression
from fourfold.features.inputs import Floats
from fourfold.lab.buckets import DAY, buckets
from fourfold.training.evaluation import Judged
from tests.features.samples import state_of
from tests.strategies import START

ASKED = START + 40 * DAY


def show(number: int, viewer: str, time: int, item: str = "old") -> Event:
    return Impression(id=f"i{viewer}{number}", time=time, viewer=viewer, item=item, surface="feed")


def post(name: str, created: int | None) -> Event:
    attributes: dict[str, Any] = {} if created is None else {"created": created}
    return EntityUpsert(id=name, time=START, type="post", key=name, attributes=attributes)


def judged(rows: list[tuple[int, int, int]], labels: Floats | None = None) -> Judged:
    viewer, item, request = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    values = np.zeros((len(rows), 3), np.float32) if labels is None else labels
    score = np.linspace(0, 1, len(rows), dtype=np.float32)[:, None].repeat(3, axis=1)
    return Judged(viewer, item, request, values, score, 1 - score)


def test_history_counts_the_impressions_before_the_request() -> None:
    counts = {"m0": 0, "m1": 1, "m2": 5, "m3": 6, "m4": 20, "m5": 21}
    past = [show(n, viewer, ASKED - 1 - n) for viewer, count in counts.items() for n in range(count)]
    now = [show(99, viewer, ASKED) for viewer in counts]
    view = state_of([*past, *now, show(100, "m0", ASKED + 1)]).view()
    rows = [(int(view.rows("member", [viewer])[0]), int(view.rows("post", ["old"])[0]), ASKED) for viewer in counts]
    found = buckets(view, judged(rows)).history
    assert {name: part["click"].impressions for name, part in found.items()} == {"0": 1, "1-5": 2, "6-20": 2, "21+": 1}


def test_age_goes_from_the_creation_or_the_first_event() -> None:
    ages = {"p0": 0, "p1": DAY - 1, "p2": DAY, "p3": 7 * DAY - 1, "p4": 7 * DAY, "p5": 30 * DAY - 1, "p6": 30 * DAY}
    posts = [post(name, ASKED - age) for name, age in ages.items()]
    seen = [
        show(n, "m0", time, name) for n, (name, time) in enumerate([("seen", ASKED - DAY), ("seen", ASKED), ("new", ASKED)])
    ]
    view = state_of([*posts, post("upserted", None), *seen]).view()
    items = [*ages, "upserted", "seen", "new"]
    rows = [(0, int(view.rows("post", [item])[0]), ASKED) for item in items]
    found = buckets(view, judged(rows)).item_age
    # `upserted` is 40 days old, `seen` a day; `new` has no event before the request.
    assert {name: part["click"].impressions for name, part in found.items()} == {
        "< 1 day": 3,
        "< 7 days": 3,
        "< 30 days": 2,
        "older": 2,
    }


def test_each_part_is_judged_by_itself_and_what_nobody_knows_is_left_out() -> None:
    past = [show(n, "m1", ASKED - 1 - n) for n in range(3)]
    view = state_of([show(0, "m0", ASKED), *past]).view()
    member = view.rows("member", ["m0", "m1"]).tolist()
    labels = np.array([[1, 0, 0], [0, np.nan, 0], [0, 0, 0], [1, 1, 0]], np.float32)
    rows = [(member[0], 0, ASKED), (member[0], 0, ASKED), (member[1], 0, ASKED), (member[1], 0, ASKED)]
    found = buckets(view, judged(rows, labels)).history
    assert (found["0"]["click"].auc, found["0"]["click"].popularity_auc) == (0.0, 1.0)
    assert (found["1-5"]["click"].auc, found["1-5"]["like"].auc) == (1.0, 1.0)
    assert (found["0"]["like"].impressions, found["0"]["like"].auc) == (1, None)
    assert found["21+"]["click"].impressions == 0
    assert found["21+"]["click"].auc is None
