"""What no log lets in, and that the refusal names row and column."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.log import InvalidEventError, checked
from fourfold.events.types import SCHEMA, Event, EventKind, batch_of
from tests.events.samples import events, impressions
from tests.events.test_types import ONE_OF_EACH


def with_cell(batch: pa.RecordBatch, row: int, column: str, value: Any) -> pa.RecordBatch:
    cells = batch[column].to_pylist()
    cells[row] = value
    return batch.set_column(SCHEMA.get_field_index(column), SCHEMA.field(column), pa.array(cells, SCHEMA.field(column).type))


@given(st.lists(events(), max_size=5))
def test_sound_events_pass_with_their_arrival(given_events: list[Event]) -> None:
    assert checked(batch_of(given_events), 77) == batch_of(given_events, arrival=77)


def test_without_an_arrival_the_batch_keeps_its_own() -> None:
    assert checked(batch_of(ONE_OF_EACH, arrival=5), None) == batch_of(ONE_OF_EACH, arrival=5)


@pytest.mark.parametrize(
    ("row", "column", "value", "problem"),
    [
        (1, "id", None, "null"),
        (1, "id", "", "empty"),
        (1, "id", "x" * 257, "longer than 256"),
        (0, "kind", None, "null"),
        (5, "kind", 7, "no kind"),
        (2, "time", None, "null"),
        (2, "time", -1, "no time"),
        (2, "time", 1 << 52, "no time"),
        (3, "arrival", -1, "no time"),
        (3, "arrival", None, "null"),
        (4, "subject", None, "null"),
        (4, "subject", "", "empty"),
        (0, "object", None, "impression needs it"),
        (0, "surface", None, "impression needs it"),
        (0, "surface", "", "empty"),
        (0, "request", "", "empty"),
        (0, "position", -1, "negative"),
        (1, "object", None, "action needs it"),
        (1, "surface", None, "action needs it"),
        (1, "name", None, "action needs it"),
        (1, "name", "", "empty"),
        (1, "value", float("nan"), "not finite"),
        (1, "value", float("-inf"), "not finite"),
        (2, "name", None, "entity_upsert needs it"),
        (2, "attributes", None, "entity_upsert needs it"),
        (2, "attributes", b"{", "JSON"),
        (2, "attributes", b'{"a":{"b":1}}', "JSON"),
        (2, "attributes", b'{"a":"\xff"}', "JSON"),
        (3, "name", None, "entity_delete needs it"),
        (4, "object", None, "edge_added needs it"),
        (4, "name", None, "edge_added needs it"),
        (5, "object", None, "edge_removed needs it"),
        (5, "name", None, "edge_removed needs it"),
    ],
)
def test_poison_is_refused(row: int, column: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidEventError, match=problem) as caught:
        checked(with_cell(batch_of(ONE_OF_EACH), row, column, value), None)
    assert (caught.value.row, caught.value.column) == (row, column)
    assert f"row {row}, column '{column}'" in str(caught.value)


def test_the_largest_time_and_the_longest_id_pass() -> None:
    batch = with_cell(with_cell(batch_of(ONE_OF_EACH), 0, "time", (1 << 52) - 1), 0, "id", "ä" * 256)
    assert checked(batch, (1 << 52) - 1)["id"][0].as_py() == "ä" * 256


@pytest.mark.parametrize("arrival", [-1, 1 << 52])
def test_an_arrival_that_is_no_time_is_refused(arrival: int) -> None:
    with pytest.raises(InvalidEventError, match="arrival"):
        checked(impressions(0, 1), arrival)


def test_other_columns_are_refused() -> None:
    batch = impressions(0, 2)
    with pytest.raises(InvalidEventError, match=r"'kind'.*in this order: id, kind"):
        checked(batch.drop_columns(["kind"]), 0)
    with pytest.raises(InvalidEventError, match="'extra'"):
        checked(batch.append_column("extra", pa.array([1, 2])), 0)
    with pytest.raises(InvalidEventError, match="in this order"):
        checked(batch.select(SCHEMA.names[::-1]), 0)


def test_other_types_are_refused() -> None:
    batch = impressions(0, 2)
    wrong = batch.set_column(1, "kind", pa.array([0, 0], pa.int64()))
    with pytest.raises(InvalidEventError, match="'kind': is int64; cast it to uint8"):
        checked(wrong, 0)


def test_nullability_in_the_schema_does_not_matter() -> None:
    batch = impressions(0, 2)
    loose = pa.RecordBatch.from_arrays(batch.columns, names=SCHEMA.names)
    assert checked(loose, 3).schema == SCHEMA


def test_text_that_is_not_utf8_is_refused() -> None:
    batch = impressions(0, 1)
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"], pa.binary()).buffers())
    with pytest.raises(InvalidEventError, match="not a sound Arrow batch"):
        checked(batch.set_column(0, SCHEMA.field("id"), broken), 0)


def test_an_empty_batch_passes() -> None:
    assert len(checked(batch_of([]), 0)) == 0


def test_every_kind_of_event_is_covered() -> None:
    assert batch_of(ONE_OF_EACH)["kind"].to_pylist() == [kind for kind in EventKind if kind != EventKind.REDACTED]
