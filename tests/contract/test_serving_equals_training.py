"""Training rows equal serving rows, array for array, and so do scores: nothing of an example's inputs is from its future."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourfold.data.world import World
from fourfold.definition import DCNv2, FeedSR, History, Recommender, Trending
from fourfold.events.types import Action, ContextValue, EntityUpsert, Event, Impression
from fourfold.features.assembly import Context, candidates, context, rows
from fourfold.features.details import context_space
from fourfold.features.encoding import Encoder
from fourfold.features.inputs import Candidates, Rows
from fourfold.features.state import State
from fourfold.features.timeline import timeline
from fourfold.features.view import View
from fourfold.models.io import build_ranker
from fourfold.models.ranker import Ranker
from fourfold.pipeline.models import Models, Untrained
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Request
from fourfold.scoring.engine import ScoringEngine
from fourfold.scoring.local import LocalScorer
from fourfold.surfaces.presets import world
from fourfold.training.evaluation import predict
from fourfold.training.examples import Examples, examples
from tests.features.samples import state_of
from tests.strategies import HOUR, START, TINY, logs

WINDOWED = replace(TINY, history=History(impressions=6, block=2, values=("click", "like")))
HISTORY = History(impressions=12, block=4, values=("long_view",))
SMALL = replace(world(), history=HISTORY, sources=(Trending(),), early_ranker=None, retrieval=None)
FORGETFUL = replace(WINDOWED, lateness="20h", memory="5h")
END = START + (1 << 40)


@dataclass(frozen=True)
class Example:
    """One example as training lays it out."""

    viewer: str
    item: str
    request: int
    start: int  # of its window, in the packed rows
    row: int
    span: int
    context: Mapping[str, ContextValue]


def each(view: View, found: Examples) -> Iterator[Example]:
    lengths = found.sequences.lengths
    span = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    definition = view.definition
    for row in np.flatnonzero(found.sequences.weight > 0).tolist():
        viewer, item = view.ids(definition.viewer.name, found.viewer[[row]]), view.ids(definition.item.name, found.item[[row]])
        place = int(starts[span[row]]), row, int(span[row])
        yield Example(viewer[0], item[0], int(found.request[row]), *place, context_of(view, found, row))


def context_of(view: View, found: Examples, row: int) -> Mapping[str, ContextValue]:
    """The context that an example's impression carried, as text."""
    entries = timeline(view, found.viewer[[row]], np.array([END]), np.zeros(1, np.int64))
    at = np.flatnonzero((entries.item == found.item[row]) & (entries.request == found.request[row]) & entries.shown)[-1]
    codes = zip(view.definition.context, entries.details.context[at].tolist(), strict=True)
    return {part.name: view.names[context_space(part.name)][code] for part, code in codes if code >= 0}


def served(view: View, encoder: Encoder, example: Example) -> tuple[Context, Candidates]:
    """What serving at the example's request reads."""
    viewer, item = (view.rows(kind, [key]) for kind, key in (("member", example.viewer), ("post", example.item)))
    known = context(view, encoder, int(viewer[0]), example.request, example.context)
    return known, candidates(view, encoder, known, item)


def check_equal(found: Examples, example: Example, view: View, encoder: Encoder) -> None:
    packed = found.sequences
    known, candidate = served(view, encoder, example)
    window = slice(example.start, example.start + int(packed.seen[example.row]))
    for name in ("items", "context", "early", "moments", "actions", "values", "seen"):  # tokens do not read late features
        np.testing.assert_array_equal(getattr(known.history, name), getattr(packed, name)[window], err_msg=f"history {name}")
    for field in fields(Rows):
        row = getattr(packed, field.name)[[example.row]]
        np.testing.assert_array_equal(getattr(candidate, field.name), row, err_msg=field.name)
    np.testing.assert_array_equal(known.viewer_ids[0], packed.viewers[example.span])


