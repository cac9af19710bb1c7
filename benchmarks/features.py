"""How fast features are asked for: of 512 items in one request, and as of 100,000 labels, against Feast and DuckDB.

The world: 10,000 items with 20 number attributes each, all of which change with each of 1,000,000 upserts; labels are (item,
time) pairs, about one in a hundred of them earlier than anything known of its item. No label's time is that of an event, so
"before" and "up to" mean the same. All sides hold the same values, exactly representable in 32 bits, and this is checked
apart from what is timed: the request's 512 x 20 values, and every label's 20.

What is prepared beforehand, on nobody's clock:

- Fourfold: a `State` that has applied the events in batches (`detail.build_s`). It holds every version of every item.
- Feast: a repository with one view of 20 fields over a Parquet file of the events; for requests, the newest values of each item
  in SQLite, by ``materialize`` (`detail.feast_materialize_s`). A process per round and step, warmed up by a few calls.
- DuckDB: events and labels as tables in its memory.

What is timed, as the median over rounds in which the sides take turns:

- a request: from 512 ids as strings to values, ours as an array of shape (512, 20), Feast's by
  ``get_online_features(features, entity_rows).to_dict()``. One thread each.
- a join: from labels as (id, time) in memory to 20 values each. Ours as an array; Feast's by
  ``get_historical_features(entity_df, features).to_df()``, which reads its file and takes as many threads as it likes (dask's
  default); DuckDB's by one ``ASOF LEFT JOIN``, to Arrow. Ours and DuckDB's run on one thread.

`detail.counters_ms` is a request of 512 candidates for 10 counts and rates over windows of a million impressions and actions.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.peers.call import PeerMissingError, call
from fourfold.definition import Action, AttributeValue, Category, Count, Entity, Number, Rate, Recommender
from fourfold.events.types import EventKind, columns_batch, encode_attributes
from fourfold.features.numbers import numbers
from fourfold.features.state import State
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.lab.benchmark import Benchmark, Say

Values = NDArray[np.float32]
T = TypeVar("T")

NAMES = tuple(f"f{number}" for number in range(20))
START, SPAN = 1_650_844_800_000, 11 * 86_400_000
MEMBERS, AUTHORS, REQUEST, BATCH, WARM = 25_000, 2_000, 512, 1 << 16, 3

ATTRIBUTES = Recommender(
    surface="feed",
    viewer=Entity("member"),
    item=Entity("post", tuple(Number(name) for name in NAMES)),
    actions=(Action("click"),),
    features=tuple(AttributeValue(name, "item", name) for name in NAMES),
)

COUNTERS = Recommender(
    surface="feed",
    viewer=Entity("member"),
    item=Entity("post", (Category("author"),)),
    actions=(Action("click"), Action("like")),
    features=(
        Count("shown", ("item",)),
        Count("shown_1d", ("item",), window="1d"),
        Count("clicks_1h", ("item",), event="click", window="1h"),
        Rate("click_rate", ("item",), "click"),
        Rate("click_rate_7d", ("item",), "click", window="7d"),
        Rate("like_rate_7d", ("item",), "like", window="7d"),
        Rate("author_rate_7d", ("item.author",), "click", window="7d"),
        Count("viewer_clicks_1d", ("viewer",), event="click", window="1d"),
        Rate("viewer_rate", ("viewer",), "click"),
        Rate("affinity_7d", ("viewer", "item.author"), "click", window="7d"),
    ),
)


@dataclass(frozen=True)
class Sizes:
    """How large the world is, and how often everything is repeated."""

    items: int
    events: int
    labels: int
    rounds: int
    repeats: int


FULL, QUICK = Sizes(10_000, 1_000_000, 100_000, 3, 30), Sizes(200, 4_000, 1_000, 1, 2)


@dataclass(frozen=True)
class World:
    """Upserts in the order of time, (item, time) labels, and the items of one request; ids are ``p`` and a number."""

    item: Int  # (events,)
    time: Int  # (events,), even
    values: Values  # (events, features)
    label_item: Int  # (labels,)
    label_time: Int  # (labels,), odd
    request: list[str]

    @property
    def now(self) -> int:
        """When the request is made."""
        return int(self.time[-1]) + 1


@dataclass(frozen=True)
class Answer:
    """What one side took, and said: a row per item or label, NaN where it knows nothing or has no row."""

    seconds: float
    values: Values
    dropped: int = 0


def run(*, quick: bool, folder: Path, say: Say) -> Benchmark:
    """Prepare all sides, let them take turns, and compare their answers and times."""
    sizes = QUICK if quick else FULL
    world = make_world(sizes)
    say(f"making the state of {sizes.events} upserts")
    build_s, view = _timed(lambda: attributes_view(world))
    write_tables(folder, world)
    peers = Peers(folder, sizes.repeats)
    prepared = peers.prepared(say)
    rounds: list[dict[str, Answer]] = []
    for number in range(sizes.rounds):
        say(f"round {number + 1} of {sizes.rounds}")
        rounds.append({"online": online(view, world, sizes.repeats), "join": join(view, world)} | peers.answers())
    say(f"making counters of {sizes.events} impressions and actions")
    counters_s = counters_seconds(sizes)
    detail = {"build_s": build_s, **prepared, **_times(rounds), "counters_ms": counters_s * 1e3}
    return Benchmark(
        name="features",
        equal=all(map(all_equal, rounds)),
        ratios=_ratios(rounds),
        detail=detail | {f"{name}_labels_dropped": found.dropped for name, found in rounds[0].items() if "join" in name},
        skipped=peers.skipped,
    )


def make_world(sizes: Sizes, seed: int = 0) -> World:
    """Draw a world; the same seed gives the same."""
    draw = np.random.default_rng(seed)
    step = SPAN // sizes.events // 2 * 2
    labels = draw.integers(0, SPAN // 2, sizes.labels) * 2 + 1
    return World(
        item=draw.integers(0, sizes.items, sizes.events),
        time=START + step * np.arange(sizes.events),
        values=(draw.integers(0, 1 << 20, (sizes.events, len(NAMES))) / 1024).astype(np.float32),
        label_item=draw.integers(0, sizes.items, sizes.labels),
        label_time=START + labels,
        request=_ids(draw.permutation(sizes.items)[:REQUEST]),
    )


def attributes_view(world: World) -> View:
    """The state after all upserts, which come in batches as from a log."""
    state = State(ATTRIBUTES)
    for start in range(0, len(world.time), BATCH):
        part = slice(start, start + BATCH)
        attributes = [encode_attributes(dict(zip(NAMES, row, strict=True))) for row in world.values[part].tolist()]
        state.apply(_upserts(_ids(world.item[part]), world.time[part], attributes, start))
    return state.view()


def counters_view(sizes: Sizes, seed: int = 0) -> View:
    """The state after impressions and actions of members on items with authors."""
    draw = np.random.default_rng(seed)
    state = State(COUNTERS)
    authors = [encode_attributes({"author": f"a{author}"}) for author in draw.integers(0, AUTHORS, sizes.items).tolist()]
    state.apply(_upserts(_ids(np.arange(sizes.items)), np.full(sizes.items, START), authors, 0))
    for start in range(0, sizes.events, BATCH):
        count = min(BATCH, sizes.events - start)
        names = draw.choice(np.array(["", "click", "like"]), count, p=[0.7, 0.27, 0.03])
        columns = {
            "id": [f"e{number}" for number in range(start, start + count)],
            "kind": np.where(names == "", EventKind.IMPRESSION, EventKind.ACTION),
            "time": START + SPAN // sizes.events * np.arange(start, start + count),
            "surface": ["feed"] * count,
            "subject": [f"m{member}" for member in draw.integers(0, MEMBERS, count).tolist()],
            "object": _ids(draw.integers(0, sizes.items, count)),
            "name": [name or None for name in names.tolist()],
        }
        state.apply(columns_batch(columns, count))
    return state.view()


def write_tables(folder: Path, world: World) -> None:
    """Events and labels as the Parquet files that peers read."""
    events = {"post": _ids(world.item), "time": _stamps(world.time)}
    events |= {name: world.values[:, column] for column, name in enumerate(NAMES)}
    pq.write_table(pa.table(events), folder / "events.parquet")
    labels = {"label": np.arange(len(world.label_item)), "post": _ids(world.label_item), "time": _stamps(world.label_time)}
    pq.write_table(pa.table(labels), folder / "labels.parquet")
    (folder / "request.txt").write_text("\n".join(world.request))


def online(view: View, world: World, repeats: int) -> Answer:
    """One request: the newest values of its items by their ids."""
    times = np.full(len(world.request), world.now)
    seconds, values = _timed(lambda: asked(view, world.request, times), repeats, WARM)
    return Answer(seconds, values)


def join(view: View, world: World) -> Answer:
    """The values of each label's item as of its time."""
    ids, times = _ids(world.label_item), world.label_time
    asked(view, ids[:100], times[:100])
    seconds, values = _timed(lambda: asked(view, ids, times))
    return Answer(seconds, values, len(ids) - len(values))


