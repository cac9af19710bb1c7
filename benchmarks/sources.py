"""What sources find: each one and their union, against popularity, item-to-item cosine and EASE on KuaiRand.

The environment variable FOURFOLD_KUAIRAND names the folder of KuaiRand-Pure. The retrieval model and the item-to-item table are
trained on all before 4 May 2022, Beijing time, the earlier exposures included, with the settings of `fourfold train`. Asked are
3,000 members who on 4 and 5 May viewed a video long that they had not met before (with ``--quick``, 200 of a generated world);
the whole catalogue competes, less what each has seen. Recall is the share of those videos among the first 20, 100 and 500, with
its interval over members.

The references see the same likes before the split, as a matrix of members by items: `popular` counts those of the last two
days, `cosine` adds up the cosines of an item with all that the member liked, `ease` is the linear autoencoder of Steck (WWW
2019) with lambda 1000. `equal` says that no reference lists what a member has seen; that sources do not is their own contract.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from benchmarks.ranking import DAY, kuairand_view, small_view
from fourfold.features.encoding import Encoder
from fourfold.features.positives import positive
from fourfold.features.table import Int
from fourfold.features.view import View
from fourfold.lab.benchmark import Benchmark, Say
from fourfold.lab.list_metrics import Catalogue, list_metrics
from fourfold.lab.slates import CUTOFFS, judge_lists
from fourfold.lab.truth import Truth, after_split
from fourfold.models.io import RETRIEVAL_FILE, load_model
from fourfold.models.two_tower import TwoTowerModel
from fourfold.modes.trained import TrainedModels
from fourfold.scoring.item_table import ItemTable
from fourfold.scoring.retriever import EmbeddingIndex
from fourfold.training.judged import Period
from fourfold.training.loop import TrainingConfig
from fourfold.training.parts import Checkpoints, Training

TARGET, LAMBDA = "long_view", 1000.0
Values = NDArray[np.float32]


def run(*, quick: bool, folder: Path, say: Say) -> Benchmark:
    """Train the sources, ask them and the references, and compare what they find."""
    view, until = small_view() if quick else kuairand_view()
    view = replace(view, definition=replace(view.definition, ranker=None))
    started = time.monotonic()
    models = _trained(view, until, folder)
    say(f"trained after {time.monotonic() - started:.0f} s")
    period = Period.of(view, until, view.newest_time + 1)
    truth = after_split(view, period, until, members=200 if quick else 3_000, seed=0, target=TARGET)
    before = period.entries.time < until
    catalogue = Catalogue.of(view, period.entries.item[before & period.entries.shown], until)
    found = judge_lists(view, models, truth, catalogue, k=CUTOFFS[0], on_member=lambda *_: None)
    say(f"sources asked after {time.monotonic() - started:.0f} s")
    lists = _references(view, period, truth, catalogue, until)
    found |= {name: list_metrics(made, truth.liked, catalogue, cutoffs=CUTOFFS, k=CUTOFFS[0]) for name, made in lists.items()}
    detail: dict[str, float | int | str] = {"members": len(truth), "items": int(catalogue.exists.sum())}
    for name, metrics in found.items():
        for cutoff in CUTOFFS:
            value, interval = metrics.get(f"recall@{cutoff}"), metrics.get(f"recall@{cutoff}_ci")
            if isinstance(value, float) and isinstance(interval, tuple):
                detail[f"{name}.recall@{cutoff}"] = round(value, 4)
                detail[f"{name}.recall@{cutoff}_ci"] = f"{interval[0]:.3f} to {interval[1]:.3f}"
    return Benchmark(name="sources", equal=_unseen(period, truth, lists, until), detail=detail)


def _trained(view: View, until: int, folder: Path) -> TrainedModels:
    torch.set_num_threads(1)
    training = Training(
        view=view,
        encoder=Encoder(view.definition),
        until=until,
        config=TrainingConfig(),
        checkpoints=Checkpoints(folder / "unfinished", view.definition.surface, 3600.0),
        on_stage=lambda _: lambda _: None,
        on_finding=lambda _: None,
    )
    made = folder / "made"
    made.mkdir()
    training.run().write(view, made)
    tower = load_model(made / RETRIEVAL_FILE)
    assert isinstance(tower, TwoTowerModel)
    return TrainedModels("benchmark", None, EmbeddingIndex(tower), ItemTable.load(made))


def _references(view: View, period: Period, truth: Truth, catalogue: Catalogue, until: int) -> Mapping[str, list[Int]]:
    """The best unseen items of each member by each reference."""
    entries = period.entries
    shape = view.size(view.definition.viewer.name), view.size(view.definition.item.name)
    past = entries.request < until
    liked = positive(view, np.fmax(period.outcome, entries.actions)) & past
    likes = _matrix(entries.viewer[liked], entries.item[liked], shape)
    recent = liked & entries.details.dated & (entries.request >= until - 2 * DAY)
    popular = np.bincount(entries.item[recent], minlength=shape[1]).astype(np.float32)
    shared = (likes.T @ likes).toarray()
    mine = likes[truth.viewers]
    scores = {
        "popular": np.tile(popular, (len(truth), 1)),
        "cosine": mine @ _cosine(shared),
        "ease": mine @ _ease(shared),
    }
    seen = _matrix(entries.viewer[past], entries.item[past], shape)[truth.viewers].toarray() > 0
    return {name: _best(np.where(seen | ~catalogue.exists, -np.inf, score)) for name, score in scores.items()}


def _cosine(shared: Values) -> Values:
    norm = np.sqrt(np.maximum(np.diag(shared), 1))
    cosine: Values = shared / (norm[:, None] * norm)
    np.fill_diagonal(cosine, 0)
    return cosine


def _ease(shared: Values) -> Values:
    inverse = np.linalg.inv(shared.astype(np.float64) + LAMBDA * np.eye(len(shared)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights.astype(np.float32)


def _matrix(rows: Int, columns: Int, shape: tuple[int, int]) -> sp.csr_array:
    matrix = sp.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _best(scores: Values) -> list[Int]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, : CUTOFFS[-1]]
    return [items[np.isfinite(score[items])] for items, score in zip(order, scores, strict=True)]


def _unseen(period: Period, truth: Truth, lists: Mapping[str, list[Int]], until: int) -> bool:
    """Whether no list holds an item that its member was shown before."""
    entries = period.entries
    for place, viewer in enumerate(truth.viewers.tolist()):
        mine = slice(int(entries.starts[viewer]), int(entries.starts[viewer + 1]))
        met = entries.item[mine][entries.request[mine] < until]
        if any(np.isin(made[place], met).any() for made in lists.values()):
            return False
    return True
