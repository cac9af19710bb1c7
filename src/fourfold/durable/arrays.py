"""Arrays in files that are mapped instead of read: their pages are shared by all processes, and the system may drop them.

The files are safetensors, filled in place by pieces, so that what is written never has to fit into memory.
"""

import errno
import json
import mmap
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fourfold.durable.environment import DamagedError, StorageFullError
from fourfold.durable.files import sync

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(np.float64): "F64",
    np.dtype(np.float32): "F32",
    np.dtype(np.int64): "I64",
    np.dtype(np.int32): "I32",
    np.dtype(np.int16): "I16",
    np.dtype(np.int8): "I8",
    np.dtype(np.uint64): "U64",
    np.dtype(np.uint32): "U32",
    np.dtype(np.uint16): "U16",
    np.dtype(np.uint8): "U8",
    np.dtype(np.bool_): "BOOL",
}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}
_ALIGNMENT = 64


@contextmanager
def new_arrays(path: Path, types: Mapping[str, np.dtype[Any]], length: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Arrays to fill in place; when the block ends, the file has its name and is on disk. After an error there is none.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    types : mapping of str to dtype
        The arrays and their types; complex128 is stored as pairs of float64.
    length : int
        How many elements each has, at least 1.

    Raises
    ------
    StorageFullError
        If there is no room for the file.
    """
    header, offsets, size = _layout(types, length)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("x+b") as file:
            _reserve(file.fileno(), size, path.parent)
            pages = mmap.mmap(file.fileno(), size)
            pages[: len(header)] = header
            yield {name: np.frombuffer(pages, dtype, length, offsets[name]) for name, dtype in types.items()}
            pages.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def map_arrays(path: Path, size: int) -> dict[str, NDArray[Any]]:
    """The arrays of a file, read-only. They stay valid when the file is removed, and keep no file descriptor.

    Parameters
    ----------
    path : Path
        The file.
    size : int
        How many bytes it must have: reading beyond the end of a file that was cut off would kill the process.

    Raises
    ------
    DamagedError
        If it is missing, has another size, or is not what `new_arrays` wrote.
    """
    try:
        found = path.stat().st_size
        if found != size:
            raise DamagedError(f"{path} has {found:,} bytes and not {size:,}")
        # Arrow's mapping outlives its file descriptor; one of Python's would hold on to it.
        with pa.memory_map(str(path)) as file:
            pages = file.read_buffer()
        return _arrays(pages)
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged ({error})") from error


def _layout(types: Mapping[str, np.dtype[Any]], length: int) -> tuple[bytes, dict[str, int], int]:
    """Header, where each array starts, and the size of the file."""
    entries, starts, end = {}, {}, 0
    # The widest first, so that every array is aligned without a gap, which the format does not allow.
    for name, dtype in sorted(types.items(), key=lambda pair: -pair[1].itemsize):
        paired = dtype == np.complex128
        starts[name], end = end, end + length * dtype.itemsize
        entries[name] = {
            "dtype": "F64" if paired else _NAMES[dtype],
            "shape": [length, 2] if paired else [length],
            "data_offsets": [starts[name], end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + start for name, start in starts.items()}, len(header) + end


def _reserve(descriptor: int, size: int, folder: Path) -> None:
    """Give a file its size and its room on disk: writing to a mapped page for which there is none kills the process."""
    try:
        if sys.platform == "linux":
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.truncate(descriptor, size)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        why = os.strerror(error.errno)
        raise StorageFullError(f"the disk under {folder} takes no more ({why}); free some space there and try again") from error


def _arrays(pages: pa.Buffer) -> dict[str, NDArray[Any]]:
    length = int.from_bytes(pages[:8], "little")
    if not 0 < length <= len(pages) - 8:
        raise ValueError(f"a header of {length} bytes")
    arrays = {}
    for name, entry in json.loads(bytes(pages[8 : 8 + length])).items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        dtype: np.dtype[Any] = np.dtype(np.complex128) if len(entry["shape"]) == 2 else _TYPES[entry["dtype"]]
        if end > len(pages) or end - start != entry["shape"][0] * dtype.itemsize:
            raise ValueError(f"array {name!r} does not fit")
        arrays[name] = np.frombuffer(pages, dtype, entry["shape"][0], start)
    return arrays
