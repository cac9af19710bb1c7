from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.data import files
from fourfold.data.files import TextFormat, chunks

CELL = st.text(st.sampled_from("ab:é,"), max_size=6).filter(lambda text: "::" not in f"{text}|" and not text.endswith(":"))


@given(st.lists(st.tuples(CELL, CELL.filter(lambda text: not text.startswith(":"))), min_size=1, max_size=9), st.integers(1, 9))
def test_a_delimiter_of_two_characters_may_lie_across_blocks(rows: list[tuple[str, str]], size: int) -> None:
    data = "\n".join(f"{a}::{b}" for a, b in rows).encode()
    shortened = files._Shortened("::")
    parts = [shortened(pa.py_buffer(data[at : at + size])) for at in range(0, len(data), size)]
    assert b"".join([*parts, shortened(pa.py_buffer(b""))]) == data.replace(b"::", b"\x1f")
    assert shortened(pa.py_buffer(b"")) == b""


def test_a_long_file_is_the_same_with_either_delimiter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", 1 << 12)
    rows = [f"{number}::na:me {number}" for number in range(5_000)]
    (tmp_path / "a.dat").write_text("\n".join(rows))
    text = TextFormat(delimiter="::", quote=None, names=("key", "name"))
    found = [row for chunk in chunks(tmp_path / "a.dat", ["key", "name"], text) for row in chunk.rows.to_pylist()]
    assert found == [{"key": str(number), "name": f"na:me {number}"} for number in range(5_000)]
