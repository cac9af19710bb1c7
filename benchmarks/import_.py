"""How many events per second `fourfold import` takes from Parquet through a mapping file, and in how much memory.

The input is generated and of the shape of KuaiRand: impressions with eight 0/1 columns, members and videos with attributes. The
command runs in a process of its own, once on the input and once on one that is five times as large: its memory must not follow.
"""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.types import EventKind
from fourfold.lab.benchmark import Benchmark, BenchmarkError, Say

RATES = {
    "click": 0.44,
    "long_view": 0.31,
    "like": 0.02,
    "follow": 0.002,
    "comment": 0.003,
    "forward": 0.001,
    "hate": 0.0005,
    "profile_enter": 0.01,
}
MEMBERS, VIDEOS, IMPRESSIONS, LARGER = 25_000, 7_500, 200_000, 5
START, SPAN = 1_650_844_800_000, 11 * 86_400_000

_MAPPING = """
name = "bench"

[[logs]]
file = "log.parquet"
viewer = "user_id"
item = "video_id"
time = {{ column = "time_ms", unit = "ms" }}
context = {{ tab = "tab" }}

[logs.actions]
{actions}

[[entities]]
type = "member"
file = "members.parquet"
key = "user_id"

[entities.attributes]
active = "active"
register_days = {{ column = "register_days", kind = "number" }}
{members}

[[entities]]
type = "post"
file = "videos.parquet"
key = "video_id"

[entities.attributes]
author = "author_id"
tags = {{ column = "tag", split = "," }}
duration_ms = {{ column = "duration_ms", kind = "number" }}
created = {{ column = "upload_dt", kind = "moment", format = "%Y-%m-%d" }}
"""
_HOT = [f"hot{number}" for number in range(18)]
_KEY = ["kind", "name", "subject", "object", "time", "value"]

_IMPORT = """
import re, sys, time
from fourfold.cli.main import main
sys.argv = ["fourfold", *sys.argv[1:]]
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], time.process_time(), file=sys.stderr)
"""


class Imported(msgspec.Struct, frozen=True):
    """What one import took: events, its own seconds, and of its whole process the CPU seconds and the highest memory in MB."""

    events: int
    seconds: float
    cpu_s: float
    peak_mb: float


def run(*, quick: bool, folder: Path, say: Say) -> Benchmark:
    """Import, compare the log with what pyarrow reads, then import five times as much."""
    impressions = IMPRESSIONS // 50 if quick else IMPRESSIONS
    say(f"importing {impressions} impressions")
    small = imported(folder / "small", impressions)
    equal = log_equals_files(folder / "small")
    say(f"importing {impressions * LARGER} impressions")
    large = imported(folder / "large", impressions * LARGER)
    detail: dict[str, float | int | str] = {
        "events": small.events,
        "events_per_s": small.events / small.seconds,
        "cpu_s": small.cpu_s,
        "peak_mb": small.peak_mb,
        "larger_events": large.events,
        "larger_events_per_s": large.events / large.seconds,
        "larger_cpu_s": large.cpu_s,
        "larger_peak_mb": large.peak_mb,
    }
    return Benchmark(name="import", equal=equal, detail=detail)


