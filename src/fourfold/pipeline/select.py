"""The selector: fills the places of a slate one by one, within limits, by rules, for variety, and a share of them by draw."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fourfold.definition import Slate
from fourfold.definition.selection import EXPLORE
from fourfold.features.table import Float, Int
from fourfold.pipeline.explore import draw
from fourfold.pipeline.limits import Limit, Room
from fourfold.pipeline.rules import Rules
from fourfold.pipeline.similarity import Similarity, relevance
from fourfold.pipeline.trace import Tracer
from fourfold.pipeline.values import Mask


@dataclass(frozen=True)
class Chosen:
    """The places of a slate: candidates (indices) in order, with the rule that put each there and its propensity."""

    candidates: Int  # (S,)
    rules: list[str | None]
    propensities: list[float | None]
    within: int  # how many are within all caps

    def __len__(self) -> int:
        return len(self.candidates)


class Selector:
    """Fills the places of one slate from C candidates that stand best first.

    Parameters
    ----------
    declared : Slate
        What is asked for.
    scores : float array, shape (C,)
        Descending; what diversity weighs against similarity.
    limits : sequence of Limit
        Over these candidates.
    rules : Rules
        Over these candidates.
    similarity : callable, optional
        Needed where `declared` asks for diversity.
    """

    def __init__(
        self, declared: Slate, scores: Float, limits: Sequence[Limit], rules: Rules, similarity: Similarity | None = None
    ) -> None:
        self._declared, self._limits, self._rules, self._similarity = declared, limits, rules, similarity
        self._relevance, self._alike = relevance(scores), np.zeros(len(scores))
        self._room = Room(limits, len(scores))
        self._chosen: list[int] = []
        self._named: list[str | None] = []
        self._within = 0

    def choose(self, size: int, seed: int, tracer: Tracer) -> Chosen:
        """At most `size` candidates; with a word where a cap or the catalogue gives way."""
        self._hold_pins()
        for place in range(size):
            if not self._fill(place):
                break
        self._append_pins()
        self._say(size, tracer)
        tracer.rules += self._rules.traced(self._chosen)
        return self._explored(seed)

    def _hold_pins(self) -> None:
        """Choose pinned items first, so that all others keep within limits beside them."""
        for position in sorted(self._rules.pins):
            candidate, name = self._rules.pins[position]
            if self._room.free[candidate]:
                self._take(candidate)
            else:
                self._rules.unpin(position, name)

    def _fill(self, place: int) -> bool:
        """Fill a place; False if nothing is left for it."""
        if place in self._rules.pins:
            self._append(*self._rules.pins[place])
            return True
        within = self._room.free & self._room.within
        available = within if within.any() else self._room.free
        if not available.any():
            return False
        candidate, rule = self._best(available), None
        due = self._rules.due(place, self._chosen, available)
        if due is not None and not due[0][candidate]:
            candidate, rule = self._best(available & due[0]), due[1]
            self._rules.raised(rule)
        self._take(candidate)
        self._append(candidate, rule or self._rules.boost_of(candidate))
        return True

    def _best(self, mask: Mask) -> int:
        """The best of some candidates; of equal ones the first."""
        if self._declared.diversity is None:
            return int(mask.argmax())
        weight = self._declared.diversity.weight
        value = (1 - weight) * self._relevance - weight * self._alike
        return int(np.where(mask, value, -np.inf).argmax())

    def _take(self, candidate: int) -> None:
        self._within += bool(self._room.within[candidate])
        self._room.take(candidate)
        if self._similarity is not None:
            self._alike = np.maximum(self._alike, self._similarity(candidate))

    def _append(self, candidate: int, rule: str | None) -> None:
        self._chosen.append(candidate)
        self._named.append(rule)

    def _append_pins(self) -> None:
        """Pins of places that the slate does not reach stand at its end."""
        for position in sorted(self._rules.pins):
            if self._rules.pins[position][0] not in self._chosen:
                self._append(*self._rules.pins[position])

    def _say(self, size: int, tracer: Tracer) -> None:
        owner = self._rules.asked.view.definition.item.owner
        for limit, over in zip(self._limits, self._room.over, strict=True):
            if over and not limit.hard:
                cause = "too few authors" if limit.attribute == owner else f"too few values of {limit.attribute}"
                per = "author" if limit.attribute == owner else f"value of {limit.attribute}"
                tracer.degraded("select", cause, f"{over} items exceed the cap of {limit.most} per {per}")
        if len(self._chosen) < size:
            effect = f"{len(self._chosen)} of {size} items"
            tracer.degraded("select", "no more items are left for this viewer", effect)

    def _explored(self, seed: int) -> Chosen:
        explore, size, within = self._declared.explore, len(self._chosen), self._within
        chosen, rules = np.array(self._chosen, np.int64), list(self._named)
        if explore is None:
            return Chosen(chosen, rules, [None] * size, within)
        openable = np.flatnonzero(~self._rules.held(self._chosen))
        following = self._following(explore.among)
        drawn = draw(explore, openable, size, len(following), seed)
        propensities: list[float | None] = drawn.kept.tolist()
        for place, replaced in zip(drawn.places.tolist(), drawn.replaced.tolist(), strict=True):
            chosen[place], rules[place], propensities[place] = following[replaced], EXPLORE, drawn.drawn
        return Chosen(chosen, rules, propensities, within)

    def _following(self, among: int) -> list[int]:
        """The candidates that would come next, all of which fit within all limits beside the slate and each other."""
        found: list[int] = []
        while len(found) < among and (mask := self._room.free & self._room.within).any():
            found.append(self._best(mask))
            self._take(found[-1])
        return found