@given(logs(60), st.sampled_from([WINDOWED, FORGETFUL]))
def test_every_training_row_equals_the_serving_row(events: list[Event], definition: Recommender) -> None:
    view, encoder = state_of(events, definition).view(), Encoder(definition)
    found = examples(view, encoder, 0, END)
    for example in each(view, found):
        check_equal(found, example, view, encoder)


def test_with_a_memory_every_impression_is_an_example_once_and_keeps_its_outcome() -> None:
    """Requests that go on beyond the times whose histories begin together, and actions that come after them."""
    events: list[Event] = []
    for hour in range(20):
        for minute in (0, 20, 40):
            time = START + hour * HOUR + minute * 60_000
            shown = Impression(id=f"i{time}", time=time, viewer="m0", item=f"p{minute}", surface="feed", request=f"r{hour}")
            events.append(shown)
            if (hour + minute) % 3 == 0:
                later = time + 50 * 60_000
                events.append(Action(id=f"a{time}", time=later, viewer="m0", item=shown.item, surface="feed", name="like"))
    for hour in (0, 13):  # an item that comes back long after: what is done then is not the outcome of the first time
        events.append(Impression(id=f"r{hour}", time=START + hour * HOUR + 1, viewer="m0", item="p1", surface="feed"))
    events.append(Action(id="r", time=START + 13 * HOUR + 9, viewer="m0", item="p1", surface="feed", name="like"))
    events.sort(key=lambda event: event.time)
    found, wanted = (examples(state_of(events, d).view(), Encoder(d), 0, END) for d in (FORGETFUL, WINDOWED))
    rows_of = [
        sorted(
            (int(one.request[row]), int(one.item[row]), one.sequences.labels[row].tolist())
            for row in np.flatnonzero(one.sequences.weight)
        )
        for one in (found, wanted)
    ]
    assert len(rows_of[0]) == 62
    assert rows_of[0] == rows_of[1]


def test_a_viewer_who_changes_is_read_as_of_each_request() -> None:
    """Viewers' ids are kept per sequence, so a window that spans a change must be laid out once per version."""
    events: list[Event] = []
    for number, country in enumerate(["dk", "fr", "dk"]):
        time = START + number * 60_000
        events += [
            EntityUpsert(id=f"u{number}", time=time, type="member", key="m0", attributes={"country": country}),
            Impression(id=f"i{number}", time=time + 1, viewer="m0", item=f"p{number}", surface="feed"),
        ]
    view, encoder = state_of(events, WINDOWED).view(), Encoder(WINDOWED)
    found = examples(view, encoder, 0, END)
    assert len(found) == 3
    assert len(set(found.sequences.viewers[:, 0].tolist())) == 2
    for example in each(view, found):
        check_equal(found, example, view, encoder)


def check_against_the_past(events: list[Event], most: int = 8) -> None:
    """Rows of the whole log equal what serving makes of a log that ends where the request begins."""
    view, encoder = state_of(events, WINDOWED).view(), Encoder(WINDOWED)
    found = examples(view, encoder, 0, END)
    for example in list(each(view, found))[-most:]:
        past = state_of([event for event in events if event.time < example.request], WINDOWED).view()
        if past.rows("post", [example.item])[0] >= 0:  # an item that the past does not name has no row to be served from
            check_equal(found, example, past, Encoder(WINDOWED))


@given(logs(60))
def test_a_log_that_ends_at_the_request_serves_the_same_row(events: list[Event]) -> None:
    check_against_the_past(events)


