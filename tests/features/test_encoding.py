"""Encoding: ids by the text alone, zeros where nothing is known, schemas that say what the columns are."""

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.definition import Category, Entity, Recommender, Text
from fourfold.events.types import EntityUpsert, Event, Value, batch_of
from fourfold.features.encoding import VALUES, Encoder, schema_of
from fourfold.features.inputs import Ids, id_columns
from tests.features.samples import state_of
from tests.strategies import START, TINY


def upsert(key: str, time: int = START, type_: str = "post", **attributes: Value) -> EntityUpsert:
    return EntityUpsert(id=f"{type_}-{key}-{time}", time=time, type=type_, key=key, attributes=attributes)


def field(name: str, *attributes: Event, key: str = "p0", at: int = START + 1) -> list[int]:
    """The columns of one field of an item."""
    view, encoder = state_of(attributes).view(), Encoder(TINY)
    columns = dict(zip((f.name for f in encoder.schema.item), id_columns(encoder.schema.item), strict=True))
    ids: Ids = encoder.items(view, view.rows("post", [key]), np.array([at]))
    found: list[int] = ids[0, columns[name]].tolist()
    return found


def bucket(name: str, text: str, buckets: int) -> int:
    return 2 + zlib.crc32(f"{name}\x1f{text}".encode()) % buckets


def test_the_schema_names_every_column() -> None:
    schema = schema_of(TINY)
    assert [(f.name, f.width) for f in schema.item] == [("id", 1), ("title", 32), ("author", 1), ("topics", VALUES)]
    assert [f.name for f in schema.viewer] == ["country"]
    assert set(schema.early) | set(schema.late) == {feature.name for feature in TINY.features}
    assert schema.actions == ("click", "like", "hide")
    assert schema.passive == (True, False, False)
    assert schema.positive == (True, True, False)
    view = state_of([upsert("p0")]).view()
    ids = Encoder(TINY).items(view, np.array([0, -1]), np.full(2, START + 1))
    assert ids.shape == (2, sum(f.width for f in schema.item))
    assert ids.dtype == np.int32


def test_values_by_hand() -> None:
    made = upsert("p0", title="Red, red BIRD", author="m1", topics=["art", "food"])
    assert field("id", made) == [bucket("id", "p0", TINY.item.buckets)]
    red, bird = bucket("title", "red", 16384), bucket("title", "bird", 16384)
    assert field("title", made) == [red, red, bird, *[0] * 29]
    assert field("author", made) == [bucket("author", "m1", 4096)]
    assert field("topics", made) == [bucket("topics", "art", 4096), bucket("topics", "food", 4096), *[0] * 6]


def test_nothing_known_is_zero_and_an_unknown_item_is_one() -> None:
    assert field("author", upsert("p0")) == [0]
    assert field("topics", upsert("p0", topics=[])) == [0] * VALUES
    assert field("title", upsert("p0", title="")) == [0] * 32
    assert field("id", upsert("p0"), key="never seen") == [1]
    assert field("author", upsert("p0"), key="never seen") == [0]
    assert field("author", upsert("p0", author="m1"), at=START) == [0], "the upsert lies in the future"


def test_what_does_not_fit_is_cut() -> None:
    assert 0 not in field("title", upsert("p0", title=" ".join(f"w{n}" for n in range(40))))
    assert 0 not in field("topics", upsert("p0", topics=[f"t{n}" for n in range(12)]))


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=5, unique=True), st.integers(1, 5))
def test_ids_are_in_range_and_functions_of_the_text_alone(authors: list[str], buckets: int) -> None:
    definition = Recommender(
        "feed", Entity("member"), Entity("post", (Category("author", buckets=buckets), Text("words")), buckets=buckets)
    )
    events: list[Event] = [upsert(f"p{n}", author=author, words=author) for n, author in enumerate(authors)]
    keys = [f"p{n}" for n in range(len(authors))]
    found = []
    for order in (events, events[::-1]):
        view, encoder = state_of(order, definition).view(), Encoder(definition)
        for _ in range(2):  # once more from what the encoder keeps
            found.append(encoder.items(view, view.rows("post", keys), np.full(len(keys), START + 1)))
    assert all(np.array_equal(found[0], other) for other in found[1:])
    assert found[0][:, :2].min() >= 2
    assert found[0][:, :2].max() <= buckets + 1


def test_an_encoder_learns_names_that_came_since() -> None:
    state, encoder = state_of([upsert("p0", author="m1")]), Encoder(TINY)
    old = state.view()
    before = encoder.items(old, np.array([0]), np.array([START + 5]))
    state.apply(batch_of([upsert("p1", author="m2"), upsert("m0", type_="member", country="dk")]))
    new = state.view()
    both = encoder.items(new, np.array([0, 1]), np.full(2, START + 5))
    np.testing.assert_array_equal(both[:1], before)
    assert both[1, 33] == bucket("author", "m2", 4096)
    assert encoder.viewers(new, np.array([0, -1]), np.full(2, START + 5)).tolist() == [[bucket("country", "dk", 4096)], [0]]
