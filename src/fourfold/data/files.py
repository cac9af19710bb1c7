"""CSV, Parquet and JSON Lines files as a stream of chunks with row numbers, so that a bad row can be named and skipped.

Text stays text here: `fourfold.data.columns` turns it into ids, times and numbers, tolerantly and column by column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fourfold.data.reading import DataError, Rejected

ROWS = 65_536
BLOCK_BYTES = 8 << 20
FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
SUFFIXES = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t", ".user": "\t"}

_ONE = "\x1f"
"""Stands for a delimiter of several characters while a file is read: the unit separator, which no text holds."""


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How a delimited text file is written; `names` are its columns where it has no header line.

    A `delimiter` may have several characters, such as the ``::`` of MovieLens.
    """

    delimiter: str = ","
    encoding: str = "utf8"
    quote: str | None = '"'
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some rows of a file, their numbers (1 is the first row of data), and rows that could not even be split."""

    file: str
    rows: pa.RecordBatch
    numbers: NDArray[np.int64]
    rejected: tuple[Rejected, ...] = ()


def text_format(path: Path) -> TextFormat:
    """The usual format of a file of this name: commas, or tabs in .tsv files."""
    return TextFormat(delimiter=SUFFIXES.get(path.suffix, ","))


def columns_of(path: Path, text: TextFormat | None = None) -> list[str]:
    """The column names that a file has; for JSON Lines the keys of its first object."""
    if path.suffix == ".parquet":
        return list(_parquet(path).schema_arrow.names)
    if path.suffix in {".jsonl", ".ndjson"}:
        first = next(_json_chunks(path, None), None)
        return list(first.rows.schema.names) if first else []
    text = text or text_format(path)
    return list(text.names) or list(_open_csv(path, text, None, []).schema.names)


def chunks(path: Path, columns: Sequence[str], text: TextFormat | None = None) -> Iterator[Chunk]:
    """The rows of a file, a bounded number at a time, with these columns.

    Raises
    ------
    DataError
        If the file is not there, is not of the format its name says, or lacks a column.
    """
    if path.suffix in {".jsonl", ".ndjson"}:
        yield from _json_chunks(path, columns)
        return
    check_columns(path, columns, columns_of(path, text), "reading it")
    if path.suffix == ".parquet":
        yield from _parquet_chunks(path, columns)
    else:
        yield from _csv_chunks(path, columns, text or text_format(path))


def check_columns(path: Path, wanted: Sequence[str], has: Sequence[str], where: str) -> None:
    """Refuse a file that lacks a wanted column; `where` says what asks for it."""
    missing = [column for column in wanted if column not in has]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}, asked for by {where}; it has: {', '.join(has)}")


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(f"{path} is not there; check the path") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a Parquet file: {error}; convert it or correct its suffix") from None


def _parquet_chunks(path: Path, columns: Sequence[str]) -> Iterator[Chunk]:
    start = 1
    with _parquet(path) as file:
        for rows in file.iter_batches(batch_size=ROWS, columns=list(columns)):
            yield Chunk(file=path.name, rows=rows, numbers=np.arange(start, start + len(rows)))
            start += len(rows)


def _open_csv(
    path: Path, text: TextFormat, columns: Sequence[str] | None, bad: list[pa_csv.InvalidRow]
) -> pa_csv.CSVStreamingReader:
    def skip(row: pa_csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    short = len(text.delimiter) == 1
    try:
        return pa_csv.open_csv(
            path if short else pa.TransformInputStream(pa.OSFile(str(path)), _Shortened(text.delimiter)),
            read_options=pa_csv.ReadOptions(
                block_size=BLOCK_BYTES, encoding=text.encoding, column_names=list(text.names), use_threads=False
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=text.delimiter if short else _ONE,
                quote_char=text.quote or False,
                newlines_in_values=text.quote is not None,
                invalid_row_handler=skip,
            ),
            convert_options=pa_csv.ConvertOptions(
                include_columns=list(columns or []),
                column_types=dict.fromkeys(columns or [], pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except FileNotFoundError:
        raise DataError(f"{path} is not there; check the path") from None
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not delimited {text.encoding} text: {error}") from None


class _Shortened:
    """Makes a delimiter one character long, block by block; one that lies across two blocks too."""

    def __init__(self, delimiter: str) -> None:
        self._long, self._rest = delimiter.encode(), b""

    def __call__(self, block: pa.Buffer) -> bytes:
        found = (self._rest + bytes(block)).replace(self._long, _ONE.encode())
        # What may be the beginning of a delimiter waits for the next block; after the last comes an empty one.
        begun = [size for size in range(1, len(self._long)) if len(block) and found.endswith(self._long[:size])]
        cut = len(found) - max(begun, default=0)
        self._rest = found[cut:]
        return found[:cut]


def _csv_chunks(path: Path, columns: Sequence[str], text: TextFormat) -> Iterator[Chunk]:
    bad: list[pa_csv.InvalidRow] = []
    header = 0 if text.names else 1
    told, start = 0, 1
    try:
        for rows in _open_csv(path, text, columns, bad):
            skipped = np.array([row.number - header for row in bad], np.int64)
            window = np.arange(start, start + len(rows) + len(bad))
            numbers = window[~np.isin(window, skipped)][: len(rows)]
            start = int(numbers[-1]) + 1 if len(numbers) else start
            rejected = tuple(_split_wrong(path, row, header, text) for row in bad[told:])
            told = len(bad)
            yield Chunk(file=path.name, rows=rows, numbers=numbers, rejected=rejected)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not delimited {text.encoding} text: {error}") from None


def _split_wrong(path: Path, row: pa_csv.InvalidRow, header: int, text: TextFormat) -> Rejected:
    reason = f"{row.actual_columns} columns where the file has {row.expected_columns}"
    return Rejected(
        file=path.name, row=row.number - header, reason=reason, raw={"line": row.text.replace(_ONE, text.delimiter)}
    )


def _json_chunks(path: Path, columns: Sequence[str] | None) -> Iterator[Chunk]:
    start = 1
    try:
        with path.open("rb") as file:
            while lines := file.readlines(BLOCK_BYTES):
                objects, numbers, rejected = _objects(path, lines, start)
                start += len(lines)
                names = columns if columns is not None else list(dict.fromkeys(key for row in objects for key in row))
                rows = pa.RecordBatch.from_pydict({name: _array([row.get(name) for row in objects]) for name in names})
                yield Chunk(file=path.name, rows=rows, numbers=np.array(numbers, np.int64), rejected=rejected)
    except FileNotFoundError:
        raise DataError(f"{path} is not there; check the path") from None


def _objects(path: Path, lines: list[bytes], start: int) -> tuple[list[dict[str, object]], list[int], tuple[Rejected, ...]]:
    decoder = msgspec.json.Decoder(dict[str, object])
    objects, numbers, rejected = [], [], []
    for number, line in enumerate(lines, start):
        if not line.strip():
            continue
        try:
            objects.append(decoder.decode(line))
            numbers.append(number)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raw = {"line": line.decode(errors="replace").rstrip("\n")}
            rejected.append(Rejected(file=path.name, row=number, reason="not a JSON object", raw=raw))
    return objects, numbers, tuple(rejected)


def _array(values: list[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        texts = (value if isinstance(value, str | None) else msgspec.json.encode(value).decode() for value in values)
        return pa.array(texts, pa.string())
