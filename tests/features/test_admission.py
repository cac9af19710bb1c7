"""What a state takes of the log: each id once, for as long as a repeat of it could still be in time."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import Impression, batch_of
from fourfold.features.admission import clocks, in_time, known_until, remembered_until, with_ids
from fourfold.features.table import Table
from tests.strategies import START, TINY

ids = st.lists(st.tuples(st.sampled_from([0, 3, (1 << 64) - 1]), st.integers(0, 9)), max_size=12)


@given(ids, st.integers(1, 5))
def test_ids_are_known_by_all_that_came_before_however_it_was_batched(given_ids: list[tuple[int, int]], step: int) -> None:
    table, found = Table(), list[int]()
    for start in range(0, len(given_ids), step):
        part = given_ids[start : start + step]
        hashes, until = np.array([one[0] for one in part], np.uint64), np.array([one[1] for one in part], np.int64)
        known = known_until(table, hashes, until)
        table = with_ids(table, hashes[until > known], until[until > known])
        found += known.tolist()
    earlier = [[until for other, until in given_ids[:n] if other == one] for n, (one, _) in enumerate(given_ids)]
    assert found == [max(untils, default=-1) for untils in earlier]


def test_an_event_is_late_against_the_newest_before_it_in_the_log() -> None:
    hours = [5, 3, 2, 9, 7, 6]
    batch = batch_of(
        Impression(id=f"{n}", time=START + hour * 3_600_000, viewer="m", item="p", surface="feed")
        for n, hour in enumerate(hours)
    )
    definition = replace(TINY, lateness="2h")
    clock = clocks(batch, START)
    assert ((clock - START) // 3_600_000).tolist() == [0, 5, 5, 5, 9, 9, 9]
    assert in_time(definition, batch, clock[:-1])[0].tolist() == [True, True, False, True, True, False]
    assert ((remembered_until(definition, batch) - START) // 3_600_000).tolist() == [hour + 2 for hour in hours]
