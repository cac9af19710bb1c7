"""What some impressions and actions carry beside viewer, item and time: their request's context, and what nobody knows of them.

Few distinct details occur, so each is kept once, under a code; tables hold codes.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fourfold.definition import Recommender
from fourfold.events.types import ContextValue, Details, decode_details, encode_details
from fourfold.features.names import UNKNOWN, Names
from fourfold.features.table import Int

SPACE = "details"
"""The `Names` of details, as JSON."""


@dataclass(frozen=True)
class Known:
    """Details of N events. X are the declared parts of the context, A the actions."""

    context: Int  # (N, X), codes; -1 where there is none
    unknown: NDArray[np.bool_]  # (N, A), of which actions nobody knows whether they followed
    dated: NDArray[np.bool_]  # (N,), False where the time gives the order only

    def __getitem__(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Known":
        return Known(self.context[rows], self.unknown[rows], self.dated[rows])


def context_space(name: str) -> str:
    """The `Names` of the values of a part of the context."""
    return f"value/context/{name}"


def add_details(definition: Recommender, names: Mapping[str, Names], column: pa.Array) -> Int:
    """Codes of a column of details; -1 where an event has none that the definition declares."""
    encoded = column.dictionary_encode()
    codes = [_code(definition, names, data) for data in encoded.dictionary.to_pylist()]
    found: Int = np.array([*codes, UNKNOWN])[encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)]
    return found


def context_codes(definition: Recommender, names: Mapping[str, Names], given: Mapping[str, ContextValue]) -> Int:
    """Codes of a request's context, shape (X,); -1 for what is not given or was never seen."""
    spaces = {part.name: names[context_space(part.name)] for part in definition.context}
    return np.array([space.find(str(given[name])) if name in given else UNKNOWN for name, space in spaces.items()], np.int64)


class DetailsTable:
    """What each code of details says; extended as codes come."""

    def __init__(self, definition: Recommender, names: Mapping[str, Names]) -> None:
        self._definition, self._names, self._lock = definition, names, threading.Lock()
        # The last row is that of code -1.
        self._known = _stacked(definition, names, [Details()])

    def of(self, codes: Int) -> Known:
        """The details of codes, shape (N,)."""
        known, size = self._known, len(self._names[SPACE])
        if len(known.dated) <= size:
            known = self._extended(size)
        return known[codes]

    def _extended(self, size: int) -> Known:
        with self._lock:
            details = [decode_details(text.encode()) for text in self._names[SPACE].since(0)[:size]]
            self._known = _stacked(self._definition, self._names, [*details, Details()])
            return self._known


def _code(definition: Recommender, names: Mapping[str, Names], data: bytes) -> int:
    """The code of what the definition declares of some details."""
    given = decode_details(data)
    declared = [part.name for part in definition.context if part.name in given.context]
    context: dict[str, ContextValue] = {name: str(given.context[name]) for name in declared}
    for name, value in context.items():
        names[context_space(name)].add(str(value))
    actions = [action.name for action in definition.actions]
    known = None if given.known is None else [name for name in actions if name in given.known]
    # Nothing that is computed reads propensities or experiments, and codes are for what few impressions differ in.
    kept = encode_details(Details(context=context, known=None if known == actions else known, undated=given.undated))
    return UNKNOWN if kept is None else names[SPACE].add(kept.decode())


def _stacked(definition: Recommender, names: Mapping[str, Names], details: Sequence[Details]) -> Known:
    actions = [action.name for action in definition.actions]
    unknown = [[given.known is not None and name not in given.known for name in actions] for given in details]
    return Known(
        context=np.stack([context_codes(definition, names, given.context) for given in details]),
        unknown=np.array(unknown, bool).reshape(len(details), len(actions)),
        dated=np.array([not given.undated for given in details]),
    )
