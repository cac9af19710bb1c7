"""Events for tests: batches of numbered impressions, and hypothesis strategies for every type."""

import pyarrow as pa
from hypothesis import strategies as st

from fourfold.events.types import (
    Action,
    EdgeAdded,
    EdgeRemoved,
    EntityDelete,
    EntityUpsert,
    Event,
    EventKind,
    Impression,
    columns_batch,
)

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
times = st.integers(0, (1 << 52) - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), finite, st.text(), st.lists(st.text(), max_size=3)
)


def events() -> st.SearchStrategy[Event]:
    """Any event of any type."""
    shown = {"id": ids, "time": times, "viewer": ids, "item": ids, "surface": ids, "request": st.none() | ids}
    entity = {"id": ids, "time": times, "type": ids, "key": ids}
    edge = {"id": ids, "time": times, "kind": ids, "source": ids, "target": ids}
    return st.one_of(
        st.builds(
            Impression,
            **shown,
            position=st.none() | st.integers(0, (1 << 31) - 1),
            propensity=st.none() | st.floats(0, 1, exclude_min=True),
            **{name: st.none() | ids for name in ("experiment", "variant", "team")},
        ),
        st.builds(Action, **shown, name=ids, value=st.none() | finite),
        st.builds(EntityUpsert, **entity, attributes=st.dictionaries(st.text(max_size=8), values, max_size=4)),
        st.builds(EntityDelete, **entity),
        st.builds(EdgeAdded, **edge),
        st.builds(EdgeRemoved, **edge),
    )


def impressions(first: int, count: int, prefix: str = "e") -> pa.RecordBatch:
    """Impressions with the ids ``<prefix><number>``, numbered from `first`; the number is also the event time."""
    numbers = range(first, first + count)
    columns = {
        "id": [f"{prefix}{number}" for number in numbers],
        "kind": [int(EventKind.IMPRESSION)] * count,
        "time": list(numbers),
        "surface": ["feed"] * count,
        "subject": [f"viewer{number % 7}" for number in numbers],
        "object": [f"item{number % 11}" for number in numbers],
    }
    return columns_batch(columns, count)
