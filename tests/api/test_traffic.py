"""Slates and events through the whole application, in this process: freshness, refusals, and input that nobody would send."""

import json
import string
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Route

import fourfold.api.traffic as module
import fourfold.modes.online as online
from fourfold.api.errors import ApiError, refused
from fourfold.api.service import Service
from fourfold.api.workers import Workers
from fourfold.events.lmdb_log import LmdbLog
from fourfold.events.log import LogFullError
from fourfold.modes.home import Home
from tests.api.client import Client, client_of
from tests.api.samples import PYMK, START, action, edge, entity, impression, logged, make_home, now, post, service, slate, world

DAY = 86_400_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("traffic") / "home")


@pytest.fixture(scope="module")
def client(home: Home) -> Iterator[Client]:
    with service(home) as made:
        post(made, world())
        yield made


def test_a_slate_says_what_is_in_it_and_why(client: Client) -> None:
    found = client.post("/v1/feed/recommend", json={"viewer": "m0", "size": 3}).json()
    assert (found["surface"], found["viewer"], found["mode"], found["model"]) == ("feed", "m0", "online", None)
    assert len(found["items"]) == 3
    assert {"item", "score", "probabilities", "sources", "reason", "title", "rule", "propensity", "team"} == set(
        found["items"][0]
    )
    assert {stage["stage"] for stage in found["trace"]["stages"]} >= {"sources", "filters", "select"}
    assert found["trace"]["offset"] >= len(world())
    assert found["trace"]["proposed"]["trending"] == 12


def test_every_kind_of_event_is_in_the_next_slate(client: Client) -> None:
    everything = slate(client, "fresh")
    assert len(everything) == 12
    post(client, action("fresh", "p0", "hide"))
    assert "p0" not in slate(client, "fresh")
    post(client, impression("fresh", "p1"))
    assert "p1" not in slate(client, "fresh")
    post(client, edge("fresh", "m2", "blocks"))
    assert not {"p2", "p8"} & set(slate(client, "fresh"))
    post(client, edge("fresh", "m2", "blocks", "edge_removed"))
    assert {"p2", "p8"} <= set(slate(client, "fresh"))
    post(client, entity("post", "p99", now(), title="new", author="m3"))
    assert "p99" in slate(client, "fresh")
    post(client, {"event": "entity_delete", "id": "gone", "time": now(), "type": "post", "key": "p99"})
    assert "p99" not in slate(client, "fresh")


