"""Rules of editors: which candidates they mean, where these stand, and what each rule did to a slate."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fourfold.definition import Boost, Pin, Promote, Rule
from fourfold.features.table import Float, Int
from fourfold.pipeline.filters import Asked
from fourfold.pipeline.slate import RuleTrace
from fourfold.pipeline.values import Mask


def pinned_items(asked: Asked, rules: Sequence[Rule], size: int) -> Int:
    """The known items (rows) that pins place in a slate of that size, filters aside."""
    pins = [rule for rule in rules if isinstance(rule, Pin) and rule.position < size]
    rows = asked.view.rows(asked.view.definition.item.name, [pin.item for pin in pins])
    wanted = [row for row, pin in zip(rows.tolist(), pins, strict=True) if row >= 0 and _holds(asked, pin, row)]
    return np.unique(np.array(wanted, np.int64))


def boosted(asked: Asked, rules: Sequence[Rule], items: Int, scores: NDArray[np.float32]) -> Float:
    """Scores (shape (C,)) with each item's first boost: times its factor, or divided by it where the score is below 0."""
    factor = np.ones(len(items))
    for rule in rules:
        if isinstance(rule, Boost):
            factor = np.where((factor == 1.0) & asked.holds(rule.where, items), rule.factor, factor)
    wide = scores.astype(np.float64)
    return np.where(wide < 0, wide / factor, wide * factor)


@dataclass
class Rules:
    """The rules of one request over its C candidates.

    Parameters
    ----------
    asked : Asked
        The request; conditions are asked of its state.
    dropped : mapping
        Which filter took a pinned item (row) out of the candidates.
    rules : sequence of Pin, Promote or Boost
        As declared.
    items : int64 array, shape (C,)
        The candidates (rows).
    size : int
        How many places there are.
    """

    asked: Asked
    dropped: Mapping[int, str]
    rules: Sequence[Rule]
    items: Int
    size: int
    pins: dict[int, tuple[int, str]] = field(default_factory=dict)  # by position: candidate and rule
    trace: list[RuleTrace] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._meant = {rule.name: self._mask(rule) for rule in self.rules if not isinstance(rule, Pin)}
        self._raised: Counter[str] = Counter()
        for pin in self.rules:
            if isinstance(pin, Pin):
                self._pin(pin)

    def due(self, place: int, chosen: Sequence[int], available: Mask) -> tuple[Mask, str] | None:
        """Which candidates a promotion needs at this place, because later ones no longer suffice, and its name.

        The rule whose places end first is served first; one item may serve several.
        """
        needed, first = 0, None
        for rule in self._promotions():
            missing = self._missing(rule, place, chosen, available)
            needed, first = needed + missing, first or (rule if missing else None)
            open_places = sum(position not in self.pins for position in range(place, min(rule.first, self.size)))
            if first is not None and needed >= open_places:
                return self._meant[first.name], first.name
        return None

    def unpin(self, position: int, name: str) -> None:
        """Give a place up that would break a frequency cap."""
        del self.pins[position]
        self.trace.append(RuleTrace(rule=name, effect="left out by frequency_cap"))

    def raised(self, rule: str) -> None:
        """Note that a promotion decided a place."""
        self._raised[rule] += 1

    def held(self, chosen: Sequence[int]) -> Mask:
        """Which places of a slate must stay as they are: pins, and what promotions count on."""
        held = np.isin(np.arange(len(chosen)), list(self.pins))
        for rule in self._promotions():
            head = np.array(chosen[: rule.first], np.int64)
            held[: len(head)] |= self._meant[rule.name][head]
        return held

    def boost_of(self, candidate: int) -> str | None:
        """The boost that applied to a candidate, if one did."""
        return next((r.name for r in self.rules if isinstance(r, Boost) and self._meant[r.name][candidate]), None)

    def traced(self, chosen: Sequence[int]) -> list[RuleTrace]:
        """What each rule did, in the order of the definition."""
        for candidate, name in self.pins.values():
            self.trace.append(RuleTrace(rule=name, effect=f"at position {list(chosen).index(candidate)}"))
        for boost in self.rules:
            if isinstance(boost, Boost):
                effect = f"{int(self._meant[boost.name].sum())} candidates boosted"
                self.trace.append(RuleTrace(rule=boost.name, effect=effect))
        for rule in self._promotions():
            placed = int(self._meant[rule.name][np.array(chosen[: rule.first], np.int64)].sum())
            effect = f"{placed} of {rule.count} among the first {rule.first}, {self._raised[rule.name]} of them raised"
            self.trace.append(RuleTrace(rule=rule.name, effect=effect))
        order = [rule.name for rule in self.rules]
        return sorted(self.trace, key=lambda said: order.index(said.rule))

    def _promotions(self) -> list[Promote]:
        return sorted((rule for rule in self.rules if isinstance(rule, Promote)), key=lambda rule: rule.first)

    def _missing(self, rule: Promote, place: int, chosen: Sequence[int], available: Mask) -> int:
        """How many more items a promotion needs from this place on, as far as there are any."""
        if place >= rule.first:
            return 0
        meant = self._meant[rule.name]
        later = [candidate for position, (candidate, _) in self.pins.items() if place <= position < rule.first]
        missing = rule.count - int(meant[[*chosen, *later]].sum())
        return min(max(missing, 0), int((meant & available).sum()))

    def _mask(self, rule: Promote | Boost) -> Mask:
        return self.asked.holds(rule.where, self.items)

    def _pin(self, pin: Pin) -> None:
        row = int(self.asked.view.rows(self.asked.view.definition.item.name, [pin.item])[0])
        found = np.flatnonzero(self.items == row)
        problem = self._problem(pin, row)
        if problem is None and not len(found):
            problem = f"left out by {self.dropped.get(row, 'an earlier stage')}"
        if problem is None:
            self.pins[pin.position] = int(found[0]), pin.name
        else:
            self.trace.append(RuleTrace(rule=pin.name, effect=problem))

    def _problem(self, pin: Pin, row: int) -> str | None:
        if row < 0:
            return "left out: no such item is known"
        if not _holds(self.asked, pin, row):
            return "left out: its condition does not hold"
        if pin.position >= self.size:
            return f"left out: the slate has {self.size} places"
        if pin.position in self.pins:
            return f"left out: {self.pins[pin.position][1]} holds its place"
        taken = [name for candidate, name in self.pins.values() if self.items[candidate] == row]
        return f"left out: {taken[0]} placed the item" if taken else None


def _holds(asked: Asked, pin: Pin, row: int) -> bool:
    return pin.where is None or bool(asked.holds(pin.where, np.array([row]))[0])
