"""MovieLens in its three formats: the official 100k folder, the CSV files of 20M and later, and RecBole's atomic files.

A rating is an impression with actions at the same time: who rated a film has seen it.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fourfold.data.entities import AttributeColumn, EntityColumns
from fourfold.data.files import TextFormat
from fourfold.data.interactions import ActionRule, InteractionColumns, TimeColumn
from fourfold.data.reading import DataError, found_in
from fourfold.data.tabular import EntityFile, LogFile, TabularReader

GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
"""The genre flags of ``u.item``, in the order of its columns."""

OFFICIAL, CSV, ATOMIC = ("u.data", "u.item", "u.user"), ("ratings.csv", "movies.csv"), ("*.inter", "*.item", "*.user")

_RATINGS = (("like", 4.0, 5.0), ("love", 5.0, 5.0), ("dislike", 0.0, 2.0))
_TITLE_YEAR = r"^(?P<title>.*?)\s*(?:\((?P<year>[0-9]{4})\))?\s*$"
_ITEM = ("movie id", "movie title", "release date", "video release date", "IMDb URL", *GENRES)
_POST = EntityColumns(
    type="post",
    key="key",
    attributes=(
        AttributeColumn(name="title", column="title", kind="text"),
        AttributeColumn(name="genres", column="genres", split="|"),
        AttributeColumn(name="year", column="year", kind="number"),
        AttributeColumn(name="created", column="created", kind="moment", format="%Y-%m-%d"),
    ),
)


def movielens_reader(folder: Path, *, surface: str = "feed") -> TabularReader:
    """A reader of a MovieLens folder, whichever of the three formats it holds.

    Raises
    ------
    DataError
        If it holds none of them; the message lists the files of each.
    """
    for patterns, build in ((OFFICIAL, _official), (CSV, _csv), (ATOMIC, _atomic)):
        if folder.is_dir() and any(any(folder.glob(pattern)) for pattern in patterns[:1]):
            return build([found_in(folder, patterns)[pattern][0] for pattern in patterns], surface)
    formats = "; or ".join(", ".join(patterns) for patterns in (OFFICIAL, CSV, ATOMIC))
    there = ", ".join(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "no such folder"
    raise DataError(f"{folder} is no MovieLens folder: expected {formats}; found {there or 'nothing'}")


def _official(paths: list[Path], surface: str) -> TabularReader:
    ratings, items, users = paths
    data = TextFormat(delimiter="\t", quote=None, names=("user id", "item id", "rating", "timestamp"))
    item = TextFormat(delimiter="|", quote=None, encoding="latin-1", names=_ITEM)
    user = TextFormat(
        delimiter="|", quote=None, encoding="latin-1", names=("user id", "age", "gender", "occupation", "zip code")
    )
    return TabularReader(
        name="movielens",
        entities=(
            EntityFile(path=items, columns=_POST, text=item, read=_ITEM, derive=_from_official),
            EntityFile(path=users, columns=_members("user id", "age", "gender", "occupation"), text=user),
        ),
        logs=(LogFile(path=ratings, columns=_ratings(surface, *data.names), text=data),),
    )


def _csv(paths: list[Path], surface: str) -> TabularReader:
    ratings, movies = paths
    return TabularReader(
        name="movielens",
        entities=(EntityFile(path=movies, columns=_POST, read=("movieId", "title", "genres"), derive=_from_csv),),
        logs=(LogFile(path=ratings, columns=_ratings(surface, *CSV_COLUMNS), viewers="member"),),
    )


CSV_COLUMNS = ("userId", "movieId", "rating", "timestamp")


def _atomic(paths: list[Path], surface: str) -> TabularReader:
    ratings, items, users = paths
    text = TextFormat(delimiter="\t", quote=None)
    read = ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")
    log = _ratings(surface, "user_id:token", "item_id:token", "rating:float", "timestamp:float")
    members = _members("user_id:token", "age:token", "gender:token", "occupation:token")
    return TabularReader(
        name="movielens",
        entities=(
            EntityFile(path=items, columns=_POST, text=text, read=read, derive=_from_atomic),
            EntityFile(path=users, columns=members, text=text),
        ),
        logs=(LogFile(path=ratings, columns=log, text=text),),
    )


def _ratings(surface: str, viewer: str, item: str, rating: str, time: str) -> InteractionColumns:
    rules = tuple(
        ActionRule(name=name, column=rating, at_least=low, at_most=high, value=rating) for name, low, high in _RATINGS
    )
    return InteractionColumns(surface=surface, viewer=viewer, item=item, time=TimeColumn(column=time), rules=rules)


def _members(key: str, age: str, gender: str, occupation: str) -> EntityColumns:
    attributes = (
        AttributeColumn(name="age", column=age, kind="number"),
        AttributeColumn(name="gender", column=gender),
        AttributeColumn(name="occupation", column=occupation),
    )
    return EntityColumns(type="member", key=key, attributes=attributes)


def _from_official(rows: pa.RecordBatch) -> pa.RecordBatch:
    title, year = _titled(rows.column("movie title"))
    flags = [pc.if_else(pc.equal(rows.column(genre), "1"), f"|{genre}", "") for genre in GENRES[1:]]
    genres = pc.utf8_ltrim(pc.binary_join_element_wise(*flags, ""), "|")
    released = pc.strptime(rows.column("release date"), format="%d-%b-%Y", unit="s", error_is_null=True)
    return _posts(rows.column("movie id"), title, year, genres, pc.strftime(released, format="%Y-%m-%d"))


def _from_csv(rows: pa.RecordBatch) -> pa.RecordBatch:
    title, year = _titled(rows.column("title"))
    genres = rows.column("genres")
    genres = pc.if_else(pc.equal(genres, "(no genres listed)"), None, genres)
    return _posts(rows.column("movieId"), title, year, genres, _new_year(year))


def _from_atomic(rows: pa.RecordBatch) -> pa.RecordBatch:
    key, title, year, classes = rows.columns
    year = pc.if_else(pc.match_substring_regex(year, "^[0-9]{4}$"), year, None)
    return _posts(key, title, year, pc.replace_substring(classes, " ", "|"), _new_year(year))


def _posts(key: pa.Array, title: pa.Array, year: pa.Array, genres: pa.Array, created: pa.Array) -> pa.RecordBatch:
    columns = {"key": key, "title": title, "genres": genres, "year": year, "created": created}
    return pa.RecordBatch.from_pydict(columns)


def _titled(titles: pa.Array) -> tuple[pa.Array, pa.Array]:
    parts = pc.extract_regex(titles, _TITLE_YEAR)
    year = parts.field("year")
    return parts.field("title"), pc.if_else(pc.equal(year, ""), None, year)


def _new_year(year: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(year, "01", "01", "-")
