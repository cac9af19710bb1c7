"""Events that `fourfold events export` wrote, read as a data set: into another home, beside what is there already."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fourfold.data.files import ROWS, check_columns
from fourfold.data.ordering import in_time_order
from fourfold.data.reading import DataError, ReadBatch
from fourfold.events.types import SCHEMA


@dataclass(frozen=True)
class ExportedReader:
    """Reads the Parquet files of a folder and its subfolders, or one file, in event time; event ids are those of the files."""

    folder: Path
    name: str = "events"

    def batches(self) -> Iterator[ReadBatch]:
        """All events."""
        yield from in_time_order(chain.from_iterable(map(_read, _files(self.folder))))


def _files(folder: Path) -> list[Path]:
    """The files of an export; those of one time keep the order of their offsets, which are their names."""
    if folder.is_file():
        return [folder]
    found = sorted(folder.rglob("*.parquet"), key=lambda path: path.name)
    if not found:
        raise DataError(f"{folder} holds no Parquet files; give a folder that `fourfold events export` wrote")
    return found


def _read(path: Path) -> Iterator[ReadBatch]:
    try:
        with pq.ParquetFile(path) as file:
            check_columns(path, SCHEMA.names, file.schema_arrow.names, "an export of events")
            for batch in file.iter_batches(batch_size=ROWS, columns=SCHEMA.names):
                columns = [batch.column(field.name).cast(field.type) for field in SCHEMA]
                yield ReadBatch(events=pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is no Parquet file of events: {error}; export the events again") from None
