"""Entities and edges as records: what is read is what was written; a condition holds of the very state that is changed."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.log import LogMovedError
from tests.api.client import Client
from tests.api.samples import edge, entity, impression, make_home, now, post, service, slate, world
from tests.api.servers import Server


def patched(client: Client, key: str, headers: dict[str, str] | None = None, **attributes: object) -> httpx.Response:
    path = f"/v1/entities/post/{key}"
    return client.request("PATCH", path, json={"attributes": attributes}, headers=headers or {})


def test_what_is_written_is_read_by_all_surfaces_and_in_slates(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        post(client, world())
        answer = patched(client, "new/1", title="New", topics=["art", "food"], size=2, created=1_767_000_000_000)
        assert answer.status_code == 200, answer.text
        read = client.get("/v1/entities/post/new%2F1")
        assert read.json() == {
            "type": "post",
            "key": "new/1",
            "version": answer.json()["version"],
            "attributes": {
                "title": "New",
                "author": None,
                "topics": ["art", "food"],
                "size": 2.0,
                "created": 1_767_000_000_000,
            },
        }
        assert read.headers["ETag"] == f'"{answer.json()["version"]}"'
        assert patched(client, "new/1", title=None, topics=[]).json()["version"] != answer.json()["version"]
        attributes = client.get("/v1/entities/post/new/1").json()["attributes"]
        assert (attributes["title"], attributes["topics"], attributes["size"]) == (None, [], 2.0)
        assert "new/1" in slate(client, "m0", size=13)
        assert client.request("DELETE", "/v1/entities/post/new/1").status_code == 200
        assert client.get("/v1/entities/post/new/1").status_code == 404
        assert "new/1" not in slate(client, "m0", size=13)
        again = patched(client, "new/1", size=3).json()
        assert client.get("/v1/entities/post/new/1").json()["attributes"]["created"] is None
        assert again["offset"] == len(world()) + 4


def test_pages_have_every_entity_once(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        post(client, world())
        client.request("DELETE", "/v1/entities/post/p3")
        found, after = list[str](), 0
        while after is not None:
            page = client.get("/v1/entities/post", params={"after": after, "limit": 5}).json()
            assert len(page["entities"]) <= 5
            found += [one["key"] for one in page["entities"]]
            after = page["next"]
        assert sorted(found) == sorted({f"p{number}" for number in range(12)} - {"p3"})
        assert client.get("/v1/entities/post", params={"after": 10**9}).json() == {"entities": [], "next": None}


def test_edges(tmp_path: Path) -> None:
    ends = {"source": "m0", "target": "m3"}
    with service(make_home(tmp_path / "home")) as client:
        post(client, world())
        assert client.get("/v1/edges/follows", params=ends).status_code == 404
        made = client.request("PUT", "/v1/edges/follows", params=ends)
        assert made.status_code == 200
        (link,) = client.get("/v1/edges/follows", params=ends).json()["links"]
        assert link == {"kind": "follows", **ends, "version": made.json()["version"]}
        targets = [one["target"] for one in client.get("/v1/edges/follows", params={"source": "m0"}).json()["links"]]
        assert targets == ["m1", "m3"]
        assert client.request("PUT", "/v1/edges/follows", params=ends, headers={"If-None-Match": "*"}).status_code == 412
        wrong = client.request("DELETE", "/v1/edges/follows", params=ends, headers={"If-Match": '"9.9"'})
        assert (wrong.status_code, made.json()["version"] in wrong.json()["error"]) == (412, True)
        right = {"If-Match": f'"{made.json()["version"]}"'}
        assert client.request("DELETE", "/v1/edges/follows", params=ends, headers=right).status_code == 200
        assert client.get("/v1/edges/follows", params=ends).status_code == 404
        assert client.request("DELETE", "/v1/edges/follows", params=ends, headers={"If-Match": "*"}).status_code == 412
        client.request("PUT", "/v1/edges/blocks", params={"source": "m5", "target": "m0"})
        assert not {"p5", "p11"} & set(slate(client, "m0"))


def test_conditions(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        post(client, world())
        assert patched(client, "p0", {"If-None-Match": "*"}, size=1).status_code == 412
        assert patched(client, "p99", {"If-Match": "*"}, size=1).status_code == 412
        first = patched(client, "p99", {"If-None-Match": "*"}, size=1).json()["version"]
        second = patched(client, "p99", {"If-Match": f'"{first}"'}, size=2).json()["version"]
        stale = patched(client, "p99", {"If-Match": f'"{first}"'}, size=3)
        assert stale.status_code == 412
        assert stale.json() == {"error": f"the version is {second}", "write": "the version that is read now"}
        assert client.get("/v1/entities/post/p99").json()["attributes"]["size"] == 2
        # A late event about it is a new version too, though it changes no value.
        post(client, entity("post", "p99", at=now() - 10_000, size=7))
        assert patched(client, "p99", {"If-Match": second}, size=4).status_code == 412


def test_a_change_sent_twice_under_one_key_counts_once(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        post(client, world())
        versions = [patched(client, "p0", {"Idempotency-Key": "once"}, size=1).json()["version"] for _ in range(2)]
        assert versions[0] == versions[1]


def test_a_lost_answer_is_asked_for_again_and_another_change_is_another(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        post(client, world())
        create = {"Idempotency-Key": "k", "If-None-Match": "*"}
        first = patched(client, "new", create, size=1)
        again = patched(client, "new", create, size=1)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json()["version"] == again.json()["version"]
        version = {"Idempotency-Key": "k", "If-Match": first.json()["version"]}
        assert [patched(client, "new", version, size=2).status_code for _ in range(2)] == [200, 200]
        assert patched(client, "other", {"Idempotency-Key": "k"}, size=2).status_code == 200
        assert client.get("/v1/entities/post/other").json()["attributes"]["size"] == 2
        assert client.request("DELETE", "/v1/entities/post/new", headers={"Idempotency-Key": "k"}).status_code == 200
        assert client.get("/v1/entities/post/new").status_code == 404


def test_an_event_from_a_fast_clock_puts_no_change_off(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        post(client, world())
        post(
            client, [entity("post", "p1", at=now() + 20 * 3_600_000, size=9), edge("m0", "m5", "blocks", at=now() + 3_600_000)]
        )
        assert client.request("DELETE", "/v1/entities/post/p1").status_code == 200
        assert client.get("/v1/entities/post/p1").status_code == 404
        assert "p1" not in slate(client, "m0")
        ends = {"source": "m0", "target": "m5"}
        assert client.request("PUT", "/v1/edges/blocks", params=ends).json()["version"]
        assert client.get("/v1/edges/blocks", params=ends).status_code == 200
        assert not {"p5", "p11"} & set(slate(client, "m0"))


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "said"),
    [
        ("GET", "/v1/entities/person", {}, 404, "no surface here declares the type 'person'"),
        ("GET", "/v1/entities/post/nobody", {}, 404, "there is no post 'nobody'"),
        ("GET", "/v1/entities/post?limit=0", {}, 422, "limit: "),
        ("GET", f"/v1/entities/post?after={10**23}", {}, 422, "after: "),
        ("GET", "/v1/edges/likes?source=a", {}, 404, "no surface here declares the edge 'likes'"),
        ("GET", "/v1/edges/follows", {}, 422, "source: "),
        ("PUT", "/v1/edges/follows?source=a&target=b%00", {}, 422, "control character"),
        ("PUT", "/v1/edges/likes?source=a&target=b", {}, 404, "declares the edge"),
        ("PATCH", "/v1/entities/person/x", {"json": {"attributes": {}}}, 404, "declares the type"),
        ("PATCH", "/v1/entities/post/x", {"json": {"attributes": {"colour": 1}}}, 422, "'colour' is not declared"),
        ("PATCH", "/v1/entities/post/x", {"json": {"attributes": {"size": "large"}}}, 422, "does not fit a number"),
        ("PATCH", "/v1/entities/post/x", {"json": {"atributes": {}}}, 422, "atributes"),
        ("PATCH", "/v1/entities/post/x", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ("PATCH", "/v1/entities/post/x", {"content": b"{}"}, 415, "content type"),
        ("PATCH", f"/v1/entities/post/{'x' * 300}", {"json": {"attributes": {}}}, 422, "longer than 256"),
        ("PATCH", "/v1/entities/post/x%0A", {"json": {"attributes": {}}}, 422, "control character"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, method: str, path: str, options: dict[str, Any], status: int, said: str
) -> None:
    with service(make_home(tmp_path / "home")) as client:
        answer = client.request(method, path, **options)
        assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
        assert answer.json()["write"]


def test_of_changes_under_one_version_one_wins_however_many_processes_try(tmp_path: Path) -> None:
    """A counter that many raise at once, each on condition of the version that it read: no raise is lost."""
    make_home(tmp_path / "home")
    ended = Counter[int]()
    with Server(tmp_path / "home", "feed", workers=2) as server, server.client() as client:
        url = client.base_url.join("/v1/entities/post/counter")
        assert httpx.patch(url, json={"attributes": {"size": 0}}).status_code == 200

        def raise_it() -> None:
            for _ in range(10):
                read = httpx.get(url)
                size, version = read.json()["attributes"]["size"], read.headers["ETag"]
                change = {"attributes": {"size": size + 1}}
                ended[httpx.patch(url, json=change, headers={"If-Match": version}).status_code] += 1

        threads = [threading.Thread(target=raise_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(ended) == {200, 412}
        assert httpx.get(url).json()["attributes"]["size"] == ended[200]


def test_who_writes_meanwhile_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append, moved = LmdbLog.append, list[int | None]()

    def late(log: LmdbLog, batch: Any, arrival: int | None, *, expected: int | None = None) -> range:
        if expected is not None and len(moved) < 3:
            moved.append(expected)
            raise LogMovedError("somebody was faster")
        return append(log, batch, arrival, expected=expected)

    with service(make_home(tmp_path / "home")) as client:
        post(client, [*world(), impression("m0", "p0"), edge("m0", "m2")])
        monkeypatch.setattr(LmdbLog, "append", late)
        assert patched(client, "p0", {"If-Match": "*"}, size=1).status_code == 200
        assert len(moved) == 3
        moved.clear()
        monkeypatch.setattr("fourfold.api.records.ATTEMPTS", 2)
        busy = patched(client, "p0", {"If-Match": "*"}, size=1)
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
