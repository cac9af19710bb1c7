"""Inputs that know the outcome are caught, however they came to know it; an honest log is not accused."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fourfold.data.world import World
from fourfold.definition import Action, AttributeValue, Category, Count, Entity, Number, Rate, Recommender
from fourfold.events import types as ev
from fourfold.features.encoding import Encoder
from fourfold.features.state import State
from fourfold.features.view import View
from fourfold.surfaces.presets import world
from fourfold.training.columns import input_columns
from fourfold.training.examples import Examples, examples
from fourfold.training.leaks import leaks
from fourfold.training.manifest import Finding
from tests.features.samples import state_of
from tests.strategies import HOUR, START

END = START + (1 << 40)
FEED = Recommender(
    surface="feed",
    viewer=Entity("member", (Number("wealth"),)),
    item=Entity("post", (Number("size"), Category("topic"), Category("label"))),
    context=(Category("tab"),),
    actions=(Action("click").worth(1), Action("like").worth(2)),
    attribution="6h",
    features=(
        AttributeValue("size", "item", "size"),
        AttributeValue("wealth", "viewer", "wealth"),
        Count("shown", ("item",)),
        Rate("tab_clicks", ("context.tab",), "click"),
        Rate("viewer_clicks", ("viewer",), "click"),
    ),
)
SHOWN, POSTS, MEMBERS = 600, 40, 30


class Log:
    """600 impressions a minute apart, half of them clicked by chance, a few liked."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        self.post = rng.integers(0, POSTS, SHOWN) * rng.integers(0, 2, SHOWN)  # some are shown far more often than others
        self.member, self.clicked = rng.integers(0, MEMBERS, SHOWN), rng.random(SHOWN) < 0.5
        self.time = START + HOUR * 24 + np.arange(SHOWN) * 300_000
        self.events: list[ev.Event] = []
        for post in range(POSTS):
            self.upsert(START, f"p{post}", size=float(rng.random()), topic=f"t{post % 3}")
        for n in range(SHOWN):
            tab = "home" if rng.random() < 0.5 else "search"
            self.shown(n, tab)

    def shown(self, n: int, tab: str) -> None:
        member, post, time = f"m{self.member[n]}", f"p{self.post[n]}", int(self.time[n])
        shown = ev.Impression(id=f"i{n}", time=time, viewer=member, item=post, surface="feed", context={"tab": tab})
        self.events.append(shown)
        for name, taken in (("click", self.clicked[n]), ("like", n % 60 == 0)):
            if taken:
                done = ev.Action(id=f"{name}{n}", time=time + 1000, viewer=member, item=post, surface="feed", name=name)
                self.events.append(done)

    def upsert(self, time: int, key: str, type: str = "post", **attributes: ev.Value) -> None:  # noqa: A002
        self.events.append(ev.EntityUpsert(id=f"u{len(self.events)}", time=time, type=type, key=key, attributes=attributes))

    @property
    def view(self) -> View:
        return state_of(self.events, FEED).view()


def found(view: View, rows: Examples | None = None) -> list[Finding]:
    encoder = Encoder(view.definition)
    made = examples(view, encoder, 0, END) if rows is None else rows
    return leaks(view, made, input_columns(made, encoder.schema, 50_000))


def kinds(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.kind, finding.subject) for finding in findings]


def test_an_honest_log_is_not_accused() -> None:
    assert found(Log().view) == []
    state = State(world())
    state.apply(World(members=40, posts=80, days=5, slate=6, seed=1).events)
    assert found(state.view()) == []


def test_a_number_set_from_the_outcome_just_before_the_impression() -> None:
    log = Log()
    for n in range(SHOWN):
        log.upsert(int(log.time[n]) - 1, f"m{log.member[n]}", "member", wealth=float(log.clicked[n]) + n / 10_000)
    (leak,) = [finding for finding in found(log.view) if finding.kind == "leak"]
    assert leak.subject == "wealth"
    assert leak.problem.startswith("tells click apart all alone (AUC 1.00, 0.5")
    assert leak.problem.endswith("as of an hour before)")


