from itertools import pairwise
from pathlib import Path

import pytest

from fourfold.data.movielens import movielens_reader
from fourfold.data.reading import DataError
from fourfold.events.types import Action, EntityUpsert, Event, Impression
from tests.data.samples import atomic, colons, csvs, official, read, real_data


def kinds(events: list[Event]) -> tuple[int, int, int]:
    return tuple(sum(isinstance(event, kind) for event in events) for kind in (EntityUpsert, Impression, Action))  # type: ignore[return-value]  # three


def attributes(events: list[Event], type_: str) -> dict[str, dict[str, object]]:
    return {e.key: dict(e.attributes) for e in events if isinstance(e, EntityUpsert) and e.type == type_}


def test_official_folder(tmp_path: Path) -> None:
    events, rejected = read(movielens_reader(official(tmp_path)))
    assert rejected == []
    assert attributes(events, "post") == {
        "10": {
            "title": 'Café "Society"',
            "genres": ["Comedy", "Drama"],
            "year": 1995.0,
            "created": 788_918_400_000,
        },
        "20": {"title": "unknown"},
    }
    assert attributes(events, "member")["2"] == {"age": 53.0, "gender": "F", "occupation": "other"}
    done = [(type(e).__name__, e.time, e.viewer, e.item, getattr(e, "name", None)) for e in events[4:]]  # type: ignore[union-attr]  # no entities left
    first, second, third = 881_250_940_000, 881_250_949_000, 881_250_950_000
    assert done == [
        ("Impression", first, "2", "10", None),
        ("Action", first, "2", "10", "dislike"),
        ("Impression", second, "1", "10", None),
        ("Action", second, "1", "10", "like"),
        ("Action", second, "1", "10", "love"),
        ("Impression", third, "1", "20", None),
    ]


def test_entities_come_first_in_arrival_and_in_time(tmp_path: Path) -> None:
    events, _ = read(movielens_reader(official(tmp_path)))
    assert [type(event) for event in events[:4]] == [EntityUpsert] * 4
    assert max(event.time for event in events[:4]) < min(event.time for event in events[4:])


def test_one_million(tmp_path: Path) -> None:
    events, rejected = read(movielens_reader(colons(tmp_path)))
    assert rejected == []
    year = {"year": 1995.0, "created": 788_918_400_000}
    assert attributes(events, "post") == {
        "11": {"title": 'American President: The "Film", The', "genres": ["Comedy", "Drama"]} | year,
        "12": {"title": "Misérables, Les", "genres": ["Drama", "Musical"]} | year,
        "13": {"title": 'Léon (The "Pro")'},
    }
    assert attributes(events, "member") == {
        "1": {"age": 1.0, "gender": "F", "occupation": "K-12 student"},
        "2": {"age": 56.0, "gender": "M", "occupation": "self-employed"},
        "3": {"age": 25.0, "gender": "M"},
    }
    done = [(e.viewer, e.item, e.time, e.name, e.value) for e in events if isinstance(e, Action)]
    assert done == [
        ("1", "11", 978_300_760_000, "like", 5.0),
        ("1", "11", 978_300_760_000, "love", 5.0),
        ("2", "12", 978_300_770_000, "dislike", 0.5),
        ("2", "11", 978_300_780_000, "like", 4.0),
    ]


def test_ten_million_has_members_in_its_ratings_only(tmp_path: Path) -> None:
    events, rejected = read(movielens_reader(colons(tmp_path, users=False, encoding="utf8")))
    assert rejected == []
    assert [film["title"] for film in attributes(events, "post").values()][1:] == ["Misérables, Les", 'Léon (The "Pro")']
    assert attributes(events, "member") == {"1": {}, "2": {}}
    assert kinds(events) == (3 + 2, 3, 4)


def test_a_wrong_line_between_colons_is_shown_as_it_stands(tmp_path: Path) -> None:
    folder = colons(tmp_path)
    with (folder / "movies.dat").open("a") as file:
        file.write("14::A :: B (1999)::Drama\n")
    _, rejected = read(movielens_reader(folder))
    assert [(row.file, row.row, row.reason, row.raw) for row in rejected] == [
        ("movies.dat", 4, "4 columns where the file has 3", {"line": "14::A :: B (1999)::Drama"})
    ]


def test_csv_folder(tmp_path: Path) -> None:
    folder = csvs(tmp_path)
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n7,1,boring,1000000020\n")
    events, rejected = read(movielens_reader(folder))
    assert rejected == []
    assert attributes(events, "post") == {
        "1": {"title": "Kid, The", "year": 1921.0, "created": -1_546_300_800_000, "genres": ["Comedy", "Drama"]},
        "2": {"title": "Untitled"},
    }
    assert attributes(events, "member") == {"7": {}, "8": {}}
    assert [(e.viewer, e.name, e.value) for e in events if isinstance(e, Action)] == [("8", "dislike", 0.5), ("7", "like", 4.5)]


def test_atomic_files(tmp_path: Path) -> None:
    events, rejected = read(movielens_reader(atomic(tmp_path)))
    assert rejected == []
    assert attributes(events, "post") == {
        "10": {"title": 'Toy "Story', "year": 1995.0, "created": 788_918_400_000, "genres": ["Animation", "Children's"]}
    }
    assert kinds(events) == (2, 1, 1)


@pytest.mark.parametrize("folder", [official, colons, csvs, atomic])
def test_ids_are_the_same_every_time_and_unique(folder: object, tmp_path: Path) -> None:
    written = folder(tmp_path)  # type: ignore[operator]  # one of the three functions
    first, second = (read(movielens_reader(written))[0] for _ in range(2))
    assert first == second
    assert len({event.id for event in first}) == len(first)


def test_bad_rows_are_rejected_with_their_number(tmp_path: Path) -> None:
    folder = csvs(tmp_path)
    with (folder / "ratings.csv").open("a") as file:
        file.write(",1,4.0,1000000000\n7,1,good,1000000000\n7,1,4.0,-5\n7,1,4.0,yesterday\n7,1\n7,2,5.0,1000000030\n")
        file.write("7,2,5.0,1000000040000\n")
    events, rejected = read(movielens_reader(folder))
    assert sorted((row.row, row.reason) for row in rejected) == [
        (3, "userId: missing id"),
        (4, "rating: not a number"),
        (5, "timestamp: a negative time"),
        (6, "timestamp: not a time"),
        (7, "2 columns where the file has 4"),
        (9, "timestamp: a time outside 1980 to 2100 (is its unit right?)"),
    ]
    assert [row.raw for row in rejected if row.row == 4] == [
        {"userId": "7", "movieId": "1", "rating": "good", "timestamp": "1000000000"}
    ]
    assert kinds(events)[1] == 3


def test_a_folder_that_lacks_a_file(tmp_path: Path) -> None:
    folder = csvs(tmp_path)
    (folder / "movies.csv").unlink()
    with pytest.raises(DataError, match=r"lacks movies\.csv; expected ratings\.csv, movies\.csv, found ratings\.csv"):
        movielens_reader(folder)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        DataError, match=r"expected u\.data.*ratings\.dat, movies\.dat; or ratings\.csv.*\*\.inter.*found notes\.txt"
    ):
        movielens_reader(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        movielens_reader(tmp_path / "nowhere")


def test_latest_small_as_published() -> None:
    events, rejected = read(movielens_reader(real_data("movielens-latest-small")))
    assert rejected == []
    upserts, impressions, _ = kinds(events)
    assert (upserts, impressions) == (9_742 + 610, 100_836)
    assert len({event.id for event in events}) == len(events)
    assert all(a.time <= b.time for a, b in pairwise(events))
