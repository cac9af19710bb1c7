"""How many events per second the state takes, in how much memory, and how long a restart is: on one log and on ten times it.

The log is generated and of the shape of KuaiRand with its earlier exposures, and kept by KuaiRand's definition. The larger log
repeats all members under new ids. Each is applied by a process of its own, and opened by a second one. Memory is private
memory: what is mapped from files is shared by all processes, and the system may drop it.

What a member did is then the same in both logs, and each item has ten times the impressions: so must the features say.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.definition import Count, Rate
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import EventKind, columns_batch, encode_attributes
from fourfold.features.consumer import StateConsumer
from fourfold.features.numbers import numbers
from fourfold.features.state import State
from fourfold.lab.benchmark import Benchmark, BenchmarkError, Say
from fourfold.stores.consumer import ConsumerStore
from fourfold.surfaces.presets import kuairand

IMPRESSIONS, MEMBERS, POSTS, COPIES = 1_000_000, 27_000, 7_583, 10
QUICK_IMPRESSIONS, QUICK_COPIES = 20_000, 3
RATES = {"click": 0.15, "long_view": 0.31, "like": 0.02}
START, SPAN, BATCH = 1_650_000_000_000, 30 * 86_400_000, 5_000

_CATEGORIES = {"author": 5_000, "music": 5_000, "music_type": 8, "upload_type": 20, "video_type": 3, "tag": 60}
_PROFILE = {"user_active_degree": 5, "is_video_author": 2} | {f"onehot_feat{number}": 50 for number in range(18)}

_CHILD = """
import json, re, sys, threading, time
from pathlib import Path
started = time.perf_counter()
from fourfold.events.lmdb_log import LmdbLog
from fourfold.features.consumer import StateConsumer
from fourfold.stores.consumer import ConsumerStore
from fourfold.surfaces.presets import kuairand

def private():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

peak, over = [private()], threading.Event()

def watch():
    while not over.wait(0.02):
        peak[0] = max(peak[0], private())

threading.Thread(target=watch, daemon=True).start()
with LmdbLog(Path(sys.argv[1])) as log, ConsumerStore(Path(sys.argv[2])) as store:
    opened = time.perf_counter()
    consumer = StateConsumer(kuairand(), log, store)
    view = consumer.state.view()
    ready, cpu = time.perf_counter(), time.process_time()
    events = consumer.catch_up()
    consumer.commit()
    done = time.perf_counter()
    over.set()
    print(json.dumps({
        "events": events,
        "open_ms": (ready - opened) * 1e3,
        "seconds": done - ready,
        "cpu_s": time.process_time() - cpu,
        "private_mb": max(peak[0], private()),
    }))
