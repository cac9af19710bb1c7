"""Takes everything about one entity out of events: rows become redacted ones, and other entities no longer name it."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.definition import DefinitionError, Recommender
from fourfold.durable.files import scratch_folder, sync
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import EventKind, columns_batch, decode_attributes, encode_attributes

Mask = NDArray[np.bool_]

_PLAIN = re.compile(r"[A-Za-z0-9_.:@-]+")

NOBODY = "-"
"""The subject of a redacted event."""


@dataclass(frozen=True)
class Redaction:
    """What is about one entity in events, as the definitions of a home see it.

    The same id may name entities of several types. Where no definition says of which type a viewer, an item or an end of an
    edge is, an event that names the id counts as being about the entity: too much is taken out rather than too little.

    Parameters
    ----------
    definitions : sequence of Recommender
        All definitions of the home.
    type, key : str
        The entity.

    Raises
    ------
    DefinitionError
        If no definition has entities of that type.
    """

    definitions: Sequence[Recommender]
    type: str
    key: str

    def __post_init__(self) -> None:
        types = sorted({entity.name for definition in self.definitions for entity in definition.entities})
        if self.type not in types:
            raise DefinitionError("type", f"no definition has entities of type {self.type!r}", f"one of: {', '.join(types)}")

    def about(self, batch: pa.RecordBatch) -> Mask:
        """Which events of a batch of `SCHEMA` are about the entity, shape (N,)."""
        kind = batch["kind"].to_numpy()
        subject, object_ = _equal(batch["subject"], self.key), _equal(batch["object"], self.key)
        if not (subject | object_).any():
            return np.zeros(len(batch), bool)
        shown = kind <= EventKind.ACTION
        entity = (kind == EventKind.ENTITY_UPSERT) | (kind == EventKind.ENTITY_DELETE)
        edge = (kind == EventKind.EDGE_ADDED) | (kind == EventKind.EDGE_REMOVED)
        surfaces = {one.surface: (one.viewer.name, one.item.name) for one in self.definitions}
        edges = {edge.name: (edge.source, edge.target) for one in self.definitions for edge in one.edges}
        found: Mask = entity & subject & _equal(batch["name"], self.type)
        for among, column, ends in ((shown, batch["surface"], surfaces), (edge, batch["name"], edges)):
            for named, side in ((subject, 0), (object_, 1)):
                others = [name for name, types in ends.items() if types[side] != self.type]
                found |= among & named & ~_one_of(column, others)
        return found

    def naming(self, batch: pa.RecordBatch) -> Mask:
        """Which upserts of other entities say that this one owns them, shape (N,)."""
        owned = {
            one.item.name: one.item.owner
            for one in self.definitions
            if one.viewer.name == self.type and one.item.owner is not None
        }
        upserts = (batch["kind"].to_numpy() == EventKind.ENTITY_UPSERT) & _one_of(batch["name"], list(owned))
        rows = np.flatnonzero(upserts)
        if _PLAIN.fullmatch(self.key):  # JSON escapes nothing of it.
            rows = np.flatnonzero(upserts & _holds(batch["attributes"], self.key))
        found = np.zeros(len(batch), bool)
        for row in rows.tolist():
            owner = owned[batch["name"][row].as_py()]
            found[row] = decode_attributes(batch["attributes"][row].as_py()).get(owner) == self.key
        return found

    def redacted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without a trace of the entity; as many events, at the same times."""
        gone, naming = self.about(batch), self.naming(batch)
        if not (gone | naming).any():
            return batch
        columns = {name: batch[name].to_pylist() for name in ("id", "kind", "subject", "attributes")}
        for row in np.flatnonzero(naming).tolist():
            columns["attributes"][row] = self._disowned(batch["name"][row].as_py(), columns["attributes"][row])
        for row in np.flatnonzero(gone).tolist():
            columns["id"][row], columns["kind"][row] = secrets.token_hex(16), int(EventKind.REDACTED)
            columns["subject"][row], columns["attributes"][row] = NOBODY, None
        # Built anew: a null that is laid over a value leaves the value in the buffer beneath, and so in the file.
        blank = {
            name: [value if keep else None for value, keep in zip(batch[name].to_pylist(), (~gone).tolist(), strict=True)]
            for name in ("surface", "object", "name", "request", "position", "value")
        }
        return columns_batch({"time": batch["time"], "arrival": batch["arrival"], **blank, **columns}, len(batch))

    def _disowned(self, type_: str, attributes: bytes) -> bytes:
        owners = {one.item.owner for one in self.definitions if one.item.name == type_ and one.viewer.name == self.type}
        values = decode_attributes(attributes)
        return encode_attributes(
            {name: None if name in owners and value == self.key else value for name, value in values.items()}
        )


def redact_log(path: Path, change: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
    """Replace a log by a copy that `change` has been through, in one step; nobody may have it open.

    The copy is a new file, so that nothing of the old one is left in pages that are free now.
    """
    with scratch_folder(path) as scratch:
        with LmdbLog(path) as log:
            log.copy_redacted(scratch / "log", change)
        sync(scratch / "log" / "data.mdb")
        (scratch / "log" / "data.mdb").replace(path / "data.mdb")
        sync(path)
        (path / "lock.mdb").unlink(missing_ok=True)


def _equal(column: pa.Array, text: str) -> Mask:
    found: Mask = pc.fill_null(pc.equal(column, text), False).to_numpy(zero_copy_only=False)
    return found


def _holds(column: pa.Array, text: str) -> Mask:
    found: Mask = pc.fill_null(pc.match_substring(column, text), False).to_numpy(zero_copy_only=False)
    return found


def _one_of(column: pa.Array, names: Sequence[str]) -> Mask:
    found: Mask = pc.is_in(column, value_set=pa.array(names, pa.string())).to_numpy(zero_copy_only=False)
    return found
