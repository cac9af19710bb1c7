from itertools import pairwise

from hypothesis import HealthCheck, Phase, find, given, settings

from fourfold.events.types import Action, EdgeRemoved, EntityDelete, EntityUpsert, Event, batch_of, events_of
from tests.strategies import TINY, logs


@given(logs())
@settings(max_examples=50, deadline=None)
def test_logs_survive_their_table_and_share_ids_only_when_redelivered(log: list[Event]) -> None:
    assert events_of(batch_of(log)) == log
    assert len({event.id for event in log}) == len({repr(event) for event in log})


@given(logs())
@settings(max_examples=50, deadline=None)
def test_logs_speak_of_what_the_definition_declares(log: list[Event]) -> None:
    for event in log:
        if isinstance(event, Action):
            assert TINY.action(event.name)
        if isinstance(event, EntityUpsert):
            entity = TINY.viewer if event.type == "member" else TINY.item
            assert all(entity.attribute(name) for name in event.attributes)


def test_logs_reach_the_hard_cases() -> None:
    quick = settings(max_examples=2_000, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    find(logs(), lambda log: len({event.id for event in log}) < len(log), settings=quick)
    find(logs(), lambda log: any(b.time < a.time for a, b in pairwise(log)), settings=quick)
    find(logs(), lambda log: any(isinstance(event, EdgeRemoved) for event in log), settings=quick)
    find(logs(), _recreated, settings=quick)


def _recreated(log: list[Event]) -> bool:
    gone = {(e.type, e.key): e.time for e in log if isinstance(e, EntityDelete)}
    return any(isinstance(e, EntityUpsert) and gone.get((e.type, e.key), e.time) < e.time for e in log)
