"""The trace of one request: stage times and counts, what filters dropped, and every degradation."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fourfold.pipeline.slate import Degradation, RuleTrace, StageTrace


class Tracer:
    """Collects the trace while a request runs. It reads the monotonic clock, which decides the budget and nothing else."""

    def __init__(self, budget_ms: int) -> None:
        self._deadline = time.perf_counter() + budget_ms / 1000
        self.stages: list[StageTrace] = []
        self.proposed: dict[str, int] = {}
        self.dropped: Counter[str] = Counter()
        self.degradations: list[Degradation] = []
        self.rules: list[RuleTrace] = []

    @property
    def seconds_left(self) -> float:
        """What is left of the budget, not below 0."""
        return max(self._deadline - time.perf_counter(), 0.0)

    @contextmanager
    def stage(self, name: str, taken: int) -> Iterator[list[int]]:
        """Time a stage; the block appends how many candidates it gives on."""
        start, given = time.perf_counter(), [taken]
        try:
            yield given
        finally:
            took = (time.perf_counter() - start) * 1000
            self.stages.append(StageTrace(stage=name, ms=round(took, 3), taken=taken, given=given[-1]))

    def degraded(self, stage: str, cause: str, effect: str) -> None:
        """Say that something did not go as defined; the same thing is said once."""
        said = Degradation(stage=stage, cause=cause, effect=effect)
        if said not in self.degradations:
            self.degradations.append(said)
