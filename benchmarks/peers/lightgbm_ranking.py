"""LightGBM on the rows of the ranking benchmark: the last day chooses, once, how many trees and whether undated rows help."""

import json
import sys
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PARAMETERS = {
    "objective": "binary",
    "metric": "auc",
    "learning_rate": 0.03,
    "num_leaves": 12,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10,
    "cat_smooth": 50,
    "max_cat_threshold": 16,
    "verbose": -1,
    "num_threads": 2,
}


def main(asked: Path, answered: Path) -> None:
    """Train each action with each seed, and write the scores of the judged rows."""
    request = json.loads(asked.read_text())
    folder, rounds, since = Path(request["folder"]), request["rounds"], request["valid_since"]
    trained, judged = _read(folder, "trained"), _read(folder, "judged")
    labels, requests = np.load(folder / "trained.labels.npy"), np.load(folder / "trained.requests.npy")
    dated = ~np.isnan(labels).any(axis=1)
    scores = np.zeros((len(request["seeds"]), len(judged[0]), labels.shape[1]), np.float32)
    chosen: dict[str, list[int]] = {}
    for action in range(labels.shape[1]):
        rows, trees = _chosen(trained, labels[:, action], dated, requests < since, rounds, request["seeds"][0])
        chosen[str(action)] = [int(rows.sum()), trees]
        for place, seed in enumerate(request["seeds"]):
            model = _fit(trained, labels[:, action], rows, trees, seed)
            scores[place, :, action] = model.predict(np.concatenate(judged, axis=1))
    for place, seed in enumerate(request["seeds"]):
        np.save(folder / f"scores.{seed}.npy", scores[place])
    answered.write_text(json.dumps(chosen))


def _chosen(table: tuple[Array, Array], label: Array, dated: Array, early: Array, rounds: int, seed: int) -> tuple[Array, int]:
    """Which rows to train on, and how many trees to grow: what is best on the last day."""
    found: list[tuple[float, int, Array]] = []
    for rows in (dated, ~np.isnan(label)):
        if found and (rows == dated).all():
            continue
        valid = _data(table, label, dated & ~early)
        stop = lgb.early_stopping(100, verbose=False)
        model = lgb.train(PARAMETERS | {"seed": seed}, _data(table, label, rows & early), rounds, [valid], callbacks=[stop])
        found.append((model.best_score["valid_0"]["auc"], model.best_iteration, rows))
    _, trees, rows = max(found, key=lambda one: one[0])
    return rows, trees


def _fit(table: tuple[Array, Array], label: Array, rows: Array, trees: int, seed: int) -> lgb.Booster:
    return lgb.train(PARAMETERS | {"seed": seed}, _data(table, label, rows), trees)


def _data(table: tuple[Array, Array], label: Array, rows: Array) -> lgb.Dataset:
    numbers, categories = table
    columns = list(range(numbers.shape[1], numbers.shape[1] + categories.shape[1]))
    return lgb.Dataset(np.concatenate([numbers[rows], categories[rows]], axis=1), label[rows], categorical_feature=columns)


def _read(folder: Path, name: str) -> tuple[Array, Array]:
    return np.load(folder / f"{name}.numbers.npy"), np.load(folder / f"{name}.categories.npy").astype(np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
