import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.ordering import in_time_order
from fourfold.data.reading import ReadBatch, Rejected
from fourfold.events.types import Impression, batch_of, columns_batch, events_of


def batch(start: int, times: list[int]) -> ReadBatch:
    shown = [Impression(id=f"{start + i}", time=t, viewer="v", item="i", surface="s") for i, t in enumerate(times)]
    return ReadBatch(events=batch_of(shown))


@given(st.lists(st.lists(st.integers(0, 20), max_size=30), max_size=12), st.sampled_from([1, 7, 1_000]))
@settings(max_examples=60, deadline=None)
def test_sorted_by_time_and_stable_whatever_the_size_of_runs(times: list[list[int]], run_events: int) -> None:
    batches = [batch(1_000 * number, each) for number, each in enumerate(times)]
    ordered = [e for b in in_time_order(iter(batches), run_events=run_events) for e in events_of(b.events)]
    assert ordered == sorted((e for b in batches for e in events_of(b.events)), key=lambda e: e.time)


def test_memory_is_bounded_by_the_size_of_runs() -> None:
    batches = [batch(1_000 * number, [(7 * number + 13 * i) % 997 for i in range(100)]) for number in range(40)]
    sizes = [len(b.events) for b in in_time_order(iter(batches), run_events=400)]
    assert sum(sizes) == 4_000
    assert max(sizes) <= 800


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which pages of a file are in memory")
def test_runs_on_disk_are_not_kept_in_memory() -> None:
    count, size = 300_000, 60_000
    columns = {name: [f"{name}{n}" for n in range(count)] for name in ("id", "subject", "object")}
    events = columns_batch(columns | {"kind": np.zeros(count), "time": np.arange(count) * 7 % 9_973}, count)
    batches = (ReadBatch(events=events.slice(start, size)) for start in range(0, count, size))
    held = [resident("fourfold-sort") for _ in in_time_order(batches, run_events=size)]
    assert len(held) > 5
    # By the last window every page was read once.
    assert held[-1] < 0.6 * events.nbytes


def resident(name: str) -> int:
    """Bytes in memory of this process's mapped files with `name` in their path."""
    found, size = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            found = name in line
        elif found and line.startswith("Rss:"):
            size += int(line.split()[1]) * 1_024
    return size


def test_rejected_rows_pass_through() -> None:
    row = Rejected(file="f", row=1, reason="r", raw={})
    batches = [ReadBatch(events=batch(0, [2]).events, rejected=(row,)), batch(5, [1])]
    assert [r for b in in_time_order(iter(batches)) for r in b.rejected] == [row]