def test_a_number_that_is_missing_where_nothing_happened() -> None:
    log = Log()
    for n in range(SHOWN):
        log.upsert(int(log.time[n]) - 1, f"m{log.member[n]}", "member", wealth=1.0 if log.clicked[n] else None)
    assert ("leak", "wealth") in kinds(found(log.view))


def test_categories_that_hold_the_outcome() -> None:
    log = Log()
    log.events = [event for event in log.events if not isinstance(event, ev.Impression | ev.Action)]
    for n in range(SHOWN):
        log.shown(n, "clicked" if log.clicked[n] else "left")
        log.upsert(int(log.time[n]) - 1, f"p{log.post[n]}", label="yes" if log.clicked[n] else "no")
    assert {("leak", "context.tab"), ("leak", "item.label")} <= set(kinds(found(log.view)))


def test_a_category_of_many_values_is_not_accused_of_knowing_each_by_heart() -> None:
    log = Log()
    for n in range(SHOWN):
        log.upsert(int(log.time[n]) - 1, f"p{log.post[n]}", label=f"only{n}")
    assert ("leak", "item.label") not in kinds(found(log.view))


@pytest.mark.parametrize("counted", ["impressions", "click"])
def test_a_total_of_the_whole_log_that_is_known_from_the_start(counted: str) -> None:
    log = Log()
    total = np.bincount(log.post, None if counted == "impressions" else log.clicked, minlength=POSTS)
    for post in range(POSTS):
        log.upsert(START + 1, f"p{post}", size=float(3 * total[post]))
    (leak,) = found(log.view)
    assert (leak.kind, leak.subject) == ("leak", "size")
    assert leak.problem == f"ranks each item as the number of its later {counted} does (correlation 1.00)"


def test_a_total_that_is_stamped_when_it_was_known_is_honest() -> None:
    log = Log()
    for post in np.unique(log.post).tolist():
        log.upsert(int(log.time[log.post == post].max()) - 1, f"p{post}", size=float((log.post == post).sum()))
    assert ("leak", "size") not in kinds(found(log.view))


def test_an_attribute_that_is_set_after_the_action() -> None:
    log = Log()
    for n in np.flatnonzero(log.clicked).tolist():
        log.upsert(int(log.time[n]) + 60_000, f"m{log.member[n]}", "member", wealth=float(n % 7))
    assert ("follows_outcome", "viewer.wealth") in kinds(found(log.view))
    calm = Log()
    for n in range(SHOWN):
        calm.upsert(int(calm.time[n]) + 60_000, f"m{calm.member[n]}", "member", wealth=float(n % 7))
    assert found(calm.view) == []


def test_examples_whose_counters_hold_their_own_row() -> None:
    view = Log().view
    rows = examples(view, Encoder(FEED), 0, END)
    late = rows.sequences.late.copy()
    late[::3, 0] += 1
    (leak,) = found(view, replace(rows, sequences=replace(rows.sequences, late=late)))
    assert (leak.kind, leak.subject) == ("look_ahead", "shown")
    assert leak.problem.startswith("33.")


def test_too_few_outcomes_prove_nothing() -> None:
    log = Log()
    for n in range(SHOWN):
        log.upsert(int(log.time[n]) - 1, f"m{log.member[n]}", "member", wealth=float(n % 60 == 0))
    assert found(log.view) == [], "ten likes"


def test_outcomes_that_are_not_known_are_left_out() -> None:
    view = Log().view
    rows = examples(view, Encoder(FEED), 0, END)
    labels = rows.sequences.labels.copy()
    labels[:, 0] = np.where(labels[:, 0] > 0, rows.sequences.early[:, 0] > 0.5, np.nan)
    small = replace(rows, sequences=replace(rows.sequences, labels=labels))
    assert ("leak", "size") in kinds(found(view, small)), "among the known, size decides"
