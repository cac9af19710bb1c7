"""The report of an experiment: what each variant did, how surely they differ, and whether the split can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from msgspec import Struct

from fourfold.definition import Recommender
from fourfold.definition.experiments import CONTROL, HOLDOUT, Experiment
from fourfold.features.table import Float
from fourfold.lab.exposures import INTERLEAVED, Asked, Mask, Outcomes, Progress, Readable, outcomes
from fourfold.lab.sequential import FEWEST, MISMATCH, Estimate, difference, estimate, mean_of, mismatch, ratio_of
from fourfold.lab.verdicts import Evidence, Verdict, judged, mismatched, too_few

UTILITY = "utility"
LEVEL = 0.05


class ExperimentError(ValueError):
    """No report can be made; the message says what is missing."""


class ActionFigures(Struct, frozen=True, kw_only=True):
    """How often viewers did something."""

    count: int
    per_impression: float
    per_viewer: float


class ArmFigures(Struct, frozen=True, kw_only=True):
    """What the viewers of a variant, the holdout or a team did. `share` is the declared one, None where none is declared."""

    name: str
    share: float | None
    viewers: int
    impressions: int
    actions: dict[str, ActionFigures]
    utility_per_viewer: float


class Comparison(Struct, frozen=True, kw_only=True):
    """How much more there is in a variant than in control, per viewer or per impression; `relative` to control's figure."""

    variant: str
    metric: str
    per: Literal["viewer", "impression"]
    difference: Estimate
    relative: float | None


class Split(Struct, frozen=True, kw_only=True):
    """Whether viewers are split between variants as declared; `expected` counts are rounded."""

    observed: dict[str, int]
    expected: dict[str, float]
    p: float
    mismatched: bool


class Preference(Struct, frozen=True, kw_only=True):
    """Whose items viewers prefer where two rankers fill one slate.

    Of each viewer, the team is preferred whose items earned more of the metric. `share` is that of `team` among the viewers who
    prefer one, with both intervals: 0.5 where neither is better (Radlinski et al., 2008, with viewers in place of queries).
    """

    team: str
    metric: str
    wins: int
    losses: int
    ties: int
    share: Estimate


class ExperimentReport(Struct, frozen=True, kw_only=True):
    """All of it. `level` is the probability of any wrong verdict where nothing differs, however often one looks."""

    surface: str
    experiment: str
    kind: Literal["ab", "interleave"]
    control: str
    metric: str
    level: float
    since: int | None
    until: int | None
    viewers: int
    arms: list[ArmFigures]
    split: Split | None
    comparisons: list[Comparison]
    preferences: list[Preference]
    verdicts: list[Verdict]
    warnings: list[str]


@dataclass(frozen=True)
class Question:
    """What a report is asked for.

    Parameters
    ----------
    experiment : str
        Its name.
    metric : str
        What decides: ``"utility"`` (the sum of each action's worth), or an action.
    effect : float
        The smallest difference that matters, relative to control.
    window : int, optional
        A viewer counts with what happened within so many milliseconds of the first exposure, once they are over.
    level : float
        The probability of a wrong verdict where nothing differs.
    """

    experiment: str
    metric: str = UTILITY
    effect: float = 0.05
    window: int | None = None
    level: float = LEVEL


def report(
    log: Readable,
    definition: Recommender,
    declared: Experiment | None,
    question: Question,
    on_progress: Progress | None = None,
) -> ExperimentReport:
    """The report of an experiment, from the log.

    Parameters
    ----------
    log : Log
        The events.
    definition : Recommender
        Of the surface.
    declared : Experiment, optional
        As the deployment has it. Without it, equal shares are assumed, and all times.
    question : Question
        What is asked.
    on_progress : callable, optional
        Told how many events were read, of how many.

    Raises
    ------
    ExperimentError
        If the log has no such experiment, or there is no such metric.
    """
    actions = [action.name for action in definition.actions]
    if question.metric != UTILITY and question.metric not in actions:
        known = _list([UTILITY, *actions])
        raise ExperimentError(f"{question.metric!r} is no metric of {definition.surface}; write one of: {known}")
    names = list(declared.variants) if declared else []
    since, until = declared.period if declared else (0, None)
    teams = names if declared and declared.kind == "interleave" else []
    asked = Asked(definition.surface, question.experiment, actions, teams, since, until, question.window)
    found = outcomes(log, asked, on_progress)
    if not found.arms:
        raise ExperimentError(_unseen(definition.surface, question.experiment, declared))
    return _Reporting(definition, declared, question, found).report()


