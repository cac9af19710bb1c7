"""Files beside a store: written under new names, swept under a lock, kept by whoever maps them."""

from pathlib import Path

import numpy as np
import pytest

from fourfold.durable.environment import DamagedError
from fourfold.stores.array_files import ArrayFiles
from tests.durable.children import Child


def new(files: ArrayFiles, value: int) -> str:
    with files.new({"a": np.dtype(np.int64)}, 3) as (name, arrays):
        arrays["a"][:] = value
    return name


def test_a_sweep_keeps_what_is_named_and_what_is_mapped_stays(tmp_path: Path) -> None:
    files = ArrayFiles(tmp_path / "arrays")
    files.sweep(())  # there is no folder yet
    with files.exclusive():
        kept, gone = new(files, 1), new(files, 2)
        (files.folder / ".left.tmp").write_bytes(b"half")
        mapped = files.map(gone, files.size(gone))
        files.sweep({kept})
    assert sorted(path.name for path in files.folder.iterdir()) == sorted([kept, "lock"])
    assert mapped["a"].tolist() == [2, 2, 2]
    assert files.map(kept, files.size(kept))["a"].tolist() == [1, 1, 1]
    with pytest.raises(DamagedError, match="missing"):
        files.map(gone, 8)
    files.remove(kept)
    files.remove(kept)


HOLD = """
import sys, time
from pathlib import Path
from fourfold.stores.array_files import ArrayFiles
with ArrayFiles(Path(sys.argv[1])).exclusive():
    print("mine", flush=True)
    time.sleep(float(sys.argv[2]))
    print("done", flush=True)
"""


def test_one_process_has_the_files_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    with Child(HOLD, tmp_path, 0.2) as holder:
        assert holder.line() == "mine"
        with ArrayFiles(tmp_path).exclusive():
            assert holder.finished() == ["done"], "both had them at once"
    with Child(HOLD, tmp_path, 60) as holder:
        assert holder.line() == "mine"
        holder.killed_after(0)
        with ArrayFiles(tmp_path).exclusive():
            pass
