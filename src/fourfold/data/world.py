"""A small generated world whose truth is known: members with tastes, posts, sessions, and a log as untidy as real ones.

For tests and benchmarks: events arrive late, twice and in ties, posts are deleted and come back, actions follow after hours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fourfold.data.reading import joined
from fourfold.events.types import SCHEMA, EventKind, Value, columns_batch, encode_attributes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.object_]
Columns = dict[str, NDArray[Any]]

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
TOPICS = ("music", "sport", "food", "travel", "science", "film", "games", "art")
_WORDS = ("new", "best", "first", "why", "how", "ten", "great", "small", "secret", "last", "fast", "old")
_DRAWN = 32


@dataclass(frozen=True, kw_only=True)
class World:
    """A world; equal parameters give equal events.

    Parameters
    ----------
    members, posts, days : int
        Its size.
    seed : int
        What all draws come from.
    start : int
        When the sessions begin, in milliseconds since 1970 UTC.
    sessions_per_day : float
        Sessions of a member in a day, on average.
    slate : int
        Impressions of a session at most.
    lifetime_days : int
        How long a post is shown.
    late, duplicates, deleted : float
        Which part of the events arrives up to six hours late, or twice; which part of the posts is deleted, half of them to
        be made anew.
    """

    members: int = 200
    posts: int = 400
    days: int = 7
    seed: int = 0
    start: int = 1_704_067_200_000
    sessions_per_day: float = 1.0
    slate: int = 8
    lifetime_days: int = 3
    late: float = 0.05
    duplicates: float = 0.02
    deleted: float = 0.04
    surface: str = "feed"

    @cached_property
    def events(self) -> pa.RecordBatch:
        """All events in order of arrival, with their arrival times."""
        rng = np.random.default_rng([self.seed, 2])
        parts = [*self._members(), *self._posts(), *self._follows(rng), *self._sessions(rng)]
        return self._arrived(joined(parts), rng)

    def batches(self, size: int = 1_000) -> Iterator[pa.RecordBatch]:
        """The events in order of arrival, at most `size` at a time."""
        return (self.events.slice(start, size) for start in range(0, len(self.events), size))

    def click_probability(self, members: Sequence[str], posts: Sequence[str]) -> Floats:
        """The true probability that each member clicks on each post when it is shown, shape (members, posts)."""
        viewer = np.array([int(member[1:]) for member in members], np.int64)
        item = np.array([int(post[1:]) for post in posts], np.int64)
        return _sigmoid(self._affinity(viewer[:, None], item[None, :]))

    @cached_property
    def end(self) -> int:
        """When the sessions end, in milliseconds; delayed actions may follow."""
        return self.start + self.days * DAY

    @cached_property
    def _tastes(self) -> Floats:
        return np.random.default_rng([self.seed, 0]).normal(size=(self.members, len(TOPICS)))

    @cached_property
    def _truth(self) -> "_Posts":
        rng = np.random.default_rng([self.seed, 1])
        count = self.posts
        first, last = self.start - self.lifetime_days * DAY // 2, self.end
        created = np.sort(rng.integers(first, last, count) // SECOND * SECOND)
        deleted = np.where(rng.random(count) < self.deleted, created + rng.integers(HOUR, DAY, count), np.iinfo(np.int64).max)
        back = np.where(rng.random(count) < 0.5, deleted.clip(max=last) + 6 * HOUR, np.iinfo(np.int64).max)
        return _Posts(
            author=rng.integers(0, self.members, count),
            topic=rng.integers(0, len(TOPICS), count),
            quality=rng.normal(scale=0.7, size=count),
            words=rng.integers(0, len(_WORDS), (count, 3)),
            created=created,
            deleted=deleted,
            back=np.where(deleted < last, back, np.iinfo(np.int64).max),
        )

    def _affinity(self, viewer: Ints, item: Ints) -> Floats:
        posts = self._truth
        logits: Floats = self._tastes[viewer, posts.topic[item]] + posts.quality[item] - 1.5
        return logits

    def _members(self) -> Iterator[pa.RecordBatch]:
        favourite = self._tastes.argmax(axis=1)
        attributes: list[dict[str, Value]] = [{"interest": TOPICS[topic]} for topic in favourite.tolist()]
        times = np.full(self.members, self.start - self.lifetime_days * DAY)
        yield _entities("member", _names("m", np.arange(self.members)), times, attributes)

    def _posts(self) -> Iterator[pa.RecordBatch]:
        posts, everything = self._truth, np.arange(self.posts)
        yield self._made(everything, posts.created, "new")
        gone = np.flatnonzero(posts.deleted < self.end)
        names = _names("p", gone)
        columns: Columns = {"id": _tagged(names, "gone"), "time": posts.deleted[gone], "subject": names}
        yield _batch(EventKind.ENTITY_DELETE, columns | {"name": _same("post", len(gone))})
        again = np.flatnonzero(posts.back < self.end)
        yield self._made(again, posts.back[again], "again")

    def _made(self, chosen: Ints, times: Ints, tag: str) -> pa.RecordBatch:
        posts = self._truth
        attributes: list[dict[str, Value]] = [
            {
                "title": " ".join([TOPICS[posts.topic[post]], *(_WORDS[word] for word in posts.words[post])]),
                "author": f"m{posts.author[post]}",
                "topic": TOPICS[posts.topic[post]],
                "created": int(time),
            }
            for post, time in zip(chosen.tolist(), times.tolist(), strict=True)
        ]
        return _entities("post", _names("p", chosen), times, attributes, tag)

    def _follows(self, rng: np.random.Generator) -> Iterator[pa.RecordBatch]:
        count = self.members * 8
        source, target = rng.integers(0, self.members, (2, count))
        alike = np.einsum("md,md->m", self._tastes[source], self._tastes[target])
        chosen = (source != target) & (rng.random(count) < _sigmoid(alike))
        pairs = np.unique(np.stack([source[chosen], target[chosen]], axis=1), axis=0)
        times = rng.integers(self.start - DAY, self.end, len(pairs)) // HOUR * HOUR
        yield _links(EventKind.EDGE_ADDED, pairs, times, "on")
        dropped = rng.random(len(pairs)) < 0.1
        yield _links(EventKind.EDGE_REMOVED, pairs[dropped], times[dropped] + DAY, "off")

    def _sessions(self, rng: np.random.Generator) -> Iterator[pa.RecordBatch]:
        count = int(rng.poisson(self.members * self.days * self.sessions_per_day))
        viewer = rng.integers(0, self.members, count)
        time = rng.integers(self.start, self.end, count) // (10 * SECOND) * (10 * SECOND)
        drawn = rng.integers(0, self.posts, (count, _DRAWN))
        score = self._affinity(viewer[:, None], drawn) + rng.gumbel(size=drawn.shape)
        fit = self._shown(drawn, time[:, None]) & (self._truth.author[drawn] != viewer[:, None]) & _first(drawn)
        order = np.argsort(np.where(fit, -score, np.inf), axis=1, kind="stable")[:, : self.slate]
        session, position = np.nonzero(np.take_along_axis(fit, order, axis=1))
        item = drawn[session, order[session, position]]
        requests = _names("r", session)
        shown: Columns = {
            "id": _tagged(requests, position.astype(str).astype(object)),
            "time": time[session],
            "subject": _names("m", viewer[session]),
            "object": _names("p", item),
            "request": requests,
            "surface": _same(self.surface, len(item)),
        }
        yield _batch(EventKind.IMPRESSION, shown | {"position": position})
        yield from self._outcomes(shown, self._affinity(viewer[session], item), rng)

    def _shown(self, post: Ints, time: Ints) -> NDArray[np.bool_]:
        posts = self._truth
        alive = (time < posts.deleted[post]) | (time >= posts.back[post])
        fit: NDArray[np.bool_] = alive & (time > posts.created[post]) & (time < posts.created[post] + self.lifetime_days * DAY)
        return fit

    def _outcomes(self, shown: Columns, logits: Floats, rng: np.random.Generator) -> Iterator[pa.RecordBatch]:
        clicked = rng.random(len(logits)) < _sigmoid(logits)
        dwell = rng.gamma(2.0, 8_000.0, len(logits)).astype(np.int64)
        long_view = clicked & (dwell > 15_000)
        like = clicked & (rng.random(len(logits)) < _sigmoid(logits - 1.0))
        hide = ~clicked & (rng.random(len(logits)) < 0.2 * _sigmoid(-logits - 2.0))
        delays = {"click": 10 * SECOND, "long_view": 30 * SECOND, "like": HOUR // 4, "hide": 5 * SECOND}
        for (name, mean), did in zip(delays.items(), (clicked, long_view, like, hide), strict=True):
            chosen = np.flatnonzero(did)
            delay = np.minimum(rng.exponential(mean, len(chosen)), 20 * HOUR).astype(np.int64) // SECOND * SECOND
            rows = {key: column.take(chosen) for key, column in shown.items()}
            rows |= {"id": _tagged(rows["id"], name), "time": rows["time"] + delay, "name": _same(name, len(chosen))}
            value = dwell[chosen].astype(np.float64) if name in {"click", "long_view"} else None
            yield _batch(EventKind.ACTION, rows | ({"value": value} if value is not None else {}))

    def _arrived(self, events: pa.RecordBatch, rng: np.random.Generator) -> pa.RecordBatch:
        time = events.column("time").to_numpy()
        delay = rng.integers(0, 2 * SECOND, len(time))
        delay += np.where(rng.random(len(time)) < self.late, rng.integers(0, 6 * HOUR, len(time)), 0)
        twice = np.flatnonzero(rng.random(len(time)) < self.duplicates)
        rows = np.concatenate([np.arange(len(time)), twice])
        arrival = np.concatenate([time + delay, (time + delay)[twice] + rng.integers(0, HOUR, len(twice))])
        order = np.argsort(arrival, kind="stable")
        index = SCHEMA.get_field_index("arrival")
        return events.take(pa.array(rows[order])).set_column(index, SCHEMA.field("arrival"), pa.array(arrival[order]))


@dataclass(frozen=True, kw_only=True)
class _Posts:
    author: Ints
    topic: Ints
    quality: Floats
    words: Ints
    created: Ints
    deleted: Ints
    back: Ints


def _sigmoid(x: Floats) -> Floats:
    probability: Floats = 1 / (1 + np.exp(-x))
    return probability


def _first(drawn: Ints) -> NDArray[np.bool_]:
    """Where a post is drawn for the first time in its row: a slate holds it once."""
    order = np.argsort(drawn, axis=1, kind="stable")
    sorted_ = np.take_along_axis(drawn, order, axis=1)
    fresh = np.ones(drawn.shape, bool)
    fresh[:, 1:] = sorted_[:, 1:] != sorted_[:, :-1]
    first = np.empty_like(fresh)
    np.put_along_axis(first, order, fresh, axis=1)
    return first


def _names(prefix: str, numbers: Ints) -> Strings:
    return np.array([f"{prefix}{number}" for number in numbers.tolist()], object)


def _same(value: str, length: int) -> Strings:
    return np.full(length, value, object)


def _tagged(names: Strings, tags: Strings | str) -> Strings:
    each = [tags] * len(names) if isinstance(tags, str) else tags.tolist()
    return np.array([f"{name}:{tag}" for name, tag in zip(names.tolist(), each, strict=True)], object)


def _entities(type_: str, keys: Strings, times: Ints, attributes: list[dict[str, Value]], tag: str = "new") -> pa.RecordBatch:
    columns: Columns = {"id": _tagged(keys, tag), "time": times, "subject": keys, "name": _same(type_, len(keys))}
    encoded = np.array([encode_attributes(each) for each in attributes], object)
    return _batch(EventKind.ENTITY_UPSERT, columns | {"attributes": encoded})


def _links(kind: EventKind, pairs: Ints, times: Ints, tag: str) -> pa.RecordBatch:
    source, target = _names("m", pairs[:, 0]), _names("m", pairs[:, 1])
    columns: Columns = {
        "id": _tagged(_tagged(source, target), tag),
        "time": times,
        "subject": source,
        "object": target,
        "name": _same("follows", len(pairs)),
    }
    return _batch(kind, columns)


def _batch(kind: EventKind, columns: Columns) -> pa.RecordBatch:
    length = len(columns["time"])
    return columns_batch(columns | {"kind": np.full(length, int(kind), np.uint8)}, length)
