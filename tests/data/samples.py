"""Small folders in the formats of the public data sets, written by hand, and the real ones where they are."""

import os
from pathlib import Path

import pytest

from fourfold.data.reading import Reader, Rejected
from fourfold.events.types import Event, events_of


def read(reader: Reader) -> tuple[list[Event], list[Rejected]]:
    """All events and all rejected rows of a reader."""
    events: list[Event] = []
    rejected: list[Rejected] = []
    for batch in reader.batches():
        events += events_of(batch.events)
        rejected += batch.rejected
    return events, rejected


def real_data(name: str) -> Path:
    """The folder of a real data set, from the environment variable FOURFOLD_TEST_DATA."""
    folder = os.environ.get("FOURFOLD_TEST_DATA")
    if folder:
        return Path(folder) / name
    reason = f"NOT TESTED ON REAL DATA: set FOURFOLD_TEST_DATA to a folder that holds {name}/"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def official(folder: Path) -> Path:
    """MovieLens-100k as GroupLens packs it: two films, two members, three ratings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "u.data").write_text("1\t10\t5\t881250949\n2\t10\t2\t881250940\n1\t20\t3\t881250950\n")
    flags = ["0"] * 19
    comedy = [*flags[:5], "1", *flags[6:8], "1", *flags[9:]]
    items = [
        "|".join(["10", 'Café "Society" (1995)', "01-Jan-1995", "", "http://x", *comedy]),
        "|".join(["20", "unknown", "", "", "", "1", *flags[1:]]),
    ]
    (folder / "u.item").write_bytes("\n".join(items).encode("latin-1") + b"\n")
    (folder / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
    return folder


def colons(folder: Path, *, users: bool = True, encoding: str = "latin-1") -> Path:
    """MovieLens 1M as GroupLens packs it; 10M has no users, and is UTF-8."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratings.dat").write_text("1::11::5::978300760\n2::12::0.5::978300770\n2::11::4::978300780\n")
    films = ['11::American President: The "Film", The (1995)::Comedy|Drama', "12::Misérables, Les (1995)::Drama|Musical"]
    (folder / "movies.dat").write_bytes("\n".join([*films, '13::Léon (The "Pro")::(no genres listed)', ""]).encode(encoding))
    if users:
        (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n3::M::25::99::55117\n")
    return folder


def csvs(folder: Path) -> Path:
    """MovieLens as CSV: a title with a comma, one without a year, one without genres."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,1,4.5,1000000020\n8,2,0.5,1000000010\n")
    (folder / "movies.csv").write_text(
        'movieId,title,genres\n1,"Kid, The (1921)",Comedy|Drama\n2,Untitled,(no genres listed)\n'
    )
    return folder


def atomic(folder: Path) -> Path:
    """MovieLens as RecBole's atomic files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ml.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t4\t881250949\n")
    (folder / "ml.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tToy \"Story\t1995\tAnimation Children's\n"
    )
    (folder / "ml.user").write_text(
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\ttechnician\t85711\n"
    )
    return folder
