"""Whatever clients do, in whatever order, to two homes side by side: a small model of each says what their slates may hold."""

import shutil
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.api.client import Client
from tests.api.samples import Json, action, edge, entity, impression, make_home, now, service

HOMES = ("one", "two")
MEMBERS = tuple(f"m{number}" for number in range(3))
POSTS = tuple(f"p{number}" for number in range(5))
RECORDS = ("r0", "r1")

homes, members, posts, records = (st.sampled_from(names) for names in (HOMES, MEMBERS, POSTS, RECORDS))


class Model:
    """What a home's feed may show to whom, as the definition of these tests says it: alive, and not out of it for a viewer."""

    def __init__(self) -> None:
        self.author: dict[str, str | None] = {}  # of every post that is alive
        self.deleted: set[str] = set()
        self.blocked: set[tuple[str, str]] = set()
        self.gone: defaultdict[str, set[str]] = defaultdict(set)  # seen or hidden, by viewer

    def expected(self, viewer: str) -> set[str]:
        """Everything that a slate without an end must hold."""
        return {post for post in self.author if self._shown(viewer, post)}

    def _shown(self, viewer: str, post: str) -> bool:
        author = self.author[post]
        blocked = (viewer, author) in self.blocked or (author, viewer) in self.blocked
        return author != viewer and not blocked and post not in self.gone[viewer]

    def upsert(self, post: str, author: str) -> None:
        """A post that was deleted is another one from then on."""
        self.author[post] = author
        self.deleted.discard(post)

    def see(self, viewer: str, post: str) -> None:
        """Whoever is named exists, unless it was deleted."""
        if post not in self.deleted:
            self.author.setdefault(post, None)
        self.gone[viewer].add(post)

    def delete(self, post: str) -> None:
        """Nothing that happened to a deleted entity counts any more."""
        self.author.pop(post, None)
        self.deleted.add(post)
        for gone in self.gone.values():
            gone.discard(post)


class Clients(RuleBasedStateMachine):
    """Two homes with a service each, and a model of each."""

    def __init__(self) -> None:
        super().__init__()
        self.stack, self.folder = ExitStack(), Path(tempfile.mkdtemp())
        self.stack.callback(shutil.rmtree, self.folder)
        self.clients: dict[str, Client] = {}
        self.models = {name: Model() for name in HOMES}
        self.count, self.time, self.touched = 0, now() - 1_000_000, HOMES[0]

    @initialize()
    def start(self) -> None:
        for name in HOMES:
            self.clients[name] = self.stack.enter_context(service(make_home(self.folder / name), ["feed"]))

    def teardown(self) -> None:
        try:
            for home in self.clients:
                self.compare(home)
        finally:
            self.stack.close()

    def send(self, home: str, event: Json, status: int = 202) -> None:
        """Post an event under an id of its own."""
        self.touched = home
        self.count += 1
        answer = self.clients[home].post("/v1/events", json={**event, "id": f"event-{self.count}"})
        assert answer.status_code == status, answer.text

    def later(self) -> int:
        """The time of the next event, after all before."""
        self.time += 10
        return self.time

    @rule(home=homes, post=posts, author=members)
    def upsert(self, home: str, post: str, author: str) -> None:
        """Titles tell the homes apart."""
        self.send(home, entity("post", post, self.later(), title=home, author=author))
        self.models[home].upsert(post, author)

    @rule(home=homes, post=posts)
    def delete(self, home: str, post: str) -> None:
        self.send(home, {"event": "entity_delete", "time": self.later(), "type": "post", "key": post})
        self.models[home].delete(post)

    @rule(home=homes, who=members, whom=members)
    def block(self, home: str, who: str, whom: str) -> None:
        self.send(home, edge(who, whom, "blocks", at=self.later()))
        self.models[home].blocked.add((who, whom))

    @rule(home=homes, who=members, whom=members)
    def unblock(self, home: str, who: str, whom: str) -> None:
        self.send(home, edge(who, whom, "blocks", "edge_removed", at=self.later()))
        self.models[home].blocked.discard((who, whom))

    @rule(home=homes, viewer=members, post=posts)
    def hide(self, home: str, viewer: str, post: str) -> None:
        self.send(home, action(viewer, post, "hide", at=self.later()))
        self.models[home].see(viewer, post)

    @rule(home=homes, viewer=members, post=posts)
    def show(self, home: str, viewer: str, post: str) -> None:
        self.send(home, impression(viewer, post, at=self.later()))
        self.models[home].see(viewer, post)

    @rule(home=homes, viewer=members, post=posts, field=st.sampled_from(["time", "surface", "viewer", "name"]))
    def send_nonsense(self, home: str, viewer: str, post: str, field: str) -> None:
        """It is refused, and leaves nothing behind."""
        wrong = {"time": 12, "surface": "fed", "viewer": "a\nb", "name": "hid"}
        self.send(home, action(viewer, post, "hide", at=self.later()) | {field: wrong[field]}, 422)

    @rule(home=homes, viewer=members, posts=st.lists(posts, min_size=1, max_size=3))
    def exclude(self, home: str, viewer: str, posts: list[str]) -> None:
        assert self.shown(home, viewer, exclude=posts) == self.models[home].expected(viewer) - set(posts)

    @rule(home=homes, record=records, author=members)
    def change(self, home: str, record: str, author: str) -> None:
        """The service gives the time, so records are other posts than those of events with times of their own."""
        answer = self.clients[home].request(
            "PATCH", f"/v1/entities/post/{record}", json={"attributes": {"title": home, "author": author}}
        )
        assert answer.status_code == 200, answer.text
        self.touched = home
        self.models[home].upsert(record, author)

    @rule(home=homes, record=records)
    def remove(self, home: str, record: str) -> None:
        """Also one that is not there: a deletion that is sent again changes nothing."""
        answer = self.clients[home].request("DELETE", f"/v1/entities/post/{record}")
        assert answer.status_code == 200, answer.text
        self.touched = home
        self.models[home].delete(record)

    @rule(home=homes)
    def reload(self, home: str) -> None:
        answer = self.clients[home].post("/v1/feed/reload")
        assert answer.json() == {"surface": "feed", "model": None, "changed": False}

    @rule(home=homes)
    def look(self, home: str) -> None:
        for path in ("/v1/feed/status", "/metrics", "/readyz"):
            assert self.clients[home].get(path).status_code == 200
        assert self.clients[home].get("/v1/feed/status").json()["problem"] is None

    @invariant()
    def slates_hold_what_the_model_says(self) -> None:
        if self.clients:
            self.compare(self.touched)

    def compare(self, home: str) -> None:
        for viewer in (MEMBERS[0], "stranger"):
            assert self.shown(home, viewer) == self.models[home].expected(viewer), (home, viewer)

    def shown(self, home: str, viewer: str, **request: object) -> set[str]:
        """The items of a slate, each once and each of this home."""
        answer = self.clients[home].post("/v1/feed/recommend", json={"viewer": viewer, "size": 50, **request})
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert {item["title"] for item in items} <= {home, None}
        ids = [item["item"] for item in items]
        assert len(ids) == len(set(ids))
        return set(ids)


TestClients = Clients.TestCase
TestClients.settings = settings(
    phases=[Phase.explicit, Phase.generate],  # a failure is short as it is, and to make it shorter would take minutes
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
