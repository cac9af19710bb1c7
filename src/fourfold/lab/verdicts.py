"""What can be said of a variant, in a word and a sentence: by the confidence sequence alone, so that looking costs nothing."""

from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from fourfold.lab.sequential import FEWEST, Estimate, viewers_needed

Outcome = Literal["better", "worse", "alike", "open", "few", "mismatch"]


class Verdict(Struct, frozen=True, kw_only=True):
    """What can be said of a variant on the metric that decides.

    `outcome` is ``"alike"`` where every difference that matters is ruled out, ``"open"`` while nothing is, ``"few"`` before
    there are enough viewers, and ``"mismatch"`` where the split of viewers cannot be trusted. Where it is open, `more_viewers`
    says how many more it takes to find an effect that matters in 8 of 10 cases.
    """

    variant: str
    metric: str
    outcome: Outcome
    more_viewers: int | None
    text: str


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Parameters
    ----------
    variant, control, metric : str
        What is compared, on what.
    found : Estimate
        By how much the variant is above control.
    effect : float
        The smallest difference that matters, in the unit of `found`, and `effect_text` in words.
    level : float
        Of the confidence sequence.
    direction : int
        -1 where less is better.
    unit : str
        Whom `found` counts.
    """

    variant: str
    control: str
    metric: str
    found: Estimate
    effect: float
    effect_text: str
    level: float
    direction: int = 1
    unit: str = "viewers"


def mismatched(variant: str, metric: str, p: float) -> Verdict:
    """The verdict where viewers are not split as declared."""
    text = f"nothing can be concluded of {variant}: viewers are not split as declared (p = {p:.2g}); find out why first"
    return Verdict(variant=variant, metric=metric, outcome="mismatch", more_viewers=None, text=text)


def too_few(variant: str, metric: str, viewers: int) -> Verdict:
    """The verdict before there are enough viewers on a side."""
    text = f"too few viewers to say anything of {variant}: {viewers} on one side, and it takes {FEWEST}"
    return Verdict(variant=variant, metric=metric, outcome="few", more_viewers=None, text=text)


def judged(evidence: Evidence) -> Verdict:
    """The verdict that the confidence sequence allows."""
    found, metric, sides = evidence.found, evidence.metric, (evidence.variant, evidence.control)
    outcome: Outcome = "open"
    more = None
    if found.safe_low > 0 or found.safe_high < 0:
        outcome = "better" if (found.value > 0) == (evidence.direction > 0) else "worse"
        text = f"{sides[0]} is {outcome} than {sides[1]} on {metric}"
    elif max(-found.safe_low, found.safe_high) < evidence.effect:
        outcome, text = "alike", f"{sides[0]} and {sides[1]} differ on {metric} by less than {evidence.effect_text}"
    else:
        needed = viewers_needed(found, evidence.effect, evidence.level)
        more = None if needed is None else max(needed - found.viewers, 0)
        text = f"{sides[0]} and {sides[1]} cannot be told apart on {metric} yet"
        text += f"; about {more:,} more {evidence.unit} for an effect of {evidence.effect_text}" if more else ""
    return Verdict(variant=evidence.variant, metric=metric, outcome=outcome, more_viewers=more, text=text)
