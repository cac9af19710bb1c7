"""Writes the tables of a small magazine: who saw which article, what they did with it, and who follows whom.

They stand for the exports of a site of one's own. Each reader likes two topics, so there is something to learn.
"""

import csv
import random
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

TOPICS = ("bread", "bridges", "chess", "gardens", "maps", "moths", "trains", "weather")
KINDS = ("A short history of {}", "{} for beginners", "What {} taught me", "The trouble with {}", "Notes on {}")
READERS, AUTHORS, ARTICLES, VISITS, SHOWN, DAYS = 240, 24, 400, 8, 8, 14
START = datetime(2025, 3, 3, 6, tzinfo=UTC)

Row = Sequence[object]


def main(folder: Path) -> None:
    """Write articles.csv, views.csv and follows.csv into a folder."""
    chance = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    articles = [article(number, chance) for number in range(ARTICLES)]
    write(folder / "articles.csv", ("article", "title", "topic", "author", "published"), articles)
    write(folder / "follows.csv", ("reader", "author", "since"), follows(chance))
    header = ("visit", "time", "reader", "article", "place", "clicked", "liked", "hidden")
    write(folder / "views.csv", header, views(articles, chance))


def article(number: int, chance: random.Random) -> Row:
    """One article; the first are a few days old when the log starts."""
    topic = chance.choice(TOPICS)
    title = chance.choice(KINDS).format(topic).capitalize()
    published = START + timedelta(days=DAYS * 1.2 * number / ARTICLES - 3)
    return f"a{number:03}", title, topic, reader(chance.randrange(AUTHORS)), published.isoformat(timespec="seconds")


def follows(chance: random.Random) -> Iterable[Row]:
    """Each reader follows three authors."""
    for number in range(READERS):
        for author in chance.sample(range(AUTHORS), 3):
            if author != number:
                yield reader(number), reader(author), START.isoformat()


def views(articles: Sequence[Row], chance: random.Random) -> Iterable[Row]:
    """What readers were shown in their visits, oldest first."""
    likes = {number: chance.sample(TOPICS, 2) for number in range(READERS)}
    visits = sorted((chance.random() * DAYS, number) for number in range(READERS) for _ in range(VISITS))
    for visit, (day, number) in enumerate(visits):
        now = START + timedelta(days=day)
        fresh = [row for row in articles if now - timedelta(days=4) < datetime.fromisoformat(str(row[4])) < now]
        for place, shown in enumerate(chance.sample(fresh, SHOWN)):
            time = now + timedelta(seconds=5 * place)
            done = actions(shown[2] in likes[number], chance)
            yield f"visit-{visit}", time.isoformat(timespec="seconds"), reader(number), shown[0], place, *done


def actions(fits: bool, chance: random.Random) -> tuple[int, int, int]:
    """Whether the reader clicked, liked and hid."""
    clicked = chance.random() < (0.45 if fits else 0.1)
    liked = clicked and chance.random() < (0.5 if fits else 0.2)
    return int(clicked), int(liked), int(not fits and not clicked and chance.random() < 0.02)


def reader(number: int) -> str:
    """The id of a reader; authors are readers too."""
    return f"r{number:03}"


def write(path: Path, header: Row, rows: Iterable[Row]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
