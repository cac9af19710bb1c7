"""A version judged whole: each action, each part of the impressions, each source and the slates, on what it never saw.

Everything is cut by time: an impression is judged with what came before it, a list with what came before the split.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from fourfold.features.encoding import Encoder
from fourfold.features.view import View
from fourfold.lab.buckets import Buckets, buckets
from fourfold.lab.list_metrics import Catalogue, ListMetrics
from fourfold.lab.slates import SLATE, OnMember, judge_lists
from fourfold.lab.truth import Truth, after_split, leave_one_out
from fourfold.lab.unseen import Taken, Unseen
from fourfold.lab.usual_context import usual_contexts
from fourfold.models.ranker import Ranker
from fourfold.pipeline.models import Models
from fourfold.training.evaluation import ActionMetrics, action_metrics, judge
from fourfold.training.judged import Freshness, Period, period_examples
from fourfold.training.manifest import Manifest

HOUR = 3_600_000
FLATTERS = (
    "leave-one-out asks for each member's last item whenever that was: the models know what others did later, and items that "
    "became popular since; use these lists only beside published leave-one-out figures"
)


class NothingToJudgeError(RuntimeError):
    """No impression is left that the version did not see; the message says why and what to do."""


class Evaluation(Struct, frozen=True, kw_only=True):
    """How good a version is, and what that was measured on.

    Parameters
    ----------
    surface, version : str
        Of what.
    protocol : str
        How lists were split off: ``"time"``, or ``"leave_one_out"`` on request.
    freshness : str
        As of when features and histories were known: ``"request"`` or ``"day"``.
    since, until : int
        The first and the last judged request, in milliseconds. Lists are made as of `since`.
    impressions, members, new_members, new_items : int
        What was judged, and how many of the members and items nobody had seen before `since`.
    target : str or None
        The action that means liking in lists; None: the utilities of an item's actions sum to more than 0.
    taken : Taken or None
        What was in the file of events, if there was one.
    actions : dict
        Metrics of each action.
    buckets : Buckets or None
        The same by history and by age; None without a ranker.
    slates : dict
        Metrics of the whole pipeline's slates.
    sources : dict
        Metrics of the lists of each source, of their union and of popularity.
    warnings : list of str
        Why these figures may flatter.
    """

    surface: str
    version: str
    protocol: Literal["time", "leave_one_out"]
    freshness: Freshness
    since: int
    until: int
    impressions: int
    members: int
    new_members: int
    new_items: int
    target: str | None
    taken: Taken | None
    actions: dict[str, ActionMetrics]
    buckets: Buckets | None
    slates: ListMetrics
    sources: dict[str, ListMetrics]
    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to judge and how. `members` are drawn by `seed` for lists of `k`; the rest is as in `Evaluation`."""

    freshness: Freshness = "request"
    target: str | None = None
    leave_one_out: bool = False
    members: int = 1_000
    k: int = 20
    seed: int = 0


def judge_version(
    view: View,
    manifest: Manifest,
    ranker: Ranker | None,
    models: Models,
    question: Question,
    *,
    unseen: Unseen | None = None,
    on_member: OnMember,
    on_stage: Callable[[str], None],
) -> Evaluation:
    """Judge a version on events that it never saw: those of `unseen`, else those of the log since its training.

    Parameters
    ----------
    view : View
        The state of the home.
    manifest : Manifest
        Of the version.
    ranker : Ranker, optional
        Its ranker, if it has one.
    models : Models
        All of it, as it serves.
    question : Question
        What to judge and how.
    unseen : Unseen, optional
        A file's events beside the state of the home: judged are the impressions of the file that the log does not hold.
    on_member : callable
        Called with the members whose lists were made so far, and their total.
    on_stage : callable
        Called with a line on what is done next.

    Raises
    ------
    NothingToJudgeError
        If there is no such impression.
    TargetError
        If the target is no action of the surface.
    """
    view = unseen.view if unseen else view
    period = _period(view, manifest, unseen)
    since = period.first
    if since is None:
        raise NothingToJudgeError(_nothing(manifest, unseen))
    lists = _lists(view, models, period, since, question, on_member)
    on_stage(f"judging {int(period.judged.sum())} impressions")
    actions, parts = _judged(view, period, ranker, question, since)
    entries, judged = period.entries, period.judged
    before = entries.time < since
    return Evaluation(
        surface=manifest.surface,
        version=manifest.version,
        protocol="leave_one_out" if question.leave_one_out else "time",
        freshness=question.freshness,
        since=since,
        until=int(entries.request[period.new].max()),
        impressions=int(judged.sum()),
        members=len(set(entries.viewer[judged].tolist())),
        new_members=len(set(entries.viewer[judged].tolist()) - set(entries.viewer[before].tolist())),
        new_items=len(set(entries.item[judged].tolist()) - set(entries.item[before].tolist())),
        target=question.target,
        taken=unseen.taken if unseen else None,
        actions=actions,
        buckets=parts,
        slates=lists.pop(SLATE, {}),
        sources=lists,
        warnings=_warnings(manifest, since, question, actions),
    )


def _period(view: View, manifest: Manifest, unseen: Unseen | None) -> Period:
    before = view.newest_time + 1
    return Period.of(view, 0, before, unseen.log) if unseen else Period.of(view, manifest.unseen_since, before)


def _lists(
    view: View, models: Models, period: Period, since: int, question: Question, on_member: OnMember
) -> dict[str, ListMetrics]:
    """Metrics of the slates and of all other lists."""
    truth, entries = _truth(view, period, since, question), period.entries
    return judge_lists(
        view,
        models,
        truth,
        Catalogue.of(view, entries.item[(entries.time < since) & entries.shown], since),
        k=question.k,
        seed=question.seed,
        contexts=usual_contexts(view, entries, truth.viewers, truth.times),
        on_member=on_member,
    )


def _truth(view: View, period: Period, since: int, question: Question) -> Truth:
    drawn = {"members": question.members, "seed": question.seed}
    if question.leave_one_out:
        return leave_one_out(view, period, **drawn, target=question.target)
    return after_split(view, period, since, **drawn, target=question.target)


def _judged(
    view: View, period: Period, ranker: Ranker | None, question: Question, since: int
) -> tuple[dict[str, ActionMetrics], Buckets | None]:
    if ranker is None or not period.judged.any():
        return {}, None
    rows = period_examples(view, Encoder(view.definition), period, question.freshness)
    judged = judge(ranker, view, rows, since)
    return action_metrics(view.definition, judged, question.seed), buckets(view, judged)


def _warnings(manifest: Manifest, since: int, question: Question, actions: dict[str, ActionMetrics]) -> list[str]:
    found = []
    if since < manifest.unseen_since:
        hours = (manifest.unseen_since - since) / HOUR
        found.append(
            f"{manifest.version} was trained or calibrated on events up to {hours:.1f} hours after the first judged request: "
            "it knows what came later"
        )
    if question.leave_one_out:
        found.append(FLATTERS)
    rare = [name for name, metrics in actions.items() if metrics.positives < 50]
    if rare:
        found.append(f"fewer than 50 positives of {', '.join(rare)}: their figures say little")
    return found


def _nothing(manifest: Manifest, unseen: Unseen | None) -> str:
    if unseen is None:
        return (
            f"the log holds nothing newer than what {manifest.version} was trained on; train with --holdout, wait for newer "
            "events, or pass a file of events that it never saw with --events"
        )
    if unseen.taken.new == 0:
        return (
            "all events of the file are in the log already: the version may have seen them; without --events, what is newer "
            "than its training is judged"
        )
    return f"the file holds no dated impression of {manifest.surface!r} that the log does not hold"