class _Reporting:
    """Makes one report of what was counted."""

    def __init__(self, definition: Recommender, declared: Experiment | None, question: Question, found: Outcomes) -> None:
        self._definition, self._declared, self._question, self._found = definition, declared, question, found
        self._utility = np.array([action.utility for action in definition.actions])
        self._actions = [action.name for action in definition.actions]
        self._teams = list(declared.variants) if declared and declared.kind == "interleave" else []
        self._names = list(declared.variants) if declared else sorted(set(found.arms) - {HOLDOUT, INTERLEAVED})
        if not self._names:
            raise ExperimentError(
                f"the log holds interleaved slates of {question.experiment!r}, and the deployment does not say of which two; "
                "declare it again, with an end that has passed"
            )
        self._control = declared.control if declared else CONTROL if CONTROL in self._names else self._names[0]
        self._others = [name for name in self._names if name != self._control]
        self._level = question.level / max(len(self._others), 1)

    def report(self) -> ExperimentReport:
        found, split = self._found, None if self._teams else self._split()
        preferences = [self._preference(name) for name in self._others if self._teams]
        compared = [] if self._teams else [one for name in self._others for one in self._compared(name)]
        return ExperimentReport(
            surface=self._definition.surface,
            experiment=self._question.experiment,
            kind="interleave" if self._teams else "ab",
            control=self._control,
            metric=self._question.metric,
            level=self._question.level,
            since=int(found.first.min()) if len(found.first) else None,
            until=found.last if len(found.first) else None,
            viewers=len(found.first),
            arms=self._arms(),
            split=split,
            comparisons=compared,
            preferences=preferences,
            verdicts=self._verdicts(split, compared, preferences),
            warnings=self._warnings(),
        )

    def _arms(self) -> list[ArmFigures]:
        found, declared = self._found, self._declared
        shares = dict(declared.shares) if declared else {}
        if declared and declared.holdout:
            shares[HOLDOUT] = declared.holdout
        if self._teams:
            everyone, holdout = found.of(INTERLEAVED), found.of(HOLDOUT)
            arms = [self._arm(name, None, everyone, team) for team, name in enumerate(self._teams)]
            return [*arms, *([self._arm(HOLDOUT, shares.get(HOLDOUT), holdout)] if HOLDOUT in found.arms else [])]
        names = [*self._names, *(arm for arm in found.arms if arm not in self._names)]
        return [self._arm(name, shares.get(name), found.of(name)) for name in names]

    def _arm(self, name: str, share: float | None, mask: Mask, team: int = -1) -> ArmFigures:
        viewers, impressions = int(mask.sum()), int(self._found.impressions[mask, team].sum())
        counts = self._found.actions[mask, team].sum(axis=0)
        figures = {
            action: ActionFigures(count=count, per_impression=count / max(impressions, 1), per_viewer=count / max(viewers, 1))
            for action, count in zip(self._actions, counts.tolist(), strict=True)
        }
        utility = float(counts @ self._utility) / max(viewers, 1)
        return ArmFigures(
            name=name, share=share, viewers=viewers, impressions=impressions, actions=figures, utility_per_viewer=utility
        )

    def _split(self) -> Split:
        """Of variants alone: while shares grow in proportion, theirs stay what they were to each other."""
        shares = self._declared.shares if self._declared else dict.fromkeys(self._names, 1.0)
        observed = {name: int(self._found.of(name).sum()) for name in self._names}
        p = mismatch(list(observed.values()), [shares[name] for name in observed])
        total = sum(observed.values()) / sum(shares.values())
        expected = {name: round(share * total, 1) for name, share in shares.items()}
        return Split(observed=observed, expected=expected, p=p, mismatched=p < MISMATCH)

    def _of(self, metric: str, team: int = -1) -> Float:
        """What each viewer did, shape (V,)."""
        counts = self._found.actions[:, team].astype(np.float64)
        return counts @ self._utility if metric == UTILITY else counts[:, self._actions.index(metric)]

    def _compared(self, name: str) -> list[Comparison]:
        treated, control = self._found.of(name), self._found.of(self._control)
        made = []
        for metric in [UTILITY, *self._actions]:
            # The metric that decides shares its level with the other variants; the others are each by themselves.
            level = self._level if metric == self._question.metric else self._question.level
            values = self._of(metric)
            parts = mean_of(values[treated]), mean_of(values[control])
            made.append(_comparison(name, metric, "viewer", difference(*parts, level), parts[1].mean))
            shown = self._found.impressions[:, -1].astype(np.float64)
            rates = ratio_of(values[treated], shown[treated]), ratio_of(values[control], shown[control])
            made.append(_comparison(name, metric, "impression", difference(*rates, level), rates[1].mean))
        return made

    def _preference(self, name: str) -> Preference:
        metric, mask = self._question.metric, self._found.of(INTERLEAVED)
        ours, theirs = (self._of(metric, self._teams.index(team))[mask] for team in (name, self._control))
        sign = np.sign(ours - theirs) * self._direction()
        decided = sign[sign != 0]
        share = float((decided > 0).mean()) if len(decided) else 0.5
        # What is 0 or 1 spreads by at most a half: with that, the sequence holds for few viewers too.
        error = 0.5 / sqrt(max(len(decided), 1))
        return Preference(
            team=name,
            metric=metric,
            wins=int((decided > 0).sum()),
            losses=int((decided < 0).sum()),
            ties=len(sign) - len(decided),
            share=estimate(share, error, len(decided), self._level),
        )

    def _direction(self) -> int:
        """-1 where less of the metric is better."""
        metric = self._question.metric
        return 1 if metric == UTILITY or self._utility[self._actions.index(metric)] >= 0 else -1

    def _verdicts(
        self, split: Split | None, compared: Sequence[Comparison], preferences: Sequence[Preference]
    ) -> list[Verdict]:
        if split is None:
            return list(map(self._preferred, preferences))
        return [self._verdict(name, split, compared) for name in self._others]

    def _verdict(self, name: str, split: Split, compared: Sequence[Comparison]) -> Verdict:
        metric, smallest = self._question.metric, min(split.observed[name], split.observed[self._control])
        if split.mismatched:
            return mismatched(name, metric, split.p)
        if smallest < FEWEST:
            return too_few(name, metric, smallest)
        chosen = next(one for one in compared if (one.variant, one.metric, one.per) == (name, metric, "viewer"))
        base = float(self._of(metric)[self._found.of(self._control)].mean())
        effect = self._question.effect
        return judged(
            Evidence(
                variant=name,
                control=self._control,
                metric=metric,
                found=chosen.difference,
                effect=abs(base) * effect,
                effect_text=f"{100 * effect:.3g} % of what control has",
                level=self._level,
                direction=self._direction(),
            )
        )

    def _preferred(self, preference: Preference) -> Verdict:
        share, effect = preference.share, self._question.effect
        ends = {name: getattr(share, name) - 0.5 for name in ("value", "low", "high", "safe_low", "safe_high")}
        evidence = Evidence(
            variant=preference.team,
            control=self._control,
            metric=preference.metric,
            found=Estimate(**ends, error=share.error, viewers=share.viewers),
            effect=effect,
            effect_text=f"{effect:.3g} in the share of them who prefer it",
            level=self._level,
            unit="viewers who prefer one",
        )
        return judged(evidence)

    def _warnings(self) -> list[str]:
        found, declared = self._found, self._declared
        undeclared = [] if self._teams else [arm for arm in found.arms if arm not in (*self._names, HOLDOUT)]
        said = [
            (declared is None, "the deployment does not declare it any more: equal shares are assumed"),
            (found.crossed, f"{found.crossed} viewers saw more than one variant; they count in the first"),
            (found.unmarked, f"{found.unmarked} impressions name the experiment, but neither variant nor team"),
            (undeclared, f"the log has variants that are not declared: {_list(undeclared)}"),
        ]
        return [text for holds, text in said if holds]


def _comparison(variant: str, metric: str, per: Literal["viewer", "impression"], found: Estimate, base: float) -> Comparison:
    relative = found.value / abs(base) if base else None
    return Comparison(variant=variant, metric=metric, per=per, difference=found, relative=relative)


def _unseen(surface: str, name: str, declared: Experiment | None) -> str:
    hint = "; does whoever logs impressions pass `experiment`, `variant` and `team` on?" if declared else ""
    return f"the log of {surface!r} has no impressions of an experiment {name!r}{hint}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