"""


class Process(msgspec.Struct, frozen=True):
    """What a process says of itself."""

    events: int
    open_ms: float
    seconds: float
    cpu_s: float
    private_mb: float


def run(*, quick: bool, folder: Path, say: Say) -> Benchmark:
    """Apply both logs, open both states again, and hold their answers against each other and a state that is in memory."""
    impressions, copies = (QUICK_IMPRESSIONS, QUICK_COPIES) if quick else (IMPRESSIONS, COPIES)
    detail: dict[str, float | int | str] = {}
    for name, repeated in (("one", 1), ("more", copies)):
        events = _write_log(folder / name / "log", impressions, repeated)
        say(f"applying {events:,} events")
        applied = _process(folder / name)
        opened = _process(folder / name)
        detail |= {
            f"{name}_events": events,
            f"{name}_events_per_s": round(events / applied.seconds),
            f"{name}_events_per_cpu_s": round(events / applied.cpu_s),
            f"{name}_private_mb": round(applied.private_mb),
            f"{name}_open_ms": round(opened.open_ms),
            f"{name}_open_private_mb": round(opened.private_mb),
            f"{name}_disk_bytes_per_event": round(_disk(folder / name / "state") / events),
        }
    say("comparing answers")
    equal = _equal(folder, impressions, copies)
    memory = float(detail["more_private_mb"]) / float(detail["one_private_mb"])
    return Benchmark(name="state", equal=equal, ratios={f"private memory, {copies} times the log": memory}, detail=detail)


def batches(impressions: int, copies: int, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """The log: posts and members, then impressions with their actions in the order of time."""
    rng = np.random.default_rng(seed)
    members = max(10, MEMBERS * impressions // IMPRESSIONS)
    yield _upserts("post", "v", POSTS, _CATEGORIES, rng)
    yield _repeated(_upserts("member", "u", members, _PROFILE, rng), copies)
    activity, appeal = rng.lognormal(size=members).cumsum(), (np.arange(1, POSTS + 1) ** -0.7).cumsum()
    for start in range(0, impressions, BATCH):
        number = np.arange(start, min(start + BATCH, impressions))
        viewer, item = (np.searchsorted(odds, rng.random(len(number)) * odds[-1]) for odds in (activity, appeal))
        yield _repeated(_shown(number, viewer, item, START + number * SPAN // impressions, rng), copies)


def _shown(
    number: NDArray[np.int64],
    viewer: NDArray[np.int64],
    item: NDArray[np.int64],
    time: NDArray[np.int64],
    rng: np.random.Generator,
) -> pa.RecordBatch:
    """Impressions and the actions that follow at the same time."""
    parts, keys = [], _ids("kuairand:before:", number)
    for name in (None, *RATES):
        chosen = np.flatnonzero(rng.random(len(number)) < (1.0 if name is None else RATES[name]))
        key = keys.take(pa.array(chosen))
        columns = {
            "id": key if name is None else pc.binary_join_element_wise(key, name, ":"),
            "kind": np.full(len(chosen), EventKind.IMPRESSION if name is None else EventKind.ACTION),
            "time": time[chosen],
            "surface": pa.repeat("feed", len(chosen)),
            "subject": _ids("u", viewer[chosen]),
            "object": _ids("v", item[chosen]),
        }
        parts.append(columns_batch(columns if name is None else columns | {"name": pa.repeat(name, len(chosen))}, len(chosen)))
    return _in_time_order(pa.concat_batches(parts))


def _upserts(kind: str, prefix: str, count: int, attributes: dict[str, int], rng: np.random.Generator) -> pa.RecordBatch:
    drawn = np.stack([rng.integers(0, values, count) for values in attributes.values()], axis=1).tolist()
    encoded = [encode_attributes({name: str(value) for name, value in zip(attributes, row, strict=True)}) for row in drawn]
    number = np.arange(count)
    columns = {
        "id": _ids(f"upsert:{kind}:", number),
        "kind": np.full(count, EventKind.ENTITY_UPSERT),
        "time": np.full(count, START - 1),
        "subject": _ids(prefix, number),
        "name": pa.repeat(kind, count),
        "attributes": encoded,
    }
    return columns_batch(columns, count)


def _repeated(batch: pa.RecordBatch, copies: int) -> pa.RecordBatch:
    """The same events of other members and under other ids, too."""
    parts = [batch]
    for copy in range(1, copies):
        columns = {name: batch[name] for name in batch.schema.names}
        columns |= {name: pc.binary_join_element_wise(f"{copy}", batch[name], ":") for name in ("id", "subject")}
        parts.append(columns_batch(columns, len(batch)))
    return _in_time_order(pa.concat_batches(parts))


def _in_time_order(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.take(pa.array(np.argsort(batch["time"].to_numpy(), kind="stable")))


def _ids(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def _write_log(path: Path, impressions: int, copies: int) -> int:
    with LmdbLog(path) as log:
        for batch in batches(impressions, copies):
            log.append(batch, START)
        return log.end


def _process(folder: Path) -> Process:
    command = [sys.executable, "-c", _CHILD, str(folder / "log"), str(folder / "state")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"the state was not applied: {done.stderr.strip().splitlines()[-1]}")
    return msgspec.json.decode(done.stdout, type=Process)


def _disk(folder: Path) -> int:
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*") if path.is_file())


def _equal(folder: Path, impressions: int, copies: int) -> bool:
    """Whether both states, opened from their files, say of some members and items what a state in memory says."""
    memory = State(kuairand())
    for batch in batches(impressions, 1):
        memory.apply(batch)
    wanted = _answers(memory, 1)
    for name, repeated in (("one", 1), ("more", copies)):
        with LmdbLog(folder / name / "log") as log, ConsumerStore(folder / name / "state") as store:
            found = _answers(StateConsumer(kuairand(), log, store, commits=False).state, repeated)
        if not np.array_equal(found, wanted, equal_nan=True):
            return False
    return True


def _answers(state: State, copies: int) -> NDArray[np.float32]:
    """Features of some members and items at some times; those that count other members too, as if these were there once."""
    view, rng = state.view(), np.random.default_rng(1)
    count = 2_000
    members = rng.integers(0, view.size("member") // copies, count)
    viewers = view.rows("member", [f"{copies - 1}:u{row}" if copies > 1 else f"u{row}" for row in members.tolist()])
    items = view.rows("post", [f"v{row}" for row in rng.integers(0, 200, count).tolist()])
    times = rng.integers(START, START + SPAN, count)
    features = [feature for feature in state.definition.features if isinstance(feature, Count | Rate)]
    # A rate is made of two counts and a prior, so it cannot be divided: counts say it all.
    counts = [Count(f"c{n}", feature.by, _event(feature), feature.window) for n, feature in enumerate(features)]
    found = numbers(view, counts, viewers, items, times)
    others = np.array([copies if "viewer" not in feature.by else 1 for feature in counts], np.float32)
    return found / others


def _event(feature: Count | Rate) -> str:
    return feature.event if isinstance(feature, Count) else feature.action
