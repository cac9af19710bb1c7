"""The large arrays of a consumer's state, in files beside its store. A commit names those that count; the others go.

A file is complete and on disk before a commit names it, and is removed only after one that does not: whatever ends a process,
the committed state has all its files.
"""

import fcntl
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourfold.durable.arrays import map_arrays, new_arrays

_LOCK = "lock"


class ArrayFiles:
    """A folder of arrays that are written once, then mapped.

    Parameters
    ----------
    folder : Path
        Made when something is first written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Write, commit and sweep inside of this, or another process may sweep away what is not committed yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def new(self, types: Mapping[str, np.dtype[Any]], length: int) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
        """The name of a new file and its arrays, to fill; see `fourfold.durable.arrays.new_arrays`."""
        name = f"{secrets.token_hex(12)}.safetensors"
        with new_arrays(self.folder / name, types, length) as arrays:
            yield name, arrays

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self.folder / name).stat().st_size

    def map(self, name: str, size: int) -> dict[str, NDArray[Any]]:
        """The arrays of a file; they stay valid when it is removed.

        Raises
        ------
        DamagedError
            If it is missing or not of that size.
        """
        return map_arrays(self.folder / name, size)

    def remove(self, name: str) -> None:
        """Remove a file; those who map it keep it."""
        (self.folder / name).unlink(missing_ok=True)

    def sweep(self, keep: Collection[str]) -> None:
        """Remove all files but these: what earlier commits named, and what killed processes left."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.name not in keep and path.name != _LOCK:
                path.unlink(missing_ok=True)
