"""What `fourfold bench serve` serves: members with histories of any length up to a thousand, and a trained version."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from fourfold.definition import DotProduct, FeedSR, History, Recommender, TwoTower
from fourfold.events.types import EventKind, Value, columns_batch, encode_attributes
from fourfold.features.table import Int
from fourfold.lab.benchmark import Say
from fourfold.modes.home import Home
from fourfold.surfaces.presets import world
from fourfold.training.loop import TrainingConfig
from fourfold.training.run import run_training

DAY, DAYS, SLATE = 86_400_000, 30, 8
TOPICS, AUTHORS = 8, 500
RATES = {"click": 0.25, "long_view": 0.1, "like": 0.05, "hide": 0.01}
DEPLOYMENT = "[feed]\nbudget_ms = 10000\nhistory_cache_mb = 256\n"


@dataclass(frozen=True)
class Sizes:
    """How large the world is. The ranker trains on the first `trained_on` of its time: weights do not change how fast it is."""

    items: int
    members: int
    history: int
    ranked: int
    ranker: FeedSR
    retrieval: TwoTower
    trained_on: float


FULL = Sizes(items=12_000, members=1_000, history=1_000, ranked=300, ranker=FeedSR(), retrieval=TwoTower(), trained_on=0.03)
QUICK = Sizes(
    items=300,
    members=40,
    history=60,
    ranked=50,
    ranker=FeedSR(width=16, layers=1),
    retrieval=TwoTower(width=8),
    trained_on=0.5,
)


def definition(sizes: Sizes) -> Recommender:
    """A feed in which nothing expires, so that all items compete."""
    feed = world()
    return replace(
        feed,
        item=replace(feed.item, lifetime=None),
        filters=tuple(declared for declared in feed.filters if declared.kind != "expired"),
        history=History(impressions=sizes.history, block=sizes.history // 8),
        early_ranker=DotProduct(keep=sizes.ranked),
        ranker=sizes.ranker,
        retrieval=sizes.retrieval,
    )


def make_home(path: Path, sizes: Sizes, end: int, say: Say) -> Home:
    """A home with the world's events, the last of them before `end`, and a promoted version."""
    home = Home(path)
    home.define(definition(sizes))
    home.deploy(DEPLOYMENT)
    for batch in batches(sizes, end):
        home.log.append(batch, end)
    consumer = home.consumer("feed", commits=True)
    consumer.catch_up()
    consumer.commit()
    view = consumer.state.view()
    until = end - round((1 - sizes.trained_on) * DAYS * DAY)
    say(f"training on {sizes.trained_on:.0%} of the time of {len(view.table('impression')):,} impressions")
    outcome = run_training(
        view,
        home.registry,
        until=until,
        created=end,
        config=TrainingConfig(epochs=1, batch_entries=2_000),
        checkpoints=home.training,
        on_stage=lambda _: lambda _: None,
    )
    home.registry.promote("feed", outcome.version)
    consumer.close()
    return home


def lengths(sizes: Sizes) -> Int:
    """How many impressions each member has: from `history` for the first down to a fiftieth of it, evenly on a log scale."""
    return np.geomspace(sizes.history, max(sizes.history // 50, 1), sizes.members).astype(np.int64)


def viewers(sizes: Sizes, count: int, seed: int) -> list[str]:
    """Who asks: members by Zipf's law with exponent 1, those with the longest histories most often."""
    weight = 1 / np.arange(1, sizes.members + 1)
    drawn = np.random.default_rng(seed).choice(sizes.members, count, p=weight / weight.sum())
    return [f"m{member}" for member in drawn.tolist()]


def batches(sizes: Sizes, end: int, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """Entities, then impressions in sessions of eight and what was done with them, in the order of time."""
    rng, start = np.random.default_rng(seed), end - DAYS * DAY
    authors = rng.integers(0, min(AUTHORS, sizes.members), sizes.items).tolist()
    topics = rng.integers(0, TOPICS, sizes.items).tolist()
    posts: list[dict[str, Value]] = [
        {"title": f"post {number}", "author": f"m{author}", "topic": f"t{topic}", "created": start}
        for number, (author, topic) in enumerate(zip(authors, topics, strict=True))
    ]
    yield _upserts("post", "p", [encode_attributes(post) for post in posts], start)
    members = rng.integers(0, TOPICS, sizes.members).tolist()
    yield _upserts("member", "m", [encode_attributes({"interest": f"t{topic}"}) for topic in members], start)
    count = lengths(sizes)
    viewer = np.repeat(np.arange(sizes.members), count)
    place = np.arange(len(viewer)) - np.repeat(np.cumsum(count) - count, count)
    sessions = np.repeat(np.cumsum(-(-count // SLATE)) - -(-count // SLATE), count) + place // SLATE
    opened = rng.integers(start + DAY // 2, end - DAY // 24, sessions[-1] + 1)
    item = rng.zipf(1.3, len(viewer)) * 7919 % sizes.items
    yield from _histories(viewer, item, opened[sessions], sessions, rng)


def _histories(viewer: Int, item: Int, time: Int, sessions: Int, rng: np.random.Generator) -> Iterator[pa.RecordBatch]:
    everything = np.arange(len(viewer))
    parts = [(everything, np.full(len(viewer), EventKind.IMPRESSION), np.full(len(viewer), None, object), time)]
    for name, rate in RATES.items():
        did = np.flatnonzero(rng.random(len(viewer)) < rate)
        later = time[did] + rng.integers(1_000, 60_000, len(did))
        parts.append((did, np.full(len(did), EventKind.ACTION), np.full(len(did), name, object), later))
    row, kind, names, when = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(when, kind="stable")
    for start in range(0, len(order), 5_000):
        chosen = order[start : start + 5_000]
        at = row[chosen]
        columns = {
            "id": [f"e{number}" for number in chosen.tolist()],
            "kind": kind[chosen],
            "time": when[chosen],
            "surface": ["feed"] * len(chosen),
            "subject": [f"m{member}" for member in viewer[at].tolist()],
            "object": [f"p{post}" for post in item[at].tolist()],
            "request": [f"r{session}" for session in sessions[at].tolist()],
            "name": names[chosen],
        }
        yield columns_batch(columns, len(chosen))


def _upserts(entity: str, prefix: str, attributes: list[bytes], time: int) -> pa.RecordBatch:
    keys = [f"{prefix}{number}" for number in range(len(attributes))]
    columns = {
        "id": [f"new-{key}" for key in keys],
        "kind": np.full(len(keys), EventKind.ENTITY_UPSERT),
        "time": np.full(len(keys), time),
        "subject": keys,
        "name": [entity] * len(keys),
        "attributes": attributes,
    }
    return columns_batch(columns, len(keys))
