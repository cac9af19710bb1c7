"""The events of a recommender: the only way its state changes. As structs for people, as Arrow batches inside.

Event time (`time`) says when it happened; arrival time (`arrival`) says when the log took it. Everything a recommender
computes goes by event time, so an event that arrives late still counts from its own time on, in batch and in stream alike.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated, Any, TypeAlias

import msgspec
import pyarrow as pa
from msgspec import Meta, Struct

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Time = Annotated[int, Meta(ge=0, lt=1 << 52)]
Value: TypeAlias = str | int | float | bool | list[str] | None
ContextValue: TypeAlias = str | int | float | bool


class EventKind(IntEnum):
    """What an event is, as stored."""

    IMPRESSION = 0
    ACTION = 1
    ENTITY_UPSERT = 2
    ENTITY_DELETE = 3
    EDGE_ADDED = 4
    EDGE_REMOVED = 5
    REDACTED = 6


class _Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event"):
    id: Id
    time: Time


class Impression(_Event, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="impression"):
    """An item was shown to a viewer.

    `request` groups the impressions of one slate; `position` counts from 0; `context` is what was known of the request, such
    as ``{"tab": "home"}``. `known` names the actions that a log keeps of this impression, where it does not keep all: of the
    others nobody knows whether they happened. The time of an `undated` one only says in which order things came. `propensity`
    is the chance with which the item was shown, where it was drawn or might have given way to one that was. `experiment`,
    `variant` and `team` are those of the slate and its item.
    """

    viewer: Id
    item: Id
    surface: Id
    request: Id | None = None
    position: Annotated[int, Meta(ge=0, lt=1 << 31)] | None = None
    context: dict[str, ContextValue] = {}
    known: list[Id] | None = None
    undated: bool = False
    propensity: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    experiment: Id | None = None
    variant: Id | None = None
    team: Id | None = None


class Action(_Event, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="action"):
    """A viewer did something with an item, such as ``name="like"``; `value` holds, say, dwell milliseconds.

    `context` is that of the impression: an action is counted under the context that it carries itself.
    """

    viewer: Id
    item: Id
    surface: Id
    name: Id
    value: float | None = None
    request: Id | None = None
    context: dict[str, ContextValue] = {}


class EntityUpsert(_Event, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="entity_upsert"):
    """An entity is new or changed: the given attributes are set, null clears one, the others stay as they were."""

    type: Id
    key: Id
    attributes: dict[str, Value] = {}


class EntityDelete(_Event, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="entity_delete"):
    """An entity is gone: nothing before this counts for it any more. A later upsert makes it anew."""

    type: Id
    key: Id


class EdgeAdded(_Event, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="edge_added"):
    """A link from `source` to `target`, such as ``kind="follows"``."""

    kind: Id
    source: Id
    target: Id


class EdgeRemoved(_Event, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="edge_removed"):
    """The link from `source` to `target` is gone."""

    kind: Id
    source: Id
    target: Id


Event: TypeAlias = Impression | Action | EntityUpsert | EntityDelete | EdgeAdded | EdgeRemoved

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.uint8(), nullable=False),
        pa.field("time", pa.int64(), nullable=False),
        pa.field("arrival", pa.int64(), nullable=False),
        pa.field("surface", pa.string()),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("object", pa.string()),
        pa.field("name", pa.string()),
        pa.field("request", pa.string()),
        pa.field("position", pa.int32()),
        pa.field("value", pa.float64()),
        pa.field("attributes", pa.binary()),
    ]
)
"""One table for all events. Times are milliseconds since 1970 UTC.

=============  ==================  =========  ==================
kind           subject             object     name
=============  ==================  =========  ==================
impression     viewer              item
action         viewer              item       action
entity_*       key of the entity              type of the entity
edge_*         source              target     kind of the edge
redacted       ``-``
=============  ==================  =========  ==================

`attributes` holds JSON: the attributes of an upsert; of impressions and actions their `Details`, null where there are none.
A redacted event was about somebody who is forgotten: its place in the log and its times are left, and it says nothing.
"""


class Details(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What only some impressions and actions carry; each field as in `Impression`."""

    context: dict[str, ContextValue] = {}
    known: list[str] | None = None
    undated: bool = False
    propensity: float | None = None
    experiment: str | None = None
    variant: str | None = None
    team: str | None = None


_encode, _decode_attributes = msgspec.json.Encoder(order="sorted").encode, msgspec.json.Decoder(dict[str, Value]).decode
_decode_details = msgspec.json.Decoder(Details).decode


