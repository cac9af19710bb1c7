from dataclasses import replace

from fourfold.definition import Counted, Distinct, History, Last, Mean, Rate, Ratio, Sum, TimeSince
from fourfold.features.counting import Counting, Tally, tallies
from fourfold.features.state import State
from tests.strategies import TINY


def test_each_table_is_there_once() -> None:
    places = Counting(TINY, {}, State(TINY).view().details).places
    every = [tally for of_place in places.values() for tally in of_place]
    assert len(every) == len(set(every)) == len({tally.table for tally in every})
    assert set(every) == {tally for feature in TINY.features for tally in tallies(feature)}
    assert all((tally.by, tally.of) == place for place, of_place in places.items() for tally in of_place)


def test_the_tables_of_each_kind() -> None:
    item = ("item",)
    assert [tally.table for tally in tallies(Rate("r", ("viewer", "item.author"), "like"))] == [
        "count/impression/viewer+item.author",
        "count/like/viewer+item.author",
        "count/unknown:like/viewer+item.author",
    ]
    for feature in (Sum("s", item, "click"), Mean("m", item, "click"), Last("l", item, "click")):
        assert list(tallies(feature)) == [Tally(item, "click", "value")]
    assert [tally.table for tally in tallies(TimeSince("t", item))] == ["dated/impression/item"]
    assert [tally.table for tally in tallies(Distinct("d", item, "viewer"))] == ["distinct/impression/item/viewer"]
    assert len(list(tallies(Ratio("r", Counted(item), Counted(item, "click"))))) == 2


def test_values_are_kept_where_something_reads_them() -> None:
    details = State(TINY).view().details
    silent = replace(TINY, features=(TimeSince("t", ("item",)),))
    assert not Counting(silent, {}, details).valued
    assert Counting(replace(silent, history=History(values=("click",))), {}, details).valued
    assert Counting(TINY, {}, details).valued
