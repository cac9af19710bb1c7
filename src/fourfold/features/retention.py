"""What a state that serves may drop: rows that no question at the newest time or up to a lateness before can reach.

A definition says so by `lateness` and `memory`. Where one of them is None, every row stays.
"""

from collections.abc import Callable

from fourfold.definition import Recommender
from fourfold.definition.part import milliseconds
from fourfold.features.table import Column, Run

Keep = Callable[[Run], Column]
"""Which rows of a run to keep, as a mask."""

_ENTITIES = ("upsert", "delete", "mention", "attribute", "edge")
"""Tables of what entities are; neither lateness nor memory is about these."""


def drops(definition: Recommender) -> bool:
    """Whether anything may be dropped."""
    return definition.lateness is not None and definition.memory is not None


def oldest_kept(definition: Recommender, clock: int) -> int:
    """The time before which impressions and actions may be dropped when the newest event is of time `clock`.

    A question reaches back a memory; an entry of the history that it reads has features of its own, which reach back a memory
    from there.
    """
    lateness, memory = definition.lateness, definition.memory
    return 0 if lateness is None or memory is None else clock - milliseconds(lateness) - 2 * milliseconds(memory)


def keep_of(definition: Recommender, table: str, clock: int) -> Keep | None:
    """Which rows of a table to keep; None: all."""
    if not drops(definition) or table.partition("/")[0] in _ENTITIES:
        return None
    if table == "event":
        # From this clock on, a repeat is too late, whether or not its id is known.
        return lambda run: run.columns["tie"] >= clock
    oldest = oldest_kept(definition, clock)
    return lambda run: run.at.imag >= oldest


def all_outdated(definition: Recommender, table: str, clock: int, run: Run) -> bool:
    """Whether no row of a run is to be kept, by its newest row alone."""
    if keep_of(definition, table, clock) is None:
        return False
    return run.newest < (clock if table == "event" else oldest_kept(definition, clock))
