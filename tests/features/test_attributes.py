"""Several attributes at once say what each says alone, and are searched for once where they were always set together."""

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import EntityUpsert, Event, Value
from fourfold.features.attributes import attributes
from fourfold.features.table import Table
from tests.features.samples import state_of
from tests.strategies import START, logs, times

NAMES = ("author", "size", "created", "topics", "title")
cuts = st.lists(st.integers(0, 100), max_size=5)


@given(logs(), cuts, st.lists(times(), min_size=1, max_size=3))
def test_each_attribute_is_what_it_is_alone(events: list[Event], cuts: list[int], moments: list[int]) -> None:
    view = state_of(events, cuts=cuts).view()
    rows = np.tile(np.append(view.all_rows("post"), -1), len(moments))
    when = np.repeat(moments, len(rows) // len(moments))
    together = attributes(view, "post", NAMES, rows, when)
    assert list(together) == list(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(together[name], view.attribute("post", name, rows, when))


def upsert(number: int, **given: Value) -> Event:
    return EntityUpsert(id=f"u{number}", time=START + number % 3, type="post", key=f"p{number % 4}", attributes=given)


def searches(events: list[Event]) -> int:
    view = state_of(events, cuts=[3, 7]).view()
    rows = view.all_rows("post")
    with mock.patch.object(Table, "last_rows", autospec=True, side_effect=Table.last_rows) as searched:
        found = attributes(view, "post", ("author", "size"), rows, np.full(len(rows), START + 5))
    assert found["size"].tolist() == view.attribute("post", "size", rows, np.full(len(rows), START + 5)).tolist()
    return searched.call_count


def test_attributes_that_are_always_set_together_are_searched_for_once() -> None:
    together = [upsert(number, author="m0", size=number) for number in range(10)]
    assert searches(together) == 1
    assert searches([*together[:9], upsert(9, size=9)]) == 2
    # As many rows of the same keys and times, but of other events.
    assert searches([*together, upsert(12, size=1), upsert(24, author="m1")]) == 2
