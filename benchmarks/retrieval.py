"""How fast the 500 nearest of 1,000,000 items are found, and which share of them, against the graphs of faiss and usearch.

Vectors have 64 dimensions and length 1, and lie in clusters as trained embeddings do: 2,000 centres drawn evenly from the
sphere, of a popularity of ``1 / rank ** 0.7``, and around each a normal cloud of 0.8 times a centre's length. A query is an
item with half of that noise, so it lies where items are. Everything is searched by one thread, one query at a time, and recall
counts the exact 500 nearest, computed in double precision.

- `fourfold`: what serves so many items, inverted lists with bytes in them, the found ones ordered by exact products.
- `exact`: what serves up to 200,000 items, here also of fewer: products of bytes, then exact ones.
- `faiss_hnsw`, `usearch`: graphs of 16 links (32 in the lowest layer) over vectors in single precision, built with a width of
  64. Each is searched at several widths; that counts which is the fastest with a recall of 0.97 or more, or else the one with
  the highest recall.

Adding and removing items is not measured.

`equal` says that the exact search found the very 500 nearest of every query, at every size, and `fourfold` 97 of 100 of them.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.call import PeerMissingError, call
from fourfold.features.table import Int
from fourfold.lab.benchmark import Benchmark, Say
from fourfold.scoring.item_vectors import Built, ItemVectors, Rows
from fourfold.scoring.nearest import Vectors

WIDTH, SPREAD, KEEP, ENOUGH = 64, 0.8, 500, 0.97
LIBRARIES = {"faiss_hnsw": "faiss", "usearch": "usearch"}


@dataclass(frozen=True)
class Sizes:
    """How large everything is; `exact` lists the sizes of which the exact search is measured."""

    items: int
    centres: int
    queries: int
    rounds: int
    exact: tuple[int, ...]
    widths: tuple[int, ...]


FULL = Sizes(1_000_000, 2_000, 100, 3, (12_000, 200_000, 1_000_000), (500, 700, 1_000, 1_500, 2_000, 3_000))
QUICK = Sizes(20_000, 100, 10, 1, (2_000, 20_000), (500, 1_000))


@dataclass(frozen=True)
class Answer:
    """What a side took for a query, the median, and which rows it found: shape (queries, KEEP), -1 where it found fewer."""

    seconds: float
    rows: Int


def run(*, quick: bool, folder: Path, say: Say) -> Benchmark:
    """Build all sides, let them take turns, and compare what they found and how long it took."""
    torch.set_num_threads(1)
    sizes = QUICK if quick else FULL
    vectors, queries = make_vectors(sizes)
    detail, equal = dict[str, float | int | str](), True
    for size in sizes.exact:
        made = items_of(vectors[:size], clustered=False)
        found = searched(made, queries)
        equal &= recall(found, nearest(vectors[:size], queries)) == 1
        detail[f"exact_{size}_ms"] = _ms(found.seconds)
    say(f"building inverted lists of {sizes.items:,} items")
    began = time.perf_counter()
    made = items_of(vectors, clustered=True)
    detail["fourfold_build_s"] = round(time.perf_counter() - began, 1)
    truth, peers = nearest(vectors, queries), Peers(folder, sizes)
    detail |= peers.built(vectors, queries, say)
    ours, theirs = list[Answer](), {name: list[list[Answer]]() for name in peers.ready}
    for number in range(sizes.rounds):
        say(f"round {number + 1} of {sizes.rounds}")
        ours.append(searched(made, queries))
        for name in peers.ready:
            theirs[name].append(peers.searched(name))
    seconds = statistics.median(answer.seconds for answer in ours)
    share = recall(ours[0], truth)
    detail |= {"items": sizes.items, "fourfold_ms": _ms(seconds), "fourfold_recall": round(share, 4)}
    ratios = {}
    for name, rounds in theirs.items():
        width, median, reached = best(sizes.widths, rounds, truth)
        detail |= {f"{name}_width": width, f"{name}_ms": _ms(median), f"{name}_recall": round(reached, 4)}
        ratios[f"{name}/fourfold"] = median / seconds
    return Benchmark(name="retrieval", equal=equal and share >= ENOUGH, ratios=ratios, detail=detail, skipped=peers.skipped)


def make_vectors(sizes: Sizes, seed: int = 0) -> tuple[Vectors, Vectors]:
    """Items and queries; the same seed gives the same."""
    draw = np.random.default_rng(seed)
    centres = _unit(draw.standard_normal((sizes.centres, WIDTH), np.float32))
    popular = np.arange(1, sizes.centres + 1) ** -0.7
    which = draw.choice(sizes.centres, sizes.items, p=popular / popular.sum())
    noise = np.float32(SPREAD / np.sqrt(WIDTH))
    vectors = _unit(centres[which] + noise * draw.standard_normal((sizes.items, WIDTH), np.float32))
    near = vectors[draw.integers(0, sizes.items, sizes.queries)]
    return vectors, _unit(near + noise / 2 * draw.standard_normal(near.shape, np.float32))


def items_of(vectors: Vectors, *, clustered: bool) -> ItemVectors:
    """The items as they serve, all built and none beside."""
    rows = Rows(vectors, np.zeros((len(vectors), 4), np.int64), np.ones(len(vectors), bool))
    none = Rows.nothing(vectors.shape[1])
    return ItemVectors(Built.of(rows, clustered=clustered), np.zeros(0, np.int64), none)


def searched(items: ItemVectors, queries: Vectors) -> Answer:
    """The nearest of every query, ordered by exact products."""

    def one(query: Vectors) -> Int:
        rows = items.near(query, KEEP)
        scores = (items.vectors(rows) * query).sum(axis=1, dtype=np.float32)
        return rows[np.argsort(-scores, kind="stable")[:KEEP]]

    one(queries[0])
    taken, found = zip(*(_timed(one, query) for query in queries), strict=True)
    return Answer(statistics.median(taken), np.stack(found))


def nearest(vectors: Vectors, queries: Vectors) -> Int:
    """The truth: shape (queries, KEEP)."""
    found = []
    for query in queries:
        near = np.argpartition(-(vectors @ query), 2 * KEEP)[: 2 * KEEP]
        exact = vectors[near].astype(np.float64) @ query.astype(np.float64)
        found.append(near[np.argsort(-exact, kind="stable")[:KEEP]])
    return np.stack(found)


def recall(found: Answer, truth: Int) -> float:
    """Which share of the truth was found, over all queries."""
    return float(np.mean([np.isin(wanted, rows).mean() for wanted, rows in zip(truth, found.rows, strict=True)]))


def best(widths: tuple[int, ...], rounds: list[list[Answer]], truth: Int) -> tuple[int, float, float]:
    """The setting that counts: its width, seconds and recall."""
    settings = [
        (width, statistics.median(answers[place].seconds for answers in rounds), recall(rounds[0][place], truth))
        for place, width in enumerate(widths)
    ]
    enough = [setting for setting in settings if setting[2] >= ENOUGH]
    return min(enough, key=lambda setting: setting[1]) if enough else max(settings, key=lambda setting: setting[2])


class Peers:
    """The other sides, each in a process of its own; those that are not installed are in `skipped`."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.skipped: dict[str, str] = {}
        self.ready: list[str] = []
        self._folder, self._sizes = folder, sizes

    def built(self, vectors: Vectors, queries: Vectors, say: Say) -> dict[str, float]:
        """What building each graph took, in seconds."""
        np.save(self._folder / "vectors.npy", vectors)
        np.save(self._folder / "queries.npy", queries)
        took = {}
        for name, library in LIBRARIES.items():
            say(f"building the graph of {name}")
            try:
                took[f"{name}_build_s"] = round(
                    call(library, "hnsw_search", self._request(name, "build"), self._folder)["seconds"], 1
                )
                self.ready.append(name)
            except PeerMissingError as error:
                self.skipped[name] = str(error)
        return took

    def searched(self, name: str) -> list[Answer]:
        """What a peer finds at each width."""
        seconds = call(LIBRARIES[name], "hnsw_search", self._request(name, "search"), self._folder)["seconds"]
        return [Answer(*answer) for answer in zip(seconds, np.load(self._folder / "found.npy"), strict=True)]

    def _request(self, name: str, step: str) -> dict[str, object]:
        files = {part: self._folder / f"{part}.npy" for part in ("vectors", "queries", "found")}
        index = self._folder / f"{name}.index"
        return {"library": LIBRARIES[name], "step": step, "index": index, "keep": KEEP, "widths": self._sizes.widths, **files}


def _timed(work: Callable[[Vectors], Int], query: Vectors) -> tuple[float, Int]:
    began = time.perf_counter()
    found = work(query)
    return time.perf_counter() - began, found


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    length: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / length


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
