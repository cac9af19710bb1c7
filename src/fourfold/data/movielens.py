"""MovieLens in its formats: 100k, the ``::`` files of 1M and 10M, the CSV files of 20M and later, and RecBole's atomic files.

A rating is an impression with actions at the same time: who rated a film has seen it. Tags are left out: a tag says what a film
is about and not whether it was liked, and few members ever gave one.
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

OCCUPATIONS = (
    *("other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service"),
    *("doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer", "retired"),
    *("sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer"),
)
"""What the numbers from 0 on mean in ``users.dat``, in the words of its README."""

OFFICIAL, COLONS = ("u.data", "u.item", "u.user"), ("ratings.dat", "movies.dat")
CSV, ATOMIC = ("ratings.csv", "movies.csv"), ("*.inter", "*.item", "*.user")

CSV_COLUMNS, _FILM = ("userId", "movieId", "rating", "timestamp"), ("movieId", "title", "genres")
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
    """A reader of a MovieLens folder, whichever of the formats it holds.

    Raises
    ------
    DataError
        If it holds none of them; the message lists the files of each.
    """
    for patterns, build in ((OFFICIAL, _official), (COLONS, _colons), (CSV, _csv), (ATOMIC, _atomic)):
        if folder.is_dir() and any(any(folder.glob(pattern)) for pattern in patterns[:1]):
            return build([found_in(folder, patterns)[pattern][0] for pattern in patterns], surface)
    formats = "; or ".join(", ".join(patterns) for patterns in (OFFICIAL, COLONS, CSV, ATOMIC))
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


def _colons(paths: list[Path], surface: str) -> TabularReader:
    """1M, which has members in ``users.dat``, and 10M, which has none."""
    ratings, movies = paths
    data, film, user = (
        TextFormat(delimiter="::", quote=None, encoding=_encoding(movies), names=names)
        for names in (CSV_COLUMNS, _FILM, ("userId", "gender", "age", "occupation", "zip code"))
    )
    users = ratings.with_name("users.dat")
    about = _members("userId", "age", "gender", "occupation")
    members = [EntityFile(path=users, columns=about, text=user, read=user.names, derive=_with_occupation)]
    return TabularReader(
        name="movielens",
        entities=(
            EntityFile(path=movies, columns=_POST, text=film, read=_FILM, derive=_from_csv),
            *(members if users.exists() else ()),
        ),
        logs=(
            LogFile(
                path=ratings,
                columns=_ratings(surface, *CSV_COLUMNS),
                text=data,
                viewers=None if users.exists() else "member",
            ),
        ),
    )


def _encoding(movies: Path) -> str:
    """1M is latin-1, 10M is UTF-8, and no file says which."""
    try:
        movies.read_bytes().decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf8"


def _csv(paths: list[Path], surface: str) -> TabularReader:
    ratings, movies = paths
    return TabularReader(
        name="movielens",
        entities=(EntityFile(path=movies, columns=_POST, read=_FILM, derive=_from_csv),),
        logs=(LogFile(path=ratings, columns=_ratings(surface, *CSV_COLUMNS), viewers="member"),),
    )


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


def _with_occupation(rows: pa.RecordBatch) -> pa.RecordBatch:
    numbers = pa.array([str(number) for number in range(len(OCCUPATIONS))])
    named = pa.array(OCCUPATIONS).take(pc.index_in(rows.column("occupation"), value_set=numbers))
    return rows.set_column(rows.schema.get_field_index("occupation"), "occupation", named)


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
