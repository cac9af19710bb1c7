from collections import Counter

import numpy as np
import pyarrow as pa

from fourfold.data.world import DAY, World
from fourfold.events.types import Action, EntityDelete, EntityUpsert, Impression, events_of
from fourfold.surfaces import PRESETS

SMALL = World(members=40, posts=80, days=3, seed=5, deleted=0.2)
EVENTS = events_of(SMALL.events)


def test_equal_parameters_give_equal_worlds_and_other_seeds_others() -> None:
    assert World(members=40, posts=80, days=3, seed=5, deleted=0.2).events.equals(SMALL.events)
    assert not World(members=40, posts=80, days=3, seed=6, deleted=0.2).events.equals(SMALL.events)
    assert pa.Table.from_batches(SMALL.batches(100)).equals(pa.Table.from_batches([SMALL.events]))


def test_it_is_as_untidy_as_a_real_log() -> None:
    arrival, time = (SMALL.events.column(name).to_numpy() for name in ("arrival", "time"))
    assert (np.diff(arrival) >= 0).all()
    assert (arrival >= time).all()
    assert (np.diff(time) < 0).any()
    assert max(Counter(event.id for event in EVENTS).values()) > 1
    assert all(len({repr(e) for e in EVENTS if e.id == id_}) == 1 for id_, n in Counter(e.id for e in EVENTS).items() if n > 1)
    deleted = {e.key: e.time for e in EVENTS if isinstance(e, EntityDelete)}
    assert any(isinstance(e, EntityUpsert) and e.time > deleted.get(e.key, e.time) for e in EVENTS)
    delays = [a.time - shown().get((a.request, a.item), a.time) for a in EVENTS if isinstance(a, Action)]
    assert min(delays) >= 0
    assert max(delays) > 30 * 60_000


def shown() -> dict[tuple[str | None, str], int]:
    return {(e.request, e.item): e.time for e in EVENTS if isinstance(e, Impression)}


def test_slates_hold_each_item_once_at_positions_from_zero() -> None:
    slates: dict[str, dict[int, str]] = {}
    for event in EVENTS:
        if isinstance(event, Impression):
            assert event.request is not None
            assert event.position is not None
            slates.setdefault(event.request, {})[event.position] = event.item
    for slate in slates.values():
        assert sorted(slate) == list(range(len(slate)))
        assert len(set(slate.values())) == len(slate)


def test_only_living_posts_of_others_are_shown() -> None:
    created: dict[str, list[tuple[int, str]]] = {}
    deleted = {e.key: e.time for e in EVENTS if isinstance(e, EntityDelete)}
    for event in EVENTS:
        if isinstance(event, EntityUpsert) and event.type == "post":
            created.setdefault(event.key, []).append((event.time, str(event.attributes["author"])))
    for event in EVENTS:
        if isinstance(event, Impression):
            born = [at for at, _ in created[event.item] if at < event.time or at == deleted.get(event.item)]
            assert born
            assert event.time - min(born) < 3 * DAY
            assert created[event.item][0][1] != event.viewer
            gone = deleted.get(event.item)
            assert gone is None or event.time < gone or any(at >= gone for at, _ in created[event.item])


def test_clicks_follow_the_true_probability() -> None:
    world = World(members=100, posts=200, days=7, sessions_per_day=3)
    events = {event.id: event for event in events_of(world.events)}.values()
    clicked = {(e.request, e.item) for e in events if isinstance(e, Action) and e.name == "click"}
    shown_ = [e for e in events if isinstance(e, Impression)]
    truth = world.click_probability([f"m{i}" for i in range(100)], [f"p{i}" for i in range(200)])
    assert truth.shape == (100, 200)
    expected = np.array([truth[int(e.viewer[1:]), int(e.item[1:])] for e in shown_])
    happened = np.array([(e.request, e.item) in clicked for e in shown_])
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 1.0)):
        rows = (expected >= low) & (expected < high)
        error = np.sqrt((expected[rows] * (1 - expected[rows])).sum()) / rows.sum()
        assert abs(expected[rows].mean() - happened[rows].mean()) < 4 * error


def test_the_preset_declares_all_of_it() -> None:
    definition = PRESETS["world"]()
    for event in EVENTS:
        if isinstance(event, EntityUpsert):
            entity = definition.viewer if event.type == "member" else definition.item
            assert all(entity.attribute(name) for name in event.attributes)
        if isinstance(event, Action):
            assert definition.action(event.name)
