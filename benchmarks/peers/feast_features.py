"""Feast's side of `fourfold bench features`: its file offline store and its SQLite online store, by its public calls alone.

The request's `step` says what to do: ``prepare`` declares the features and fills the online store, ``online`` answers a request
for the newest values of some items, ``join`` joins labels with the values before them.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ["FEAST_USAGE"] = "False"

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32

VIEW, KEY, WHEN = "post_numbers", "post", "time"


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Do one step."""
    steps = {"prepare": prepare, "online": online, "join": join}
    return steps[asked["step"]](asked)


def prepare(asked: dict[str, Any]) -> dict[str, Any]:
    """Declare one view of all features over the Parquet file, and load each item's newest values into SQLite."""
    store = _store(asked)
    item = Entity(name=KEY, join_keys=[KEY], value_type=ValueType.STRING)
    source = FileSource(path=asked["events"], timestamp_field=WHEN)
    fields = [Field(name=name, dtype=Float32) for name in asked["features"]]
    view = FeatureView(name=VIEW, entities=[item], schema=fields, source=source, ttl=timedelta(0))
    store.apply([item, view])
    times = pq.read_table(asked["events"], columns=[WHEN])[WHEN]
    start, stop = pc.min_max(times).as_py().values()
    began = time.perf_counter()
    store.materialize(start - timedelta(seconds=1), stop + timedelta(seconds=1))
    return {"materialize_s": time.perf_counter() - began}


def online(asked: dict[str, Any]) -> dict[str, Any]:
    """One request: the features of some items by their ids, as Python lists."""
    store = _store(asked)
    features, items = _references(asked), {KEY: Path(asked["items"]).read_text().split()}

    def request() -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = store.get_online_features(features=features, entity_rows=items).to_dict()
        return found

    seconds, answer = _timed(request, asked["repeats"], warm=3)
    pq.write_table(pa.table({name: pa.array(answer[name], pa.float32()) for name in asked["features"]}), asked["answer"])
    return {"seconds": seconds}


def join(asked: dict[str, Any]) -> dict[str, Any]:
    """Features of (item, time) labels as of their times, as a data frame."""
    store = _store(asked)
    labels = pq.read_table(asked["labels"]).to_pandas().rename(columns={WHEN: "event_timestamp"})
    features = _references(asked)

    def request(rows: pd.DataFrame) -> pd.DataFrame:
        return store.get_historical_features(entity_df=rows, features=features).to_df()

    request(labels.head(100))
    seconds, answer = _timed(lambda: request(labels), 1)
    pq.write_table(pa.Table.from_pandas(answer[["label", *asked["features"]]], preserve_index=False), asked["answer"])
    return {"seconds": seconds}


def _store(asked: dict[str, Any]) -> FeatureStore:
    folder = Path(asked["folder"])
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": "dask"},
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def _references(asked: dict[str, Any]) -> list[str]:
    return [f"{VIEW}:{name}" for name in asked["features"]]


def _timed(call: Callable[[], Any], repeats: int, warm: int = 0) -> tuple[float, Any]:
    """Median seconds of a call, and its answer."""
    for _ in range(warm):
        call()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        answer = call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken), answer


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
