"""Private memory does not follow the log: what is committed, or at least settled, is in files."""

from pathlib import Path

from fourfold.events.lmdb_log import LmdbLog
from tests.durable.children import Child
from tests.events.samples import impressions

EVENTS = 20_000
PROGRAM = """
import ctypes, re, sys
from pathlib import Path
import fourfold.events.lmdb_log as log_module
import fourfold.features.consumer as module
from fourfold.definition import Count, Entity, Recommender
from fourfold.events.lmdb_log import LmdbLog
from fourfold.stores.consumer import ConsumerStore

def private():
    ctypes.CDLL(None).malloc_trim(0)
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])

folder, first, settles = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "settles"
commits = sys.argv[4] == "commits"
log_module.READ_ROWS, module.LARGE_RUN = 4_096, 1_024
module.SETTLE_EVENTS = 8_192 if settles else 1 << 30
features = [Count(f"c{n}", by) for n, by in enumerate([("item",), ("viewer",), ("viewer", "item")])]
definition = Recommender(surface="feed", viewer=Entity("member"), item=Entity("post"), features=tuple(features))
with LmdbLog(folder / "log") as log, ConsumerStore(folder / "state") as store:
    consumer = module.StateConsumer(definition, log, store, commits=commits)
    sizes = []
    consumer.catch_up(on_progress=lambda done, total: sizes.append((done, private())))
    print(min(size for done, size in sizes if done >= first), max(size for done, size in sizes), flush=True)
"""


def grown(folder: Path, settles: str, commits: str) -> int:
    """By how many kilobytes private memory grows from the first sixth of the log on to its end."""
    with Child(PROGRAM, folder, 2 * EVENTS, settles, commits) as child:
        first, most = map(int, child.finished()[0].split())
    return most - first


def test_private_memory_is_that_of_what_came_last(tmp_path: Path) -> None:
    """Without settling, memory grows with the log, or this would see nothing."""
    with LmdbLog(tmp_path / "log") as log:
        for start in range(0, 12 * EVENTS, EVENTS):
            log.append(impressions(start, EVENTS), 1)
    held = grown(tmp_path, "holds on", "reads")
    assert held > 8_000
    for commits in ("reads", "commits"):
        assert grown(tmp_path, "settles", commits) < held / 2
