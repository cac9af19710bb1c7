import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fourfold.features.names import UNKNOWN, Names, hash64

texts = st.lists(st.none() | st.text(max_size=3), max_size=20)


@given(st.lists(texts, max_size=4))
def test_columns_are_numbered_in_order_of_first_appearance(columns: list[list[str | None]]) -> None:
    names, seen = Names(), list[str]()
    for column in columns:
        rows = names.add_column(pa.array(column, pa.string()))
        seen += [text for text in dict.fromkeys(column) if text is not None and text not in seen]
        assert rows.tolist() == [UNKNOWN if text is None else seen.index(text) for text in column]
    assert names.since(0) == seen
    assert [names[row] for row in range(len(names))] == seen
    assert Names(seen).find_all([*seen, "never seen"]).tolist() == [*range(len(seen)), UNKNOWN]


def test_one_by_one() -> None:
    names = Names(["a"])
    assert [names.add("b"), names.add("a"), names.find("b"), names.find("c")] == [1, 0, 1, UNKNOWN]
    assert names.since(1) == ["b"]


def test_hashes_are_those_of_every_process_and_version() -> None:
    # Stored in states: another value here means that old states are misread.
    assert hash64(["", "e1"]).tolist() == [13020603013274838756, 292540415853092123]
    assert len(hash64([])) == 0