def test_a_request_may_say_what_it_wants(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        post(client, [entity("post", f"p{size}", now() - 1000, size=size) for size in (5, 50)])
        wanted: dict[str, object] = {"viewer": "fresh", "where": 'size < 10 or context.tab == "search"'}
        for context, shown in (({}, ["p5"]), ({"tab": "search"}, ["p5", "p50"])):
            answer = client.post("/v1/feed/recommend", json=wanted | {"context": context}).json()
            assert [item["item"] for item in answer["items"]] == shown


def test_a_like_moves_an_item_up(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home")) as client:
        post(client, world())
        assert slate(client, "new")[0] != "p7"
        post(client, [action(f"m{member}", "p7") for member in range(5)])
        assert slate(client, "new")[0] == "p7"


def test_two_surfaces_share_edges_and_nothing_else(client: Client) -> None:
    assert {"m2", "m3"} <= set(slate(client, "m0", "pymk"))
    assert "m1" not in slate(client, "m0", "pymk")
    post(client, edge("m0", "m2"))
    assert "m2" not in slate(client, "m0", "pymk")
    assert set(slate(client, "m0")) <= {f"p{number}" for number in range(12)}


def test_two_homes_never_touch(tmp_path: Path) -> None:
    one, two = make_home(tmp_path / "one"), make_home(tmp_path / "two")
    with service(one) as first, service(two) as second:
        post(first, world())
        assert len(slate(first, "m0")) > 0
        assert slate(second, "m0") == []
        post(second, entity("post", "only", title="here"))
        assert slate(second, "m0") == ["only"]
        assert "only" not in slate(first, "m0")
        assert logged(two) == [f"post-only-{START}"]
        assert len(logged(one)) == len(world())


def test_an_event_a_list_and_lines_are_the_same(tmp_path: Path) -> None:
    home, events = make_home(tmp_path / "home"), world()
    with service(home) as client:
        assert post(client, events[0]) == {"accepted": 1, "offset": 1}
        assert post(client, events[1:3]) == {"accepted": 2, "offset": 3}
        lines = "\n".join(json.dumps(event) for event in events[3:]) + "\n"
        answer = client.post("/v1/events", content=lines, headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
        assert answer.status_code == 202
        assert answer.json() == {"accepted": len(events) - 3, "offset": len(events)}
        assert logged(home) == [event["id"] for event in events]


def test_one_bad_event_and_nothing_is_appended(client: Client, home: Home) -> None:
    before = home.log.end
    bad = {**impression("m0", "p0"), "time": "yesterday"}
    found = post(client, [impression("m0", "p0"), impression("m0", "p1"), bad], 422)
    assert found["error"].startswith("events[2].time: Expected `int`")
    assert "milliseconds" in found["write"]
    found = post(client, [impression("m0", "p0"), action("m0", "p1", "lke")], 422)
    assert found == {"error": "events[1].name: 'lke' is not declared", "write": "one of: click, hide, like"}
    assert home.log.end == before


def test_time_is_never_filled_in_and_never_of_the_future(client: Client, home: Home) -> None:
    before = home.log.end
    without = {key: value for key, value in impression("m0", "p0").items() if key != "time"}
    found = post(client, without, 422)
    assert found["error"].startswith("events[0].time: Object missing required field")
    assert "does not fill it in" in found["write"]
    assert "more than a day after" in post(client, impression("m0", "p0", now() + DAY + 60_000), 422)["error"]
    assert home.log.end == before
    post(client, impression("m0", "p0", now() + DAY - 60_000))


def test_an_unknown_surface_lists_the_others(client: Client) -> None:
    answer = client.post("/v1/fed/recommend", json={"viewer": "m0"})
    assert answer.status_code == 404
    assert answer.json() == {"error": "surface: 'fed' is not served here", "write": "one of: feed, pymk"}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("viewer", 5, "viewer: Expected `str`"),
        ("viewer", "a\nb", "viewer: it holds a control character"),
        ("exclude", ["a", "b\x00"], "exclude: it holds a control character"),
        ("exclude", ["a", ""], "exclude[1]: Expected `str` of length >= 1"),
        ("size", 1_001, "size: Expected `int` <= 1000"),
        ("size", 0, "size: Expected `int` >= 1"),
        ("time", -1, "time: Expected `int` >= 0"),
        ("time", 10**40, "time: "),
        ("time", (1 << 52) - 1, "time: 4503599627370495 lies more than a day after"),
        ("budget_ms", 1.5, "budget_ms: Expected `int"),
        ("sise", 5, "sise: Object contains unknown field"),
        ("context", {"tub": "home"}, "context: 'tub' is not declared"),
        ("context", {"tab": "a\nb"}, "context.tab: 'a\\nb' is no value"),
        ("context", {"tab": ["home"]}, "context[...]: "),
        ("where", "", "where: Expected `str` of length >= 1"),
        ("where", "size <", "where: at character 7: the end does not fit here"),
        ("where", "siez < 1", "where: at character 1: 'siez' is no attribute of the item"),
        ("where", " " * 1001, "where: Expected `str` of length <= 1000"),
    ],
)
def test_a_refusal_names_the_field(client: Client, field: str, value: object, says: str) -> None:
    answer = client.post("/v1/feed/recommend", json={"viewer": "m0", field: value})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(says)
    assert answer.json()["write"]


@pytest.mark.parametrize(
    "body",
    [b"", b"  \n", b"{", b"nul", b"[" * 100_000, b'{"viewer":"\xff"}', b"NaN", b'{"viewer": "a"} x', b'{"viewer":"\\ud800"}'],
)
@pytest.mark.parametrize("path", ["/v1/feed/recommend", "/v1/events"])
def test_what_is_no_json_is_a_clients_error(client: Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "write"}


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -1, 1 << 52, 1 << 63, 1 << 64]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["feed", "m0", "p0", "\x00", "x" * 257, "\u202e", "\ud800"]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
FIELDS = """event id time viewer item surface name type key kind source target attributes
size exclude request budget_ms position value propensity where"""
names = st.sampled_from(FIELDS.split())


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Near misses: a sound event or request with fields replaced, as JSON, cut or not."""
    sound = [
        impression("m0", "p0", START),
        action("m0", "p0", at=START),
        entity("post", "fuzz", title="a", size=1, topics=["b"]),
        edge("m0", "m1", at=START),
        {"viewer": "m0"},
        {},
    ]
    body = draw(st.sampled_from(sound)) | draw(st.dictionaries(names, values, max_size=3))
    shape = draw(st.sampled_from([body, body, [body], [sound[0], body], {"viewer": body}]))
    text = json.dumps(shape).encode()
    return text[: draw(st.sampled_from([len(text), len(text), len(text), len(text) // 2]))]


@settings(max_examples=150, deadline=None)
@given(bodies() | st.binary(max_size=40))
def test_no_body_breaks_the_service(client: Client, body: bytes) -> None:
    for path, kind in (("/v1/feed/recommend", "json"), ("/v1/events", "json"), ("/v1/events", "x-ndjson")):
        answer = client.post(path, content=body, headers={"Content-Type": f"application/{kind}"})
        assert answer.status_code in (200, 202, 400, 422), answer.text
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error", "write"}
    # Whatever was taken, it must not have poisoned the state.
    assert slate(client, "m1")
    assert client.get("/v1/feed/status").json()["problem"] is None


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["title", "author", "topics", "size", "created"]),
        scalars | st.lists(st.text(max_size=5), max_size=2),
        max_size=5,
    )
)
def test_no_attribute_poisons_the_state(client: Client, attributes: dict[str, object]) -> None:
    event = entity("post", "poison", now(), **attributes)
    answer = client.post("/v1/events", content=json.dumps(event), headers={"Content-Type": "application/json"})
    assert answer.status_code in (202, 400, 422)
    assert slate(client, "m1")


@settings(max_examples=60, deadline=None)
@given(st.text(string.printable, max_size=20), st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]))
def test_no_path_breaks_the_service(client: Client, path: str, method: str) -> None:
    for prefix in ("/", "/v1/", "/v1/feed/"):
        answer = client.request(method, prefix + quote(path))
        assert answer.status_code < 500, (prefix, path)


def test_methods_and_paths_that_are_not_there(client: Client) -> None:
    assert client.get("/v1/events").status_code == 405
    assert set(client.get("/v1/events").json()) == {"error", "write"}
    assert client.get("/nothing").status_code == 404
    assert set(client.get("/nothing").json()) == {"error", "write"}


def test_a_full_log_is_said_and_a_slate_still_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with service(make_home(tmp_path / "home", "[feed]\nlog_impressions = true")) as client:
        post(client, world())

        def full(*_: object, **__: object) -> range:
            raise LogFullError("it has reached its max_bytes; drop old events with retain")

        monkeypatch.setattr(LmdbLog, "append", full)
        found = post(client, impression("m0", "p0"), 507)
        assert "drop old events" in found["error"]
        answer = client.post("/v1/feed/recommend", json={"viewer": "m0"})
        assert answer.status_code == 200
        assert answer.json()["items"]
        assert "log_impressions" in [degradation["stage"] for degradation in answer.json()["degradations"]]


def test_logged_impressions_are_seen_even_with_the_longest_request_id(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "[feed]\nlog_impressions = true")
    with service(home) as client:
        post(client, world())
        first = slate(client, "m0", size=4, request="r" * 256)
        assert not set(first) & set(slate(client, "m0", size=4))
        ids = logged(home)
        assert len(ids) == len(set(ids)) == len(world()) + 8


def test_who_finds_the_queue_full_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with service(make_home(tmp_path / "home"), queue=0, threads=1) as client:
        post(client, world())
        inside: list[int] = []

        def nested(_: online.Online, request: object) -> list[str]:
            answer = client.post("/v1/feed/recommend", json={"viewer": "other"})
            inside.append(answer.status_code)
            assert answer.headers["Retry-After"] == "1"
            return []

        with monkeypatch.context() as patched:
            patched.setattr(online.Online, "recommend", nested)
            assert client.post("/v1/feed/recommend", json={"viewer": "m0"}).status_code == 200
        assert inside == [429]
        assert slate(client, "m0")


def test_acknowledged_events_beyond_what_a_request_applies_are_in_its_slate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "EVENTS_PER_REQUEST", 20)
    monkeypatch.setattr("fourfold.api.service.EVENTS_PER_REQUEST", 20)
    with service(make_home(tmp_path / "home"), follow_seconds=600.0) as client:
        post(client, world())
        for turn in range(4):
            post(client, [impression(f"x{turn}", f"p{number}") for number in range(12)])
        post(client, [action("m0", "p3", "hide")])
        assert "p3" not in slate(client, "m0")


def test_slates_wait_until_the_state_has_reached_the_log(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    with home, Service(home, ["feed"]) as made:
        made.of("feed")._stop.set()
        made.of("feed")._thread.join()
        made.of("feed").caught_up = False
        route = Route("/v1/{surface}/recommend", module.recommend_route(made, Workers(1, 1)), methods=["POST"])
        with client_of(Starlette(routes=[route], exception_handlers={ApiError: refused})) as client:
            answer = client.post("/v1/feed/recommend", json={"viewer": "m0"})
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "1"
            made.of("feed").round()
            assert client.post("/v1/feed/recommend", json={"viewer": "m0"}).status_code == 200


def test_only_the_definitions_served_count(tmp_path: Path) -> None:
    with service(make_home(tmp_path / "home"), [PYMK.surface]) as client:
        found = post(client, impression("m0", "p0"), 422)
        assert found == {"error": "events[0].surface: 'feed' is not declared", "write": "one of: pymk"}
