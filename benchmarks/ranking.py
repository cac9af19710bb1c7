"""How well rankers order: Feed-SR, DCNv2 and LightGBM on the same point-in-time rows of KuaiRand, three seeds each.

The environment variable FOURFOLD_KUAIRAND names the folder of KuaiRand-Pure. Trained is on all before 4 May 2022, Beijing time,
with the earlier exposures; judged on 4 and 5 May, each impression with all that happened strictly before it, nothing
sampled. With ``--quick``, a small generated world and one seed stand in.

All three read the same rows: the definition's features as of each request, ids and categories, context, gap and hour. The
networks read the history as it is; LightGBM, which cannot, the viewer's last three entries as columns. Settings were not chosen
on the judged days: the networks keep the defaults of the definition and of `fourfold train`; LightGBM has those of a reference
that was tuned on this data, chooses on the last training day how many trees it grows and whether undated rows help, and is then
trained on all of it again.

AUC is of all impressions, and inside each member's own; differences of Feed-SR less another are paired over members, seed by
seed. `equal` says that the sides judged the same rows with the same outcomes.
"""

import calendar
import hashlib
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.call import PeerMissingError, call
from fourfold.data.kuairand import kuairand_reader
from fourfold.data.world import World
from fourfold.definition import DCNv2, FeedSR
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Floats, IdField, Schema, id_columns
from fourfold.features.state import State
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.lab.benchmark import Benchmark, BenchmarkError, Say
from fourfold.models.io import build_ranker
from fourfold.surfaces.presets import kuairand, world
from fourfold.training.evaluation import predict
from fourfold.training.examples import Examples, examples
from fourfold.training.loop import TrainingConfig
from fourfold.training.metrics import Difference, auc, member_auc, paired
from fourfold.training.trainer import train

SEEDS = (0, 1, 2)
ACTIONS = ("click", "long_view", "like")
NETWORKS: dict[str, FeedSR | DCNv2] = {"feed_sr": FeedSR(), "dcnv2": DCNv2()}
UNTIL = (calendar.timegm((2022, 5, 4, 0, 0, 0)) - 8 * 3600) * 1000
DAY, LAST, FEW = 86_400_000, 3, 256

Scores = dict[tuple[str, int], Floats]
"""What each model, by name and seed, says of the judged rows: (N, actions)."""


@dataclass(frozen=True)
class Rows:
    """What is trained on and what is judged."""

    schema: Schema
    until: int
    trained: Examples
    judged: Examples

    @property
    def columns(self) -> list[int]:
        """Where the compared actions stand."""
        return [self.schema.actions.index(action) for action in ACTIONS]

    @property
    def labels(self) -> Floats:
        """Outcomes of the judged rows, shape (N, actions)."""
        labels: Floats = self.judged.sequences.labels[self.judged.sequences.weight > 0][:, self.columns]
        return labels

    @property
    def members(self) -> Int:
        """Whose the judged rows are."""
        return self.judged.viewer[self.judged.sequences.weight > 0]


def run(*, quick: bool, folder: Path, say: Say) -> Benchmark:
    """Train and judge all, and compare them in pairs."""
    seeds = SEEDS[:1] if quick else SEEDS
    rows = _rows(*(small_view() if quick else kuairand_view()))
    say(f"{len(rows.trained)} rows to train on, {len(rows.labels)} judged")
    scores = _networks(rows, seeds, 1 if quick else 3, say)
    skipped, equal = {}, True
    try:
        boosted, seen = _boosted(rows, seeds, folder, quick)
        scores |= boosted
        equal = seen == _digest(rows.labels)
    except PeerMissingError as error:
        skipped["lightgbm"] = str(error)
    detail: dict[str, float | int | str] = {"rows_trained": len(rows.trained), "rows_judged": len(rows.labels)}
    detail |= {"members_judged": len(np.unique(rows.members)), "seeds": len(seeds)}
    detail |= dict(_levels(rows, scores, seeds)) | dict(_differences(rows, scores, seeds))
    return Benchmark(name="ranking", equal=equal, detail=detail, skipped=skipped)


def kuairand_view() -> tuple[View, int]:
    """The state after all of KuaiRand, and when the judged days begin."""
    folder = os.environ.get("FOURFOLD_KUAIRAND")
    if not folder:
        raise BenchmarkError("this benchmark needs KuaiRand-Pure: set FOURFOLD_KUAIRAND to its folder, or pass --quick")
    state, offset = State(kuairand()), 0
    for batch in kuairand_reader(Path(folder)).batches():
        offset += batch.events.num_rows
        state.apply(batch.events, offset)
    return state.view(), UNTIL


def small_view() -> tuple[View, int]:
    """The same of a small generated world."""
    state, made = State(world()), World(members=60, posts=120, days=6, seed=1)
    state.apply(made.events, len(made.events))
    return state.view(), made.end - 2 * DAY


def _rows(view: View, until: int) -> Rows:
    encoder = Encoder(view.definition)
    trained = examples(view, encoder, 0, until, undated=True)
    return Rows(encoder.schema, until, trained, examples(view, encoder, until, view.newest_time + 1))