def asked(view: View, ids: list[str], times: Int) -> Values:
    """All features of items by their ids, as of a time each: shape (N, features)."""
    items = view.rows("post", ids)
    return numbers(view, view.definition.features, np.full(len(items), -1), items, times)


def counters_seconds(sizes: Sizes) -> float:
    """Seconds of one request of a member for the counters of candidates by their ids."""
    view = counters_view(sizes)
    items, now = _ids(np.arange(min(REQUEST, sizes.items))), view.newest_time + 1

    def candidates() -> Values:
        rows = view.rows("post", items)
        viewer, times = view.rows("member", ["m0"]).repeat(len(rows)), np.full(len(rows), now)
        return numbers(view, COUNTERS.features, viewer, rows, times)

    return _timed(candidates, sizes.repeats, WARM)[0]


class Peers:
    """The other sides, each in processes of its own; those that are not installed are in `skipped`."""

    def __init__(self, folder: Path, repeats: int) -> None:
        self.skipped: dict[str, str] = {}
        self._folder, self._repeats = folder, repeats

    def prepared(self, say: Say) -> dict[str, float]:
        """What the preparation took, in seconds."""
        say("filling Feast's online store")
        prepared = self._called("feast", "feast_features", {"step": "prepare"})
        return {} if prepared is None else {"feast_materialize_s": prepared["materialize_s"]}

    def answers(self) -> dict[str, Answer]:
        """What every installed peer answers."""
        asked = {
            "feast_online": ("feast", "feast_features", {"step": "online"}),
            "feast_join": ("feast", "feast_features", {"step": "join"}),
            "duckdb_join": ("duckdb", "duckdb_join", {}),
        }
        found = {name: self._answer(*question) for name, question in asked.items()}
        return {name: answer for name, answer in found.items() if answer is not None}

    def _answer(self, peer: str, script: str, more: Mapping[str, object]) -> Answer | None:
        found = self._called(peer, script, more)
        return None if found is None else answer(self._folder, found["seconds"])

    def _called(self, peer: str, script: str, more: Mapping[str, object]) -> dict[str, float] | None:
        try:
            return call(peer, script, {**request(self._folder, self._repeats), **more}, self._folder)
        except PeerMissingError as error:
            self.skipped[peer] = str(error)
            return None


