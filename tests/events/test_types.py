"""Events survive the way into Arrow and back; columns left out are null."""

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import (
    SCHEMA,
    Action,
    Details,
    EdgeAdded,
    EdgeRemoved,
    EntityDelete,
    EntityUpsert,
    Event,
    EventKind,
    Impression,
    batch_of,
    columns_batch,
    decode_attributes,
    decode_details,
    encode_attributes,
    events_of,
)
from tests.events.samples import events

ONE_OF_EACH: list[Event] = [
    Impression(id="1", time=10, viewer="ann", item="post", surface="feed", request="r", position=3),
    Action(id="2", time=11, viewer="ann", item="post", surface="feed", name="like", value=2.5, request="r"),
    EntityUpsert(id="3", time=12, type="post", key="post", attributes={"tags": ["a", "b"], "gone": None, "age": 3}),
    EntityDelete(id="4", time=13, type="post", key="post"),
    EdgeAdded(id="5", time=14, kind="follows", source="ann", target="bob"),
    EdgeRemoved(id="6", time=15, kind="follows", source="ann", target="bob"),
]


def test_each_type_has_its_columns() -> None:
    batch = batch_of(ONE_OF_EACH, arrival=99)
    assert batch.schema == SCHEMA
    assert batch["kind"].to_pylist() == [kind for kind in EventKind if kind != EventKind.REDACTED]
    assert batch["arrival"].to_pylist() == [99] * 6
    assert batch["subject"].to_pylist() == ["ann", "ann", "post", "post", "ann", "ann"]
    assert batch["object"].to_pylist() == ["post", "post", None, None, "bob", "bob"]
    assert batch["name"].to_pylist() == [None, "like", "post", "post", "follows", "follows"]
    assert batch["surface"].to_pylist() == ["feed", "feed", None, None, None, None]
    assert batch["position"].to_pylist() == [3, None, None, None, None, None]
    assert batch["value"].to_pylist() == [None, 2.5, None, None, None, None]
    assert batch["attributes"].to_pylist() == [None, None, b'{"age":3,"gone":null,"tags":["a","b"]}', None, None, None]


def test_one_of_each_comes_back() -> None:
    assert events_of(batch_of(ONE_OF_EACH)) == ONE_OF_EACH


@given(st.lists(events(), max_size=8))
def test_any_events_come_back(given_events: list[Event]) -> None:
    assert events_of(batch_of(given_events, arrival=5)) == given_events


@given(events())
def test_any_event_comes_back_from_json(event: Event) -> None:
    assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


@pytest.mark.parametrize(
    "text",
    [
        b'{"event":"entity_delete","id":"","time":1,"type":"post","key":"p"}',
        b'{"event":"entity_delete","id":"1","time":-1,"type":"post","key":"p"}',
        b'{"event":"entity_delete","id":"1","time":4503599627370496,"type":"post","key":"p"}',
        b'{"event":"entity_delete","id":"1","time":1,"type":"post","key":"p","colour":"red"}',
        b'{"event":"explosion","id":"1","time":1}',
    ],
)
def test_json_of_no_event_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Event)


def test_columns_are_cast_and_the_others_null() -> None:
    columns = {
        "id": ["a", "b"],
        "kind": np.array([0, 1]),
        "time": pa.array([1, 2], pa.int32()),
        "subject": pa.chunked_array([["x"], ["y"]]),
    }
    batch = columns_batch(columns, 2)
    assert batch.schema == SCHEMA
    assert batch["arrival"].to_pylist() == [0, 0]
    assert batch["time"].to_pylist() == [1, 2]
    assert batch["subject"].to_pylist() == ["x", "y"]
    assert batch["object"].null_count == 2


def test_attributes_are_canonical() -> None:
    assert encode_attributes({"b": 1, "a": [""]}) == encode_attributes({"a": [""], "b": 1}) == b'{"a":[""],"b":1}'
    assert decode_attributes(b'{"a":[""],"b":1}') == {"a": [""], "b": 1}


def test_a_propensity_is_a_chance_and_logs_of_before_have_none() -> None:
    shown = {"event": "impression", "id": "1", "time": 10, "viewer": "a", "item": "p", "surface": "feed"}
    for chance in (1, 0.05, 1e-9):
        assert msgspec.convert(shown | {"propensity": chance}, Event).propensity == chance
    for wrong in (0, -0.1, 1.01, "1"):
        with pytest.raises(msgspec.ValidationError, match="propensity"):
            msgspec.convert(shown | {"propensity": wrong}, Event)
    drawn = Impression(id="1", time=10, viewer="a", item="p", surface="feed", propensity=0.25, context={"tab": "home"})
    assert batch_of([drawn])["attributes"].to_pylist() == [b'{"context":{"tab":"home"},"propensity":0.25}']
    assert decode_details(b'{"context":{"tab":"home"}}') == Details(context={"tab": "home"})
    assert decode_details(None).propensity is None


def test_an_impression_keeps_its_experiment_and_logs_of_before_have_none() -> None:
    shown = Impression(id="1", time=10, viewer="a", item="p", surface="feed", experiment="fresher", variant="control")
    assert batch_of([shown])["attributes"].to_pylist() == [b'{"experiment":"fresher","variant":"control"}']
    drafted = Impression(id="1", time=10, viewer="a", item="p", surface="feed", experiment="duel", team="treatment")
    assert events_of(batch_of([shown, drafted])) == [shown, drafted]
    assert (decode_details(b'{"propensity":0.5}').experiment, decode_details(None).team) == (None, None)
