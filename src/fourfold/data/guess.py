"""What the columns of a file are: viewer, item, time, actions, attributes; guessed from names and values, each guess with why.

A guess is a start that a person corrects, so what is unsure is marked and what is not used is named with the reason.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow.compute as pc

from fourfold.data.guess_time import TimeGuess, time_of
from fourfold.data.guess_values import Attribute, attribute_of, follows
from fourfold.data.guess_words import (
    ACTIONS,
    CONTEXT,
    CREATED,
    ENDS,
    EVENTS,
    ITEMS,
    KEYS,
    LINKS,
    PARTICIPLES,
    POSITIONS,
    RATINGS,
    REQUESTS,
    SESSIONS,
    SHOWN,
    VIEWERS,
)
from fourfold.data.sample import ColumnSample, FileSample, words_of

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Said:
    """A line of the mapping: `key` is what `value` says, and why. What is `unsure` is left to a person: commented out."""

    key: str
    value: object
    why: str
    unsure: bool = False


@dataclass
class LogGuess:
    """A file of impressions and actions. `unused` holds columns with the reason; `inline` says something of the items."""

    sample: FileSample
    viewer: ColumnSample
    item: ColumnSample
    time: TimeGuess
    lines: list[Said] = field(default_factory=list)
    actions: list[Said] = field(default_factory=list)
    context: list[Said] = field(default_factory=list)
    inline: list[Attribute] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)


@dataclass
class EntityGuess:
    """A file of entities; `side` is "viewer", "item", or None where its own columns do not say which."""

    sample: FileSample
    key: ColumnSample
    side: str | None
    attributes: list[Attribute]


@dataclass
class EdgeGuess:
    """A file of links between entities."""

    sample: FileSample
    source: str
    target: str
    time: TimeGuess | None


@dataclass
class NoGuess:
    """A file of which nothing can be made, and why."""

    sample: FileSample
    why: str


Guess: TypeAlias = LogGuess | EntityGuess | EdgeGuess | NoGuess


@dataclass(frozen=True)
class _Ids:
    """The columns of a file that are times, and those that are ids of viewers and items by their names."""

    times: Sequence[TimeGuess]
    viewers: Sequence[ColumnSample]
    items: Sequence[ColumnSample]

    @property
    def taken(self) -> set[str]:
        """Their names."""
        return {time.column for time in self.times} | {column.name for column in [*self.viewers, *self.items]}


def guess_file(sample: FileSample) -> Guess:
    """What a file holds."""
    ids = _Ids(_times(sample), _named_ids(sample, VIEWERS), _named_ids(sample, ITEMS))
    ends = _ends(sample, ids)
    if ends is not None:
        return EdgeGuess(sample, *ends, ids.times[0] if ids.times else None)
    key = _key(sample, ids)
    if key is not None and not _is_log(sample, ids, key):
        side = "viewer" if key in ids.viewers else "item" if key in ids.items else None
        return EntityGuess(sample, key, side, [attribute_of(column) for column in sample.columns if column is not key])
    if not ids.times:
        return NoGuess(sample, "no column is a time, which a log needs, nor an id that no two rows share, which entities have")
    viewer, item = _both(sample, ids)
    if viewer is None or item is None:
        return NoGuess(sample, "a log needs two columns of ids, one of viewers and one of items")
    return _log(LogGuess(sample, viewer, item, ids.times[0]), ids)


def _times(sample: FileSample) -> list[TimeGuess]:
    """The columns that are times, the best first: without doubt, finer than a day, named so, and not of a making."""
    found = [(guess, bool(CREATED & set(column.words))) for column in sample.columns if (guess := time_of(column)) is not None]
    ordered = sorted(found, key=lambda one: (bool(one[0].doubt), one[0].coarse, not one[0].named, one[1]))
    return [guess for guess, _ in ordered]


def _named_ids(sample: FileSample, names: frozenset[str]) -> list[ColumnSample]:
    """The columns of ids whose name says what they are ids of, and nothing else."""
    found = []
    for column in sample.columns:
        stems = {stem for word in column.words for stem in _stems(word, names)} - KEYS
        if stems and stems <= names and (column.is_key or column.shape == "flag"):
            found.append(column)
    return found


def _stems(word: str, names: frozenset[str]) -> tuple[str, ...]:
    """``userid`` is user and id, ``users`` is user."""
    if word.removesuffix("id") in names:
        return (word.removesuffix("id"), "id")
    return (word.removesuffix("s"),) if word.removesuffix("s") in names else (word,)


def _ends(sample: FileSample, ids: _Ids) -> tuple[str, str] | None:
    """The two ends of an edge: columns named so, the only two of a file named so, or two columns named alike."""
    times = {time.column for time in ids.times}
    keys = [column for column in sample.columns if column.is_key and column.name not in times]
    for near, far in ENDS:
        one, other = ([column.name for column in keys if word in column.words] for word in (near, far))
        if len(one) == len(other) == 1:
            return one[0], other[0]
    stems = [tuple(word for word in column.words if not word.isdigit()) for column in keys]
    links = bool(LINKS & set(words_of(sample.path.stem)))
    if len(keys) == 2 and (links or (len(sample.columns) == 2 and stems[0] == stems[1])):
        return keys[0].name, keys[1].name
    return None


def _key(sample: FileSample, ids: _Ids) -> ColumnSample | None:
    """The column that tells rows apart: one named so, else the first column."""
    unique = [column for column in sample.columns if column.is_key and column.unique]
    named = [column for column in unique if column in [*ids.items, *ids.viewers]]
    first = [column for column in unique if column is sample.columns[0] and column.name not in ids.taken]
    return next(iter([*named, *first]), None)


def _is_log(sample: FileSample, ids: _Ids, key: ColumnSample) -> bool:
    """Whether rows with a key of their own are events, and not descriptions such as of posts with their author."""
    if not (ids.times and ids.viewers and ids.items):
        return False
    made = CREATED & set(sample.column(ids.times[0].column).words)
    prose = any(attribute_of(column).reading.kind == "text" for column in sample.columns if column is not key)
    return not (made and prose and key in ids.items)


def _both(sample: FileSample, ids: _Ids) -> tuple[ColumnSample | None, ColumnSample | None]:
    """Viewer and item, by name as far as names go; then whatever else looks like an id, in the order of the file."""
    others = [column for column in sample.columns if column.is_key and column.name not in ids.taken and column.distinct > 1]
    rest = [column for column in others if "id" in column.words] or [column for column in others if _event(column) is None]
    viewers = [*ids.viewers[:1], *([] if ids.viewers else rest)]
    viewer = next(iter(viewers), None)
    items = [*ids.items, *(column for column in [*ids.viewers, *rest] if column is not viewer)]
    return viewer, next(iter(items), None)


def _log(guess: LogGuess, ids: _Ids) -> LogGuess:
    sample = guess.sample
    for key, column, named in (("viewer", guess.viewer, ids.viewers), ("item", guess.item, ids.items)):
        doubt = "" if column in named else f"UNSURE: nothing in its name says so; if it is not the {key}, write another; "
        guess.lines.append(Said(key, column.name, f"{doubt}{column.distinct} different values in {sample.rows} rows"))
        others = [other for other in named if other not in (guess.viewer, guess.item)]
        guess.lines += [Said(key, other.name, f"or this: {other.distinct} different values", unsure=True) for other in others]
    for time in ids.times:
        doubt = f"UNSURE: {time.doubt}; " if time.doubt else ""
        guess.lines.append(Said("time", time.described, f"{doubt}{time.why}", unsure=time is not guess.time))
    taken = ids.taken | {guess.viewer.name, guess.item.name}
    for column in sample.columns:
        if column.name not in taken:
            _sort_in(guess, column)
    return guess


def _sort_in(guess: LogGuess, column: ColumnSample) -> None:
    """Find the place of a column that is neither viewer, item nor time."""
    name, words = column.name, set(column.words)
    if column.shape in ("empty", "list", "object"):
        guess.unused[name] = "holds nothing" if column.shape == "empty" else "holds lists or objects: make columns of them"
    elif column.shape == "flag":
        _flag(guess, column)
    elif words & RATINGS and column.shape in ("integer", "number"):
        guess.actions += _rated(column)
    elif (event := _event(column)) is not None and not any(line.key == "action" for line in guess.lines):
        guess.lines.append(event)
    elif words & POSITIONS and column.shape == "integer" and column.numbers.min() >= 0:
        guess.lines.append(Said("position", name, "its name; the top of a list is 0"))
    elif words & REQUESTS and column.is_key:
        guess.lines.append(Said("request", name, "its name: one value for all that was shown at once"))
    elif words & SESSIONS:
        why = "only if one value is one list that was shown: a session is longer"
        guess.lines.append(Said("request", name, why, unsure=True))
    elif column.is_key and column.unique and words & {"id", "uuid", "key"}:
        guess.lines.append(Said("id", name, "no two rows share one"))
    else:
        _describe(guess, column)


def _describe(guess: LogGuess, column: ColumnSample) -> None:
    """What is left says something of the request or of the item, or nothing that is used."""
    few = column.distinct <= 50
    if column.distinct == 1 < guess.sample.rows:
        guess.unused[column.name] = f"always {column.texts[0].as_py()[:30]!r} in the first rows"
    elif few and CONTEXT & set(column.words):
        guess.context.append(Said(named(column.name), column.name, some(column)))
    elif follows(column, guess.item):
        guess.inline.append(attribute_of(column))
    elif column.shape == "text" and few:
        guess.context.append(Said(named(column.name), column.name, f"if a request knows it: {some(column)}", unsure=True))
    elif column.shape == "text":
        guess.unused[column.name] = f"{column.distinct} different texts"
    else:
        guess.unused[column.name] = f"numbers {column.span}"


def _flag(guess: LogGuess, column: ColumnSample) -> None:
    words = [word for word in column.words if word not in {"is", "has", "did", "was"}]
    share = f"0 or 1; {column.numbers.mean():.2%} are 1"
    if CONTEXT & set(words):
        guess.context.append(Said(named(column.name), column.name, share))
        return
    known = bool(set(words) & ACTIONS)
    doubt = "" if known else "if a viewer did this: "
    guess.actions.append(Said(named("_".join(map(_verb, words))), column.name, f"{doubt}{share}", unsure=not known))


def _verb(word: str) -> str:
    """``clicked`` is click and ``liked`` is like."""
    bases = [base for base in (word.removesuffix("d"), word.removesuffix("ed")) if base != word and base in ACTIONS]
    return next(iter(bases), PARTICIPLES.get(word, word))


def _rated(column: ColumnSample) -> Iterator[Said]:
    """Likes and dislikes out of a scale: its upper fifth, its highest value, its lower two fifths."""
    low, high = float(column.numbers.min()), float(column.numbers.max())
    top = next((top for top in (5.0, 10.0, 100.0) if high <= top), high)
    bounds = {
        "like": {"at_least": 0.8 * top},
        "love": {"at_least": top},
        "dislike": {"at_least": min(low, 0.0), "at_most": 0.4 * top},
    }
    for name, bound in bounds.items():
        rule = {"column": column.name, **bound, "value": column.name}
        yield Said(name, rule, f"ratings {column.span}: where to draw the line is yours to say")


def _event(column: ColumnSample) -> Said | None:
    """The column that names what happened in each row, if this is one."""
    words = set(column.words)
    if column.shape != "text" or column.distinct > 50 or not words & EVENTS or words & {"id", "uuid", "key"}:
        return None
    plain = {value: named(value) for value in column.texts.unique().to_pylist()}
    known = [name for name in plain.values() if set(name.split("_")) & (ACTIONS | set(SHOWN))]
    if not known and not {"event", "action"} & words:
        return None
    shown = next((name for name in SHOWN if name in plain.values()), None)
    renamed = {old: new for old, new in plain.items() if new != old}
    rule = {"column": column.name, "impression": shown, "names": renamed or None}
    why = (
        f"{shown!r} is taken for an impression"
        if shown
        else "no name means that an item was shown, so every row is an impression"
    )
    return Said("action", {key: value for key, value in rule.items() if value}, f"{some(column)}; {why}")


def some(column: ColumnSample) -> str:
    """The most frequent values."""
    counts = pc.value_counts(column.texts)
    rows = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")])[:4].to_pylist()
    return ", ".join(counts.field("values")[row].as_py()[:30] for row in rows) + (", ..." if len(counts) > len(rows) else "")


def named(text: str) -> str:
    """A name that a definition may use, made of any text; text that is one stays as it is."""
    name = text if _NAME.fullmatch(text) else "_".join(words_of(text))[:60]
    return name if name[:1].isalpha() else f"c_{name}".rstrip("_")
