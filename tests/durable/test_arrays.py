"""Arrays in mapped files: what was written comes back, whole or not at all, and a file that was cut off is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from fourfold.durable.arrays import map_arrays, new_arrays
from fourfold.durable.environment import DamagedError, StorageFullError
from tests.durable.children import Child

TYPES = [np.float64, np.float32, np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8, np.bool_]


def written(path: Path, arrays: dict[str, np.ndarray]) -> int:
    """Write arrays in pieces of three; returns the size of the file."""
    length = len(next(iter(arrays.values())))
    with new_arrays(path, {name: array.dtype for name, array in arrays.items()}, length) as made:
        for start in range(0, length, 3):
            for name, array in arrays.items():
                made[name][start : start + 3] = array[start : start + 3]
    return path.stat().st_size


@given(st.integers(1, 20), st.sets(st.sampled_from(TYPES), min_size=1), st.booleans())
def test_what_is_written_by_pieces_is_mapped_and_is_a_safetensors_file(
    tmp_path_factory: pytest.TempPathFactory, length: int, types: set[type], paired: bool
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "file"
    values = np.random.default_rng(length).integers(0, 2, length)
    arrays: dict[str, np.ndarray] = {np.dtype(type_).name: values.astype(type_) for type_ in types}
    if paired:
        arrays["pairs"] = values + 1j * np.arange(length)
    found = map_arrays(path, written(path, arrays))
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable
        assert found[name].flags.aligned
    read = load_file(path)
    assert {name: array.dtype for name, array in read.items() if name != "pairs"} == {
        name: array.dtype for name, array in arrays.items() if name != "pairs"
    }


def test_mapped_arrays_outlive_their_file_and_hold_no_descriptor(tmp_path: Path) -> None:
    size = written(tmp_path / "file", {"a": np.arange(9)})
    before = len(list(Path("/proc/self/fd").iterdir()))
    found = map_arrays(tmp_path / "file", size)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    (tmp_path / "file").unlink()
    assert found["a"].tolist() == list(range(9))


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_arrays(tmp_path / "file", {"a": np.dtype(np.int64)}, 3):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_and_no_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageFullError, match="takes no more"), new_arrays(tmp_path / "file", {"a": np.dtype(np.int64)}, 3):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_cut_off_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(DamagedError, match="file is missing"):
        map_arrays(path, 8)
    size = written(path, {"a": np.arange(1_000)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-4096])
    with pytest.raises(DamagedError, match=f"has {size - 4096:,} bytes and not {size:,}"):
        map_arrays(path, size)
    for damaged in (b"\xff" * size, whole[:8] + b"!" + whole[9:], whole.replace(b'"I64"', b'"XXX"'), bytes(size)):
        path.write_bytes(damaged)
        with pytest.raises(DamagedError, match="is damaged"):
            map_arrays(path, size)
    for length in (0, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            map_arrays(path, length)


FOREVER = """
import sys
from pathlib import Path
import numpy as np
from fourfold.durable.arrays import new_arrays
print("ready", flush=True)
for number in range(10**6):
    with new_arrays(Path(sys.argv[1]) / str(number), {"a": np.dtype(np.int64)}, 50_000) as arrays:
        arrays["a"][:] = number
    print(number, (Path(sys.argv[1]) / str(number)).stat().st_size, flush=True)
"""


def test_a_kill_leaves_whole_files_only(tmp_path: Path) -> None:
    with Child(FOREVER, tmp_path) as child:
        assert child.line() == "ready"
        size = int(child.line().split()[1])
        told = [int(line.split()[0]) for line in child.killed_after(0.1)]
    named = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(named) >= len(told) + 1
    for path in named:
        assert (map_arrays(path, size)["a"] == int(path.name)).all()
