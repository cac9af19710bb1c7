"""Alerts and the dashboard ask for what a service really measures, and whoever is woken finds a section of the runbook."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fourfold.lab.drift import DriftReport, InputDrift, Period, save
from fourfold.training.manifest import Manifest, TrainingData
from tests.api.samples import FEED, impression, make_home, now, post, service, world
from tests.api.test_metrics import Samples, read

ROOT = Path(__file__).resolve().parents[2]
ALERTS, CASES = ROOT / "deploy/prometheus/alerts.yml", ROOT / "deploy/prometheus/alerts.test.yml"
DASHBOARD, RUNBOOK = ROOT / "deploy/grafana/fourfold.json", ROOT / "docs/operations/runbook.md"
METRIC, SELECTED = re.compile(r"\bfourfold_\w+"), re.compile(r"\b(fourfold_\w+)\{([^}]*(?:\{surface\}[^}]*)?)\}")
CACHE = {"fourfold_history_cache_lookups_total", "fourfold_history_cache_bytes"}
"""Measured where a ranker serves, see tests/api/test_gauges.py."""


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.fixture(scope="module")
def expressions(rules: list[dict[str, Any]]) -> list[str]:
    """All that alerts and dashboard ask for."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel.get("targets", [])]


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """What a service measures that got traffic of all kinds, good and bad, and serves a version."""
    home = make_home(tmp_path_factory.mktemp("alerts") / "home")
    data = TrainingData(events=0, first=0, last=0, offset=0)
    manifest = Manifest(
        surface="feed",
        kind="none",
        created=now(),
        definition_hash=FEED.hash,
        trained_hash=FEED.trained_hash,
        definition=FEED.to_dict(),
        data=data,
        seed=0,
        code="0",
    )
    home.registry.promote("feed", home.registry.publish(manifest, lambda folder: None))
    period = Period(first=0, last=1, impressions=100)
    changed = InputDrift(kind="feature", name="item_age", psi=0.5, noise=0.1, ks=0.3, verdict="major")
    save(home.path, DriftReport(surface="feed", version="v1", reference=period, recent=period, inputs=[changed]))
    with service(home) as client:
        post(client, world())
        post(client, impression("m0", "p0"))
        for viewer in ("m0", "stranger"):
            assert client.post("/v1/feed/recommend", json={"viewer": viewer}).status_code == 200
        assert client.post("/v1/feed/recommend", json={}).status_code == 422
        yield read(client.get("/metrics").content)


def test_every_metric_that_is_asked_for_is_measured(expressions: list[str], scrape: Samples) -> None:
    asked = {name for expression in expressions for name in METRIC.findall(expression)}
    assert len(asked) > 15
    assert not asked - {name for name, _ in scrape} - CACHE


def test_every_label_that_is_asked_for_is_there(expressions: list[str], scrape: Samples) -> None:
    labels: dict[str, set[str]] = {}
    for name, pairs in scrape:
        labels.setdefault(name, set()).update(label for label, _ in pairs)
    for expression in expressions:
        for name, selector in SELECTED.findall(expression):
            asked = set(re.findall(r"(\w+)\s*=~?\"", selector))
            assert name in CACHE or asked <= labels[name], (name, asked)


def test_every_alert_has_a_section_of_the_runbook_and_no_section_is_left_over(rules: list[dict[str, Any]]) -> None:
    names = [rule["alert"] for rule in rules]
    assert re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.M) == names
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"operations/runbook.html#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_alert_is_seen_to_fire_and_to_keep_quiet(rules: list[dict[str, Any]]) -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    seen = {(case["alertname"], bool(case["exp_alerts"])) for case in cases}
    assert seen == {(rule["alert"], fires) for rule in rules for fires in (True, False)}


def test_panels_are_told_apart_and_explained() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] == "row" or (panel["description"] and panel["targets"]), panel["title"]