def batch_of(events: Iterable[Event], arrival: int = 0) -> pa.RecordBatch:
    """Events as one Arrow batch of `SCHEMA`; `arrival` is the arrival time of all (the log sets its own)."""
    return pa.RecordBatch.from_pylist([_row(event, arrival) for event in events], schema=SCHEMA)


def events_of(batch: pa.RecordBatch) -> list[Event]:
    """The events of an Arrow batch of `SCHEMA`, in order, without those that are redacted."""
    return [_event(row) for row in batch.to_pylist() if row["kind"] != EventKind.REDACTED]


def columns_batch(columns: dict[str, Any], length: int) -> pa.RecordBatch:
    """A batch of `SCHEMA` from the columns given (arrays or sequences); the columns left out are null, arrival 0."""
    arrays = []
    for field in SCHEMA:
        column = columns.get(field.name)
        if column is None and field.name == "arrival":
            column = pa.repeat(pa.scalar(0, field.type), length)
        arrays.append(pa.nulls(length, field.type) if column is None else _as_array(column, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def decode_attributes(data: bytes) -> dict[str, Value]:
    """The attributes of an upsert from the `attributes` column."""
    return _decode_attributes(data)


def encode_attributes(attributes: dict[str, Value]) -> bytes:
    """The attributes of an upsert for the `attributes` column."""
    return _encode(attributes)


def decode_details(data: bytes | None) -> Details:
    """What the `attributes` column says of an impression or action."""
    return Details() if data is None else _decode_details(data)


def encode_details(details: Details) -> bytes | None:
    """The same for the `attributes` column; None where there is nothing to say."""
    return None if details == Details() else _encode(details)


def _as_array(column: Sequence[Any] | pa.Array, type_: pa.DataType) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.Array):
        return column if column.type == type_ else column.cast(type_)
    return pa.array(column, type_)


def _row(event: Event, arrival: int) -> dict[str, Any]:
    row: dict[str, Any] = {"id": event.id, "time": event.time, "arrival": arrival}
    match event:
        case Impression():
            row |= {"kind": EventKind.IMPRESSION, "subject": event.viewer, "object": event.item}
            row |= {"surface": event.surface, "request": event.request, "position": event.position}
            row |= {"attributes": encode_details(_details(event))}
        case Action():
            row |= {"kind": EventKind.ACTION, "subject": event.viewer, "object": event.item, "name": event.name}
            row |= {"surface": event.surface, "request": event.request, "value": event.value}
            row |= {"attributes": encode_details(Details(context=event.context))}
        case EntityUpsert():
            row |= {"kind": EventKind.ENTITY_UPSERT, "subject": event.key, "name": event.type}
            row |= {"attributes": _encode(event.attributes)}
        case EntityDelete():
            row |= {"kind": EventKind.ENTITY_DELETE, "subject": event.key, "name": event.type}
        case EdgeAdded():
            row |= {"kind": EventKind.EDGE_ADDED, "subject": event.source, "object": event.target, "name": event.kind}
        case EdgeRemoved():
            row |= {"kind": EventKind.EDGE_REMOVED, "subject": event.source, "object": event.target, "name": event.kind}
    return row


def _details(event: Impression) -> Details:
    return Details(
        context=event.context,
        known=event.known,
        undated=event.undated,
        propensity=event.propensity,
        experiment=event.experiment,
        variant=event.variant,
        team=event.team,
    )


def _event(row: dict[str, Any]) -> Event:
    common = {"id": row["id"], "time": row["time"]}
    shown = {"viewer": row["subject"], "item": row["object"], "surface": row["surface"], "request": row["request"]}
    match EventKind(row["kind"]):
        case EventKind.IMPRESSION:
            details = decode_details(row["attributes"])
            return Impression(
                **common,
                **shown,
                position=row["position"],
                context=details.context,
                known=details.known,
                undated=details.undated,
                propensity=details.propensity,
                experiment=details.experiment,
                variant=details.variant,
                team=details.team,
            )
        case EventKind.ACTION:
            context = decode_details(row["attributes"]).context
            return Action(**common, **shown, name=row["name"], value=row["value"], context=context)
        case EventKind.ENTITY_UPSERT:
            attributes = decode_attributes(row["attributes"])
            return EntityUpsert(**common, type=row["name"], key=row["subject"], attributes=attributes)
        case EventKind.ENTITY_DELETE:
            return EntityDelete(**common, type=row["name"], key=row["subject"])
        case EventKind.EDGE_ADDED:
            return EdgeAdded(**common, kind=row["name"], source=row["subject"], target=row["object"])
        case EventKind.EDGE_REMOVED:
            return EdgeRemoved(**common, kind=row["name"], source=row["subject"], target=row["object"])
        case EventKind.REDACTED:
            raise ValueError(f"event {row['id']} is redacted and says nothing")