def generate(folder: Path, impressions: int, seed: int = 0) -> None:
    """Write the three tables and the mapping file; the same seed gives the same."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    log = {
        "user_id": draw.integers(0, MEMBERS, impressions),
        "video_id": np.minimum(draw.zipf(1.3, impressions), VIDEOS) - 1,
        "time_ms": np.sort(START + draw.integers(0, SPAN, impressions)),
        "play_time_ms": draw.integers(0, 60_000, impressions),
        "tab": draw.integers(0, 15, impressions),
        **{f"is_{name}": (draw.random(impressions) < rate).astype(np.int8) for name, rate in RATES.items()},
    }
    pq.write_table(pa.table(log), folder / "log.parquet")
    members = {
        "user_id": np.arange(MEMBERS),
        "active": draw.choice(["full_active", "high_active", "middle_active"], MEMBERS),
        "register_days": draw.integers(0, 3_000, MEMBERS),
        **{hot: draw.integers(0, 50, MEMBERS) for hot in _HOT},
    }
    pq.write_table(pa.table(members), folder / "members.parquet")
    videos = {
        "video_id": np.arange(VIDEOS),
        "author_id": draw.integers(0, 5_000, VIDEOS),
        "tag": [",".join(map(str, sorted(draw.choice(60, 2, replace=False)))) for _ in range(VIDEOS)],
        "duration_ms": draw.integers(5_000, 300_000, VIDEOS).astype(np.float64),
        "upload_dt": (np.datetime64("2022-04-01") + draw.integers(0, 24, VIDEOS)).astype(str),
    }
    pq.write_table(pa.table(videos), folder / "videos.parquet")
    actions = "\n".join(f'{name} = {{ column = "is_{name}", value = "play_time_ms" }}' for name in RATES)
    hot = "\n".join(f'{name} = "{name}"' for name in _HOT)
    (folder / "mapping.toml").write_text(_MAPPING.format(actions=actions, members=hot))


def imported(folder: Path, impressions: int) -> Imported:
    """Generate and import in a process of its own."""
    generate(folder, impressions)
    arguments = ["import", str(folder / "mapping.toml"), "--home", str(folder / "home"), "--json"]
    done = subprocess.run([sys.executable, "-c", _IMPORT, *arguments], check=False, text=True, capture_output=True)
    if done.returncode:
        raise BenchmarkError(f"the import failed: {done.stderr[-2000:]}")
    found = msgspec.json.decode(done.stdout)
    peak_kb, cpu_s = done.stderr.split()[-2:]
    return Imported(sum(found["events"].values()), found["seconds"], float(cpu_s), int(peak_kb) / 1_000)


def log_equals_files(folder: Path) -> bool:
    """Whether the log holds exactly what pyarrow reads from the files, in the order of time, each id once."""
    with LmdbLog(folder / "home" / "log") as log:
        found = pa.Table.from_batches([batch for _, batch in log.read(0)])
    counted = {kind: pc.sum(pc.equal(found["kind"], int(kind))).as_py() for kind in EventKind}
    upserts = sum(pq.read_metadata(folder / f"{name}.parquet").num_rows for name in ("members", "videos"))
    expected = _expected(folder)
    shown = found.filter(pc.less_equal(found["kind"], int(EventKind.ACTION)))
    return bool(
        counted[EventKind.ENTITY_UPSERT] == upserts
        and pc.all(pc.greater_equal(pc.pairwise_diff(shown["time"].combine_chunks()), 0), min_count=0).as_py()
        and pc.count_distinct(shown["id"]).as_py() == len(expected.group_by(_KEY[:5]).aggregate([]))
        and _sorted(shown.select(expected.column_names).cast(expected.schema)).equals(_sorted(expected))
    )


def _expected(folder: Path) -> pa.Table:
    """What should be in the log, read without Fourfold."""
    rows = pq.read_table(folder / "log.parquet")
    parts = [_part(rows, EventKind.IMPRESSION, None)]
    for name in RATES:
        done = rows.filter(pc.equal(rows[f"is_{name}"], 1))
        parts.append(_part(done, EventKind.ACTION, name))
    return pa.concat_tables(parts)


def _part(rows: pa.Table, kind: EventKind, name: str | None) -> pa.Table:
    values = rows["play_time_ms"].cast(pa.float64()) if name else pa.nulls(len(rows), pa.float64())
    columns = {
        "kind": pa.array(np.full(len(rows), int(kind), np.uint8)),
        "name": pa.array([name] * len(rows), pa.string()),
        "subject": rows["user_id"].cast(pa.string()),
        "object": rows["video_id"].cast(pa.string()),
        "time": rows["time_ms"],
        "value": values,
        "attributes": pc.binary_join_element_wise('{"context":{"tab":"', rows["tab"].cast(pa.string()), '"}}', "").cast(
            pa.binary()
        ),
    }
    return pa.table(columns)


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in _KEY]).combine_chunks()
