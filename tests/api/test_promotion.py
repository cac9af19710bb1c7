"""A real server under load while versions are promoted back and forth: no request fails, and each slate is of one version."""

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from fourfold.modes.home import Home
from tests.api.servers import Server
from tests.modes.samples import made_home, train

VIEWERS = ("m1", "m2", "m3")
SWITCHES = 6


def asked(client: httpx.Client, viewer: str) -> tuple[str, list[tuple[str, float]]]:
    """The version and the scored items of a slate; who is told to come again, because the machine is slow, does."""
    while (answer := client.post("/v1/feed/recommend", json={"viewer": viewer, "size": 10})).status_code == 429:
        time.sleep(0.05)
    assert answer.status_code == 200, answer.text
    slate: dict[str, Any] = answer.json()
    assert not [one for one in slate["degradations"] if one["stage"] in {"ranker", "early_ranker", "models", "sources"}]
    return slate["model"], [(item["item"], round(item["score"], 6)) for item in slate["items"]]


def served_by(client: httpx.Client, version: str) -> None:
    deadline = time.monotonic() + 300
    while asked(client, VIEWERS[0])[0] != version:
        assert time.monotonic() < deadline, f"{version} was promoted and did not serve"
        time.sleep(0.01)


def test_promotions_under_load_drop_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    with made_home(tmp_path / "home") as home:
        first, second = train(home), train(home, seed=1)
    registry, answers, stop = Home(tmp_path / "home").registry, list[tuple[str, str, Any]](), threading.Event()
    with Server(tmp_path / "home", "feed") as server, server.client() as client:
        # The log stands still, so a viewer's slate is a function of the version alone.
        alone: dict[tuple[str, str], Any] = {}
        for version in (first, second):
            registry.promote("feed", version)
            served_by(client, version)
            alone |= {(version, viewer): asked(client, viewer)[1] for viewer in VIEWERS}
        assert all(alone[first, viewer] != alone[second, viewer] for viewer in VIEWERS)

        def ask_on(viewer: str) -> None:
            with httpx.Client(base_url=client.base_url, timeout=300) as own:
                while not stop.is_set():
                    answers.append((viewer, *asked(own, viewer)))

        threads = [threading.Thread(target=ask_on, args=(viewer,)) for viewer in VIEWERS]
        for thread in threads:
            thread.start()
        try:
            for switch in range(SWITCHES):
                version = (first, second)[switch % 2]
                registry.promote("feed", version)
                served_by(client, version)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    for viewer, version, slate in answers:
        assert slate == alone[version, viewer]
    assert {version for _, version, _ in answers} == {first, second}
    versions = [version for viewer, version, _ in answers if viewer == VIEWERS[0]]
    assert sum(a != b for a, b in itertools.pairwise(versions)) >= SWITCHES // 2
