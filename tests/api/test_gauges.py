"""How a service is at the moment, read from a real one."""

from pathlib import Path

import pytest

from fourfold.api.gauges import Gauges, private_memory
from fourfold.api.metrics import Metrics
from fourfold.api.service import Service
from fourfold.api.workers import Workers
from fourfold.lab.drift import DriftReport, InputDrift, Period, save
from fourfold.modes.trained import TrainedModels
from fourfold.scoring.history_cache import CacheCounts
from fourfold.scoring.local import LocalScorer
from tests.api.client import Client
from tests.api.samples import POSTS, make_home, post, service, world
from tests.api.test_metrics import Samples, read, value


def scraped(client: Client) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return read(answer.content)


def test_a_scrape_says_how_old_and_how_far_behind_the_state_is(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    with service(home) as client:
        empty = scraped(client)
        assert ("fourfold_state_age_seconds", frozenset({("surface", "feed")})) not in empty
        post(client, world())
        assert client.post("/v1/feed/recommend", json={"viewer": "m0"}).status_code == 200
        found = scraped(client)
        assert 3_600 <= value(found, "fourfold_state_age_seconds", surface="feed") < 3_700
        assert value(found, "fourfold_log_end") == len(world())
        assert value(found, "fourfold_log_lag_events", surface="feed") == 0
        assert value(found, "fourfold_ready", surface="feed") == 1
        assert value(found, "fourfold_upkeep_failing", surface="feed") == 0
        assert value(found, "fourfold_workers") == 1
        assert value(found, "fourfold_model_info", surface="feed", version="none") == 1
        assert 0 < value(found, "fourfold_disk_free_bytes") < value(found, "fourfold_disk_bytes")
        assert value(found, "fourfold_private_memory_bytes") > 1 << 20
        assert value(found, "fourfold_events_accepted_total") == len(world())
        labels = {"surface": "feed", "source": "trending"}
        assert 0 < value(found, "fourfold_items_total", **labels) <= POSTS


def test_names_that_are_not_served_are_no_labels(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        assert client.post("/v1/secret/recommend", json={"viewer": "m0"}).status_code == 404
        assert client.get("/nothing/secret").status_code == 404
        assert b"secret" not in client.get("/metrics").content


def test_who_waits_is_counted_by_pool(tmp_path: Path) -> None:
    metrics, workers = Metrics(), Workers(1, 5)
    with make_home(tmp_path / "home") as home, Service(home, ["feed"], follow_seconds=600) as made:
        gauges = Gauges(metrics, made, {"recommend": workers})
        with workers.place(), workers.place():
            gauges.read()
        assert value(read(metrics.text()), "fourfold_waiting_requests", pool="recommend") == 2
        gauges.read()
        assert value(read(metrics.text()), "fourfold_waiting_requests", pool="recommend") == 0


def test_upkeep_that_fails_is_a_number(tmp_path: Path) -> None:
    metrics = Metrics()
    with make_home(tmp_path / "home") as home, Service(home, ["feed"], follow_seconds=600) as made:
        gauges = Gauges(metrics, made, {})
        made.of("feed").problem = "OSError: the disk is gone"
        gauges.read()
    assert value(read(metrics.text()), "fourfold_upkeep_failing", surface="feed") == 1


class Kept:
    """A history cache that only counts."""

    counts = CacheCounts()


def test_lookups_of_the_history_cache_add_up_over_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, cache = Metrics(), Kept()
    scorer = object.__new__(LocalScorer)
    scorer.cache = cache  # type: ignore[assignment]  # it has all that is read here
    with make_home(tmp_path / "home") as home, Service(home, ["feed"], follow_seconds=600) as made:
        monkeypatch.setattr(made.of("feed").online, "models", lambda: TrainedModels(None, scorer, None, None))
        gauges = Gauges(metrics, made, {})
        # The third is another model's cache, which begins anew.
        for counts in (CacheCounts(hits=2, misses=5, bytes=70), CacheCounts(hits=9, misses=6), CacheCounts(hits=1, bytes=30)):
            cache.counts = counts
            gauges.read()
    found = read(metrics.text())
    assert value(found, "fourfold_history_cache_lookups_total", surface="feed", outcome="hits") == 10
    assert value(found, "fourfold_history_cache_lookups_total", surface="feed", outcome="misses") == 6
    assert value(found, "fourfold_history_cache_bytes", surface="feed") == 30


def test_drift_is_told_of_the_version_that_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    period = Period(first=0, last=1, impressions=100)
    inputs = [
        InputDrift(kind="feature", name=name, psi=psi, noise=0.2, ks=None, verdict="stable")
        for name, psi in (("size", 0.4), ("shown", 0.3), ("age", 0.1))
    ]
    metrics, home = Metrics(), make_home(tmp_path / "home")
    save(home.path, DriftReport(surface="feed", version="v2", reference=period, recent=period, inputs=inputs))
    with home, Service(home, ["feed"], follow_seconds=600) as made:
        found = {}
        for version in ("v1", "v2"):
            monkeypatch.setattr(
                made.of("feed").online, "models", lambda served=version: TrainedModels(served, None, None, None)
            )
            found[version] = read(metrics.text(Gauges(Metrics(), made, {})))
    assert not [name for name, _ in found["v1"] if name == "fourfold_drift_psi"]
    assert value(found["v2"], "fourfold_drift_psi", surface="feed", kind="feature") == 0.4


def test_memory_is_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nRssAnon:\t     512 kB\nRssFile:\t 9 kB\n")
    assert private_memory(tmp_path / "status") == 512 << 10
    assert private_memory(tmp_path / "missing") is None


@pytest.mark.parametrize("clock", ["wall", "log"])
def test_a_state_by_the_logs_clock_does_not_grow_old(tmp_path: Path, clock: str) -> None:
    home = make_home(tmp_path / "home", f'[feed]\nclock = "{clock}"\n')
    with service(home, ["feed"]) as client:
        post(client, world())
        client.post("/v1/feed/recommend", json={"viewer": "m0"})
        assert (value(scraped(client), "fourfold_state_age_seconds", surface="feed") == 0) is (clock == "log")
