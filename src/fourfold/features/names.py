"""Names: strings and the small whole numbers that stand for them, and stable 64-bit hashes of strings."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

UNKNOWN = -1


class Names:
    """Numbers strings in the order of their first appearance. It only grows; readers need no lock."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = list(names)
        self._rows = {name: row for row, name in enumerate(self._names)}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, row: int) -> str:
        return self._names[row]

    def since(self, row: int) -> list[str]:
        """The names from `row` on."""
        return self._names[row:]

    def find(self, name: str) -> int:
        """The number of one name, or `UNKNOWN`."""
        return self._rows.get(name, UNKNOWN)

    def find_all(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of names; `UNKNOWN` for new ones."""
        return np.fromiter((self._rows.get(name, UNKNOWN) for name in names), np.int64, len(names))

    def add(self, name: str) -> int:
        """The number of a name, new or known."""
        row = self._rows.get(name)
        if row is None:
            row = len(self._names)
            self._names.append(name)
            self._rows[name] = row
        return row

    def add_column(self, column: pa.Array) -> NDArray[np.int64]:
        """The numbers of a string column; new names are added, nulls are `UNKNOWN`."""
        encoded = column.dictionary_encode()
        known = np.fromiter((self.add(name) for name in encoded.dictionary.to_pylist()), np.int64)
        codes = encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        rows: NDArray[np.int64] = np.append(known, UNKNOWN)[codes]
        return rows


def hash64(texts: Iterable[str] | pa.Array) -> NDArray[np.uint64]:
    """A stable 64-bit hash of each text (BLAKE2b). Two of a billion different texts collide with probability 0.03."""
    column = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
    digests = b"".join([hashlib.blake2b(text, digest_size=8).digest() for text in column.cast(pa.binary()).to_pylist()])
    return np.frombuffer(digests, np.uint64)
