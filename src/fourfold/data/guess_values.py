"""What a column says of an entity: a category, a number, a moment or text; and whether it says it of one at all."""

from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from fourfold.data.entities import Kind
from fourfold.data.guess_time import time_of
from fourfold.data.guess_words import CATEGORIES, PASTS, TEXTS
from fourfold.data.sample import ColumnSample

_WORD = r"^[\pL\pN][\pL\pN &'/.+_-]*$"
_THOUSANDS = r"^[0-9]{1,3}(,[0-9]{3})+$"


class Reading(NamedTuple):
    """How values are read: the kind of attribute, and what splits or parses them."""

    kind: Kind
    why: str
    how: dict[str, object] = {}  # noqa: RUF012  # never changed


@dataclass(frozen=True)
class Attribute:
    """A column as an attribute. `skipped` says why it had better be left out, where it had."""

    column: str
    reading: Reading
    skipped: str = ""

    @property
    def described(self) -> object:
        """The same as a mapping file says it: a category is its column's name."""
        kind, how = self.reading.kind, self.reading.how
        return self.column if kind == "category" and not how else {"column": self.column, "kind": kind, **how}


def attribute_of(column: ColumnSample) -> Attribute:
    """A column as an attribute of what its row is about."""
    skipped = _useless(column)
    reading = Reading("category", f"{column.distinct} different values") if skipped else _read(column)
    return Attribute(column.name, reading, skipped)


def follows(column: ColumnSample, key: ColumnSample) -> bool:
    """Whether a column says something of what `key` names: rows of one key agree, and not only as nearly all rows do."""
    if column.shape in ("list", "object", "empty") or column.common > 0.9:
        return False
    pairs = pa.table({"key": key.values.cast(pa.string()), "value": column.values.cast(pa.string()).fill_null("")})
    groups = pairs.group_by("key").aggregate([("value", "count_distinct"), ("value", "count")])
    again = groups.filter(pc.greater(groups["value_count"], 1))
    agree = pc.sum(pc.equal(again["value_count_distinct"], 1)).as_py() or 0
    return len(again) >= 2 and agree >= 0.98 * len(again)


def _useless(column: ColumnSample) -> str:
    if column.shape == "empty":
        return "holds nothing"
    if column.shape == "object":
        return "holds objects; make columns of them"
    if column.shape == "list":
        return "a past of its own: as events it is worth more" if PASTS & set(column.words) else ""
    if column.distinct == 1 < len(column.values):
        return f"always {column.texts[0].as_py()[:30]!r} in the first rows"
    if column.shape == "text" and pc.mean(pc.starts_with(column.texts, "http")).as_py() > 0.5:
        return "addresses"
    return ""


def _read(column: ColumnSample) -> Reading:
    words = set(column.words)
    time = time_of(column)
    if time is not None and not time.doubt:
        return Reading("moment", time.why, {name: value for name, value in time.described.items() if name != "column"})
    if column.shape == "list":
        return Reading("category", "lists")
    if column.shape in ("integer", "number"):
        if words & CATEGORIES or (column.shape == "integer" and column.distinct <= 20):
            return Reading("category", f"{column.distinct} different numbers, {column.span}")
        return Reading("number", column.span)
    return _text(column) if column.shape == "text" else Reading("category", "0 or 1")


def _text(column: ColumnSample) -> Reading:
    separator = _separator(column.texts)
    if separator is not None:
        return Reading("category", f"lists such as {_longest(column)}", {"split": separator})
    many = column.distinct > 0.5 * len(column.texts)
    long = pc.mean(pc.utf8_length(column.texts)).as_py() > 25
    words = pc.mean(pc.match_substring(column.texts, " ")).as_py() > 0.5
    if (many and long) or ((many or words) and TEXTS & set(column.words)):
        return Reading("text", f"{column.distinct} different texts such as {column.texts[0].as_py()[:40]!r}")
    return Reading("category", f"{column.distinct} different values such as {column.texts[0].as_py()[:30]!r}")


def _separator(texts: pa.Array) -> str | None:
    """What splits lists of words: pieces come again and again, while the parts of a sentence do not."""
    for separator in "|;,":
        lists = texts.filter(pc.match_substring(texts, separator))
        if len(lists) < max(2, 0.02 * len(texts)) or pc.mean(pc.match_substring_regex(lists, _THOUSANDS)).as_py() > 0.9:
            continue
        pieces = pc.list_flatten(pc.split_pattern(texts, separator))
        words = pc.mean(pc.match_substring_regex(pieces, _WORD)).as_py()
        if words > 0.99 and len(pieces.unique()) < 0.7 * len(pieces) and pc.mean(pc.utf8_length(pieces)).as_py() < 30:
            return separator
    return None


def _longest(column: ColumnSample) -> str:
    return repr(max(column.texts[:100].to_pylist(), key=len)[:40])