def _networks(rows: Rows, seeds: tuple[int, ...], epochs: int, say: Say) -> Scores:
    """Both networks with every seed, two at a time: each takes one thread, and memory for what it changes alone."""
    asked = [(kind, seed) for seed in seeds for kind in NETWORKS]
    torch.set_num_threads(1)
    started, scores = time.monotonic(), {}
    # Forked, so that the rows are there; what a child trains never comes back, only its scores.
    with multiprocessing.get_context("fork").Pool(2, _share, (rows, epochs), maxtasksperchild=1) as pool:
        for key, found in pool.imap_unordered(_network, asked):
            scores[key] = found
            say(f"{key[0]} with seed {key[1]} after {time.monotonic() - started:.0f} s")
    return scores


_shared: list[tuple[Rows, int]] = []


def _share(rows: Rows, epochs: int) -> None:
    torch.set_num_threads(1)
    _shared[:] = [(rows, epochs)]


def _network(asked: tuple[str, int]) -> tuple[tuple[str, int], Floats]:
    rows, epochs = _shared[0]
    kind, seed = asked
    model = build_ranker(NETWORKS[kind], rows.schema, seed)
    train(model, rows.trained.sequences, TrainingConfig(epochs=epochs, seed=seed))
    return asked, predict(model, rows.judged)[rows.judged.sequences.weight > 0][:, rows.columns]


def _boosted(rows: Rows, seeds: tuple[int, ...], folder: Path, quick: bool) -> tuple[Scores, str]:
    """LightGBM's scores, and the digest of the outcomes that it was asked about."""
    for name, part in (("trained", rows.trained), ("judged", rows.judged)):
        numbers, categories = _table(part, rows.schema)
        chosen = part.sequences.weight > 0
        np.save(folder / f"{name}.numbers.npy", numbers[chosen])
        np.save(folder / f"{name}.categories.npy", categories[chosen])
        np.save(folder / f"{name}.labels.npy", part.sequences.labels[chosen][:, rows.columns])
        np.save(folder / f"{name}.requests.npy", part.request[chosen])
    asked = {"folder": folder, "seeds": seeds, "valid_since": rows.until - DAY, "rounds": 20 if quick else 800}
    call("lightgbm", "lightgbm_ranking", asked, folder)
    scores = {("lightgbm", seed): np.load(folder / f"scores.{seed}.npy") for seed in seeds}
    return scores, _digest(np.load(folder / "judged.labels.npy"))


def _table(rows: Examples, schema: Schema) -> tuple[Floats, NDArray[np.int32]]:
    """Every row flat: numbers (N, F) and codes of categories of few values (N, C)."""
    packed = rows.sequences
    starts = np.repeat(np.cumsum(packed.lengths) - packed.lengths, packed.lengths)
    span = np.repeat(np.arange(len(packed.lengths)), packed.lengths)
    numbers = [packed.early, packed.late, packed.moments]
    categories = [packed.context, *_few(packed.items, schema.item), *_few(packed.viewers[span], schema.viewer)]
    for back in range(1, LAST + 1):
        there = (packed.seen >= back)[:, None]
        entry = np.maximum(starts + packed.seen - back, 0)
        numbers.append(np.where(there, packed.actions[entry], np.nan).astype(np.float32))
        categories.append(np.where(there, packed.context[entry], 0).astype(np.int32))
    return np.concatenate(numbers, axis=1), np.concatenate(categories, axis=1)


def _few(ids: NDArray[np.int32], fields: tuple[IdField, ...]) -> Iterator[NDArray[np.int32]]:
    """The columns of fields with one of few values: trees split by those, and not by an item's id."""
    for field, columns in zip(fields, id_columns(fields), strict=True):
        if field.width == 1 and field.buckets <= FEW:
            yield ids[:, columns]


def _levels(rows: Rows, scores: Scores, seeds: tuple[int, ...]) -> Iterator[tuple[str, float]]:
    """Each model's AUCs: mean over seeds, smallest and largest."""
    for model in sorted({name for name, _ in scores}):
        for column, action in enumerate(ACTIONS):
            label = rows.labels[:, column]
            said = [scores[model, seed][:, column] for seed in seeds]
            for name, found in (
                ("auc", [auc(label, score) for score in said]),
                ("member_auc", [member_auc(label, score, rows.members) for score in said]),
            ):
                values = [value for value in found if value is not None]
                if values:
                    yield f"{model}.{action}.{name}", round(float(np.mean(values)), 4)
                    yield f"{model}.{action}.{name}_range", round(max(values) - min(values), 4)


def _differences(rows: Rows, scores: Scores, seeds: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Feed-SR less each other model: the difference with its interval, for each seed."""
    for other in sorted({name for name, _ in scores} - {"feed_sr"}):
        for column, action in enumerate(ACTIONS):
            label = rows.labels[:, column]
            found = [
                paired(label, scores["feed_sr", seed][:, column], scores[other, seed][:, column], rows.members)
                for seed in seeds
            ]
            for name in ("auc", "member_auc"):
                said = [_said(getattr(one, name)) for one in found if getattr(one, name) is not None]
                yield f"feed_sr-{other}.{action}.{name}", "; ".join(said)


def _said(found: Difference) -> str:
    return f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def _digest(labels: Floats) -> str:
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()
