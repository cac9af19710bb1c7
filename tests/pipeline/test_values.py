"""The single values of categories, for items in any order and as values come."""

import numpy as np

from fourfold.events.types import EntityUpsert, Value, batch_of
from fourfold.pipeline.values import Values
from tests.features.samples import state_of
from tests.strategies import START


def upsert(post: str, time: int = START, **attributes: Value) -> EntityUpsert:
    return EntityUpsert(id=f"{post}{time}{sorted(attributes)}", time=time, type="post", key=post, attributes=attributes)


def test_values_of_items_as_they_come() -> None:
    state = state_of([upsert("p0", topics=["art", "food", "art"], author="m0"), upsert("p1", topics=[]), upsert("p2")])
    view, values = state.view(), Values()
    found = values.of(view, "topics", np.array([0, -1, 1, 2, 0]), START + 1)
    art, food = (values.find(view, "topics", name) for name in ("art", "food"))
    assert found.codes.tolist() == [art, food, art, food], "an item has a value once"
    assert found.starts.tolist() == [0, 2, 2, 2, 2, 4]
    assert found.items.tolist() == [0, 0, 4, 4]
    assert found.having(np.array([food])).tolist() == [True, False, False, False, True]
    assert found.of(4).tolist() == [art, food]
    assert found.take(np.array([4, 1])).starts.tolist() == [0, 2, 2]
    assert values.of(view, "author", np.array([1, 0]), START + 1).starts.tolist() == [0, 0, 1]
    assert values.find(view, "author", "m0") == values.of(view, "author", np.array([0]), START + 1).codes[0]
    assert values.find(view, "topics", "sea") == values.find(view, "author", "m9") == -1

    state.apply(batch_of([upsert("p1", START + 1, topics=["sea", "food"])]), 4)
    later = values.of(state.view(), "topics", np.array([0, 1]), START + 2)
    assert later.codes.tolist() == [art, food, values.find(state.view(), "topics", "sea"), food]
    other = state_of([upsert("p0", topics=["food"])]).view()
    assert values.of(other, "topics", np.array([0]), START + 1).codes.tolist() == [values.find(other, "topics", "food")]