def request(folder: Path, repeats: int) -> dict[str, object]:
    """What every script of a peer is told."""
    paths = {"events": "events.parquet", "labels": "labels.parquet", "items": "request.txt", "answer": "answer.parquet"}
    files = {name: folder / path for name, path in paths.items()}
    return {"folder": folder, "features": NAMES, "repeats": repeats, **files}


def answer(folder: Path, seconds: float) -> Answer:
    """What a script wrote: a column per feature and, of a join, the labels' numbers; labels that are missing are NaN."""
    rows = pq.read_table(folder / "answer.parquet")
    joined = "label" in rows.column_names
    size = pq.read_metadata(folder / "labels.parquet").num_rows if joined else len(rows)
    place = rows["label"].to_numpy() if joined else np.arange(size)
    values = np.full((size, len(NAMES)), np.nan, np.float32)
    values[place] = np.stack([rows[name].to_numpy() for name in NAMES], axis=1)
    return Answer(seconds, values, size - len(np.unique(place)))


def all_equal(found: Mapping[str, Answer]) -> bool:
    """Whether all sides said the same, and had no row only for labels of which nothing is known."""
    ours = {"feast_online": "online", "feast_join": "join", "duckdb_join": "join"}
    return all(
        np.array_equal(found[mine].values, found[theirs].values, equal_nan=True)
        for theirs, mine in ours.items()
        if theirs in found
    )


def _ratios(rounds: list[dict[str, Answer]]) -> dict[str, float]:
    pairs = {
        "feast/fourfold": ("feast_online", "online"),
        "feast/fourfold_join": ("feast_join", "join"),
        "duckdb/fourfold_join": ("duckdb_join", "join"),
    }
    return {
        name: _median(rounds, theirs) / _median(rounds, mine) for name, (theirs, mine) in pairs.items() if theirs in rounds[0]
    }


def _times(rounds: list[dict[str, Answer]]) -> dict[str, float]:
    return {f"{name}_ms": _median(rounds, name) * 1e3 for name in rounds[0]}


def _median(rounds: list[dict[str, Answer]], name: str) -> float:
    return statistics.median(found[name].seconds for found in rounds)


def _timed(compute: Callable[[], T], repeats: int = 1, warm: int = 0) -> tuple[float, T]:
    """The median seconds of some calls after others to warm up, and what the last gave."""
    for _ in range(warm):
        compute()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        found = compute()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken), found


def _upserts(ids: list[str], times: Int, attributes: list[bytes], first: int) -> pa.RecordBatch:
    columns = {
        "id": [f"u{number}" for number in range(first, first + len(ids))],
        "kind": np.full(len(ids), EventKind.ENTITY_UPSERT),
        "time": times,
        "subject": ids,
        "name": ["post"] * len(ids),
        "attributes": attributes,
    }
    return columns_batch(columns, len(ids))


def _ids(items: Iterable[int]) -> list[str]:
    return [f"p{item}" for item in items]


def _stamps(times: Int) -> pa.Array:
    return pa.array(times).cast(pa.timestamp("ms", tz="UTC"))