def leaks() -> dict[str, tuple[str, object]]:
    """What a careless change might do to the training rows, and which function of `training.examples` it replaces."""

    def late_rows(view, encoder, asked, late=True):  # type: ignore[no-untyped-def]
        return rows(view, encoder, replace(asked, requests=asked.requests + 1), late)

    def sees_itself(view, viewers, before, since):  # type: ignore[no-untyped-def]
        found = timeline(view, viewers, before, since)
        return replace(found, seen=np.minimum(found.seen + 1, np.arange(len(found)) - found.starts[found.viewer] + 1))

    def label_as_feature(view, encoder, asked, late=True):  # type: ignore[no-untyped-def]
        made, later = rows(view, encoder, asked, late), replace(asked, requests=asked.requests + 3_600_000)
        return replace(made, late=made.late + rows(view, encoder, later, late).late)

    return {"1 ms": ("rows", late_rows), "itself": ("timeline", sees_itself), "label": ("rows", label_as_feature)}


@pytest.mark.parametrize("leak", ["1 ms", "itself", "label"])
def test_a_planted_leak_is_caught(leak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = list(small_world_events())
    check_against_the_past(events)
    name, careless = leaks()[leak]
    monkeypatch.setattr(f"fourfold.training.examples.{name}", careless)
    with pytest.raises(AssertionError):
        check_against_the_past(events)


def small_world_events() -> Iterator[Event]:
    """A slate of two, acted on, and a second slate with one of its posts again."""
    for number, (at, item, request) in enumerate([(0, "p0", "r0"), (0, "p1", "r0"), (9, "p0", "r1"), (9, "p2", "r1")]):
        time = START + at * 60_000
        yield Impression(id=f"i{number}", time=time, viewer="m0", item=item, surface="feed", request=request)
        yield Action(id=f"a{number}", time=time, viewer="m0", item=item, surface="feed", name="like")


@pytest.fixture(scope="module")
def view() -> View:
    state = State(SMALL)
    made = World(members=12, posts=60, days=4, sessions_per_day=2.0, slate=4, seed=3)
    state.apply(made.events, len(made.events))
    return state.view()


def ranker_of(config: FeedSR | DCNv2, definition: Recommender, found: Examples) -> Ranker:
    """A fitted ranker whose every weight matters."""
    model = build_ranker(config, Encoder(definition).schema)
    model.fit_inputs(found.sequences)
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


CONFIGS = [FeedSR(width=16, layers=2, heads=2), DCNv2(width=16)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_the_score_of_training_is_the_score_of_serving(config: FeedSR | DCNv2, view: View) -> None:
    encoder = Encoder(SMALL)
    found = examples(view, encoder, 0, END)
    model = ranker_of(config, SMALL, found)
    trained, scorer = predict(model, found), LocalScorer(ScoringEngine(model))
    chosen = list(each(view, found))[::5]
    assert any(example.start > 0 and found.sequences.seen[example.row] > 8 for example in chosen)
    scores = np.concatenate([scorer.score(*served(view, encoder, example)) for example in chosen])
    np.testing.assert_allclose(scores, trained[[example.row for example in chosen]], atol=1e-5)
    assert scores.std(axis=0).min() > 1e-3


@dataclass(frozen=True)
class Ranking(Untrained):
    """Models with a ranker and nothing else."""

    scorer: LocalScorer | None = None


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_the_slate_scores_an_item_as_training_did(config: FeedSR | DCNv2, view: View) -> None:
    definition = replace(SMALL, ranker=config, filters=())
    shown = replace(view, definition=definition)
    found = examples(shown, Encoder(definition), 0, END)
    model = ranker_of(config, definition, found)
    trained = predict(model, found)
    models: Models = Ranking(version="v1", scorer=LocalScorer(ScoringEngine(model)))
    pipeline = Pipeline(definition, lambda: shown, lambda: models, budget_ms=60_000)
    compared = 0
    for example in list(each(shown, found))[::23]:
        slate = pipeline.recommend(Request(viewer=example.viewer, time=example.request, size=1_000), 0)
        scores = {item.item: item.probabilities for item in slate.items}
        if example.item in scores:
            compared += 1
            np.testing.assert_allclose(list(scores[example.item].values()), trained[example.row], atol=1e-5)
    assert compared > 10
