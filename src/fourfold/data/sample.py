"""The first rows of a file, column by column: what `fourfold.data.guess` looks at before it says what a column is."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.data.columns import numbers, texts
from fourfold.data.files import FORMATS, TextFormat, chunks, columns_of, text_format
from fourfold.data.reading import DataError

ROWS = 20_000
"""How many rows of a file are looked at: its first ones."""

Shape = Literal["empty", "flag", "integer", "number", "moment", "text", "list", "object"]

_DELIMITERS = ",;\t|"
_HEAD_BYTES = 64 << 10
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NUMERIC = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$|^(?i:true|false)$"
_NUMBER = re.compile(r"[+-]?[0-9.,:/T \-]*[0-9]Z?( UTC)?")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a name in lower case: ``userId`` and ``USER_ID`` are user and id. Letters outside of ASCII are left out."""
    return tuple(word.lower() for word in _WORD.findall(text))


@dataclass(frozen=True, eq=False)
class ColumnSample:
    """A column's name and its values in the sample."""

    name: str
    values: pa.Array

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of the name."""
        return words_of(self.name)

    @cached_property
    def texts(self) -> pa.Array:
        """The values as text, without those that are missing."""
        if self.shape in ("list", "object"):
            return pa.array([], pa.string())
        return texts(self.values).drop_null()

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The values as numbers, without those that are missing or no numbers."""
        parsed: NDArray[np.float64] = numbers(self.values).drop_null().to_numpy(zero_copy_only=False)
        return parsed

    @cached_property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.texts.unique())

    @property
    def span(self) -> str:
        """The lowest and the highest number."""
        return f"from {self.numbers.min():.10g} to {self.numbers.max():.10g}"

    @property
    def common(self) -> float:
        """The share of the most frequent value among those that are there."""
        counts = pc.value_counts(self.texts).field("counts")
        return float(pc.max(counts).as_py() or 0) / max(len(self.texts), 1)

    @cached_property
    def shape(self) -> Shape:
        """What the values look like; one in a hundred may be otherwise."""
        type_ = self.values.type
        if pa.types.is_list(type_) or pa.types.is_large_list(type_):
            return "list"
        if pa.types.is_nested(type_) or pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
            return "object"
        return "moment" if pa.types.is_temporal(type_) else self._plain_shape()

    def _plain_shape(self) -> Shape:
        filled = texts(self.values).drop_null()
        if not len(filled):
            return "empty"
        # Looked at before anything is cast: casting what is no number is slow.
        if pc.mean(pc.match_substring_regex(filled, _NUMERIC)).as_py() < 0.99 or not len(self.numbers):
            return "text"
        if set(np.unique(self.numbers)) <= {0.0, 1.0}:
            return "flag"
        return "integer" if bool((self.numbers == np.floor(self.numbers)).all()) else "number"

    @property
    def unique(self) -> bool:
        """Whether each row has a value of its own."""
        return self.distinct == len(self.values) > 0

    @cached_property
    def is_key(self) -> bool:
        """Whether the values could be ids: whole numbers or short texts without blanks."""
        if self.shape == "integer":
            return bool(self.numbers.min() >= 0)
        if self.shape != "text":
            return False
        blank = pc.sum(pc.match_substring_regex(self.texts, r"\s")).as_py()
        return bool(blank <= 0.01 * len(self.texts) and pc.mean(pc.utf8_length(self.texts)).as_py() <= 64)


@dataclass(frozen=True)
class FileSample:
    """The first rows of a file. `text` is set where a text file is not written as its suffix says."""

    path: Path
    columns: tuple[ColumnSample, ...]
    rows: int
    text: TextFormat | None = None

    def column(self, name: str) -> ColumnSample:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(column.name for column in self.columns)


def sample_file(path: Path) -> FileSample:
    """Read the first rows of a file.

    Raises
    ------
    DataError
        If it is not there, cannot be read, or holds no rows.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there; check the path")
    if path.suffix not in FORMATS:
        raise DataError(f"{path} is of no known format; give a file of {', '.join(FORMATS)}")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty; give a file with a header line and some rows")
    text = None if path.suffix in {".parquet", ".jsonl", ".ndjson"} else _sniffed(path)
    names = columns_of(path, text)
    chunk = next((chunk for chunk in chunks(path, names, text) if len(chunk.rows)), None)
    if chunk is None:
        raise DataError(f"{path} has no rows; give one that has some, or write the mapping by hand")
    rows = chunk.rows.slice(0, ROWS)
    columns = tuple(ColumnSample(name, _plain(rows.column(name))) for name in names)
    usual = text is None or text == text_format(path)
    return FileSample(path, columns, len(rows), None if usual else text)


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _sniffed(path: Path) -> TextFormat:
    """How a delimited file is written: encoding, delimiter, and whether its first line holds names."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    encoding = "utf8" if _is_utf8(head) else "latin-1"
    lines = head.decode(encoding, errors="ignore").removeprefix("\ufeff").splitlines()
    if len(head) == _HEAD_BYTES:
        # The last line may have been cut.
        lines = lines[:-1] or lines
    usual = text_format(path).delimiter
    delimiter = max([usual, *_DELIMITERS], key=lambda one: _even(lines[:20], one))
    first = next(csv.reader(lines[:1], delimiter=delimiter), [])
    named = len(set(first)) == len(first) and not any(_NUMBER.fullmatch(cell.strip()) or not cell.strip() for cell in first)
    names = () if named else tuple(f"column{number}" for number in range(1, len(first) + 1))
    return TextFormat(delimiter=delimiter, encoding=encoding, names=names)


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # A character may be cut in two at the end of what was read.
        return error.start > len(head) - 4
    return True


def _even(lines: list[str], delimiter: str) -> int:
    """How many cells the lines have, if they all have as many; the usual delimiter comes first among equals."""
    counts = {len(cells) for cells in _cells(lines, delimiter)}
    return counts.pop() if len(counts) == 1 else 0


def _cells(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    return (cells for cells in csv.reader(lines, delimiter=delimiter) if cells)
