"""Consumers for tests: a log and a store in a folder, impressions to fill them, and all that can be asked of a view."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from fourfold.definition import Count, Recommender
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import Event, Impression, batch_of
from fourfold.features.consumer import MANIFEST, StateConsumer
from fourfold.features.numbers import numbers
from fourfold.features.saved import Manifest
from fourfold.features.timeline import timeline
from fourfold.features.view import View
from fourfold.stores.consumer import ConsumerStore
from tests.features.samples import all_pairs, state_of
from tests.strategies import HOUR, MEMBERS, START, TINY

MOMENTS = [START + 12 * HOUR, START + 25 * HOUR]
OTHER = replace(TINY, features=(*TINY.features, Count("hides", ("item",), event="hide")))


@contextmanager
def opened(folder: Path) -> Iterator[tuple[LmdbLog, ConsumerStore]]:
    with LmdbLog(folder / "log", map_size=1 << 20) as log, ConsumerStore(folder / "state", map_size=1 << 20) as store:
        yield log, store


def answers(view: View) -> list[object]:
    """What can be asked of a view, by ids, so that views which number their rows differently can be compared."""
    members, posts, when, _ = all_pairs(view, MOMENTS)
    rows = view.rows("member", MEMBERS)
    known = rows[rows >= 0]
    found = timeline(view, known, np.full(len(known), MOMENTS[-1]))
    edges = view.neighbours("follows", known, np.full(len(known), MOMENTS[-1]))
    return [
        np.nan_to_num(numbers(view, view.definition.features, members, posts, when), nan=-1e9).tolist(),
        view.alive("post", posts, when).tolist(),
        [view.text("post", "title", int(row), MOMENTS[-1]) for row in posts if row >= 0],
        view.ids("post", found.item),
        [column.tolist() for column in (found.time, found.request, found.seen, found.shown, found.actions, found.starts)],
        sorted(zip(view.ids("member", known[edges["query"]]), view.ids("member", edges["other"]), strict=True)),
    ]


def expected(events: Sequence[Event], definition: Recommender = TINY) -> list[object]:
    return answers(state_of(events, definition).view())


def shown(number: int, item: str = "p0") -> Impression:
    return Impression(id=f"i{number}", time=START + number, viewer=f"m{number % 3}", item=item, surface="feed")


def filled(home: tuple[LmdbLog, ConsumerStore], events: int) -> StateConsumer:
    """A consumer that has committed so many impressions."""
    log, store = home
    log.append(batch_of(shown(number) for number in range(events)), START)
    consumer = StateConsumer(TINY, log, store)
    consumer.catch_up()
    consumer.commit()
    return consumer


def manifest(store: ConsumerStore) -> Manifest:
    return msgspec.json.decode(store.get(MANIFEST) or b"", type=Manifest)


def kept(store: ConsumerStore) -> set[bytes]:
    return {key for key, _ in store.scan()}


def files(store: ConsumerStore) -> set[str]:
    folder = store.files.folder
    return {path.name for path in folder.iterdir()} - {"lock"} if folder.exists() else set()
