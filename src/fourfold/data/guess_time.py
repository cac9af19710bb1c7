"""Which columns are times, and how they are written: told by their values, and by names where numbers could be anything."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fourfold.data.columns import EARLIEST, LATEST, Unit, instants
from fourfold.data.guess_words import DATES, TIMES, UNITS
from fourfold.data.sample import ColumnSample

_DAY = 86_400_000
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$"
_FORMATS = (
    "%Y-%m-%d %H:%M:%S UTC",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%Y%m%d",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%b-%Y %H:%M:%S",
    "%d-%b-%Y",
    "%a %b %d %H:%M:%S %Y",
)
"""Formats that are tried on texts that are not ISO 8601."""


@dataclass(frozen=True)
class TimeGuess:
    """A column of times: how it is written and why that is thought. `coarse`: whole days only; `doubt`: what is not sure."""

    column: str
    unit: Unit | None
    format: str | None
    named: bool
    coarse: bool
    why: str
    doubt: str = ""

    @property
    def described(self) -> dict[str, object]:
        """The same as a mapping file says it."""
        how = {"unit": self.unit} if self.unit else {"format": self.format} if self.format else {}
        return {"column": self.column, **how}


def time_of(column: ColumnSample) -> TimeGuess | None:
    """The column as times, or None."""
    if column.shape == "moment":
        return _made(column, instants(column.values), None, None)
    if column.shape in ("integer", "number"):
        return _numbers(column) or _texts(column)
    return _texts(column) if column.shape == "text" else None


def _numbers(column: ColumnSample) -> TimeGuess | None:
    """Numbers since 1970: the unit is that which puts them between 1980 and 2100."""
    words = set(column.words)
    named = bool(words & (TIMES | DATES | UNITS))
    for unit in get_args(Unit):
        moments = instants(pa.array(column.numbers), unit=unit)
        if _usual(moments, len(column.numbers)):
            # A name that says that these are ids says more than their size.
            if "id" in words or not (named or column.distinct > 0.5 * len(column.numbers)):
                return None
            doubt = "" if named else "its name does not say that it is a time"
            return _made(column, moments, unit, None, doubt)
    return None


def _texts(column: ColumnSample) -> TimeGuess | None:
    if not pa.types.is_string(column.values.type) and not pa.types.is_large_string(column.values.type):
        return None
    texts = column.texts
    if pc.mean(pc.match_substring_regex(texts[:100], r"[0-9]{2}")).as_py() < 0.99:
        return None
    if pc.mean(pc.match_substring_regex(texts, _ISO)).as_py() >= 0.99:
        moments = instants(texts, format_="iso")
        return _made(column, moments, None, "iso") if _usual(moments, len(texts)) else None
    numeric = column.shape != "text"
    formats = [format_ for format_ in _FORMATS if numeric <= (set(format_) <= set("%YmdHMS"))]
    fitting = [format_ for format_ in formats if _usual(instants(texts, format_=format_), len(texts))]
    if not fitting or (numeric and not set(column.words) & (TIMES | DATES)):
        return None
    doubt = f"{fitting[1]} fits as well" if len(fitting) > 1 else ""
    return _made(column, instants(texts, format_=fitting[0]), None, fitting[0], doubt)


def _usual(moments: pa.Array, length: int) -> bool:
    """Whether nearly all are times between 1980 and 2100."""
    values = moments.drop_null().to_numpy(zero_copy_only=False)
    return bool(np.sum((values >= EARLIEST) & (values <= LATEST)) >= 0.99 * length > 0)


def _made(column: ColumnSample, moments: pa.Array, unit: Unit | None, format_: str | None, doubt: str = "") -> TimeGuess | None:
    values = moments.drop_null().to_numpy(zero_copy_only=False)
    values = values[(values >= EARLIEST) & (values <= LATEST)]
    if not len(values):
        return None
    low, high = (np.datetime64(int(value), "ms").astype("datetime64[s]") for value in (values.min(), values.max()))
    named, coarse = bool(set(column.words) & TIMES), bool((values % _DAY == 0).all())
    return TimeGuess(column.name, unit, format_, named, coarse, f"{low} to {high}", doubt)
