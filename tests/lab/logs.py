"""Logs in memory, as reports of experiments read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from fourfold.events.types import Event, batch_of


@dataclass
class MemoryLog:
    """Batches of events; a read may begin anywhere."""

    batches: Sequence[pa.RecordBatch]
    start: int = 0

    @property
    def end(self) -> int:
        return self.start + sum(map(len, self.batches))

    def read(self, offset: int, limit: int | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        at = self.start
        for batch in self.batches:
            assert offset == self.start
            assert limit == self.end - self.start
            yield at, batch
            at += len(batch)


def log_of(events: Sequence[Event], size: int = 5) -> MemoryLog:
    """Events in batches of some size."""
    return MemoryLog([batch_of(events[place : place + size]) for place in range(0, len(events), size)])
