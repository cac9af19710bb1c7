"""Saved runs: what is encoded, or merged into a file by pieces, is what it was."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fourfold.features.saved as module
from fourfold.features.admission import with_ids
from fourfold.features.saved import StateLostError, StoredRun, decode, encode, load_run, write_merged
from fourfold.features.table import Run, Table, merged
from fourfold.stores.consumer import ConsumerStore
from tests.features.test_table import Row, ints, rows


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsumerStore]:
    with ConsumerStore(tmp_path_factory.mktemp("store")) as store:
        yield store


def run_of(made: list[Row], **columns: np.ndarray) -> Run:
    ties = np.array([row[2] for row in made], np.uint64)
    return Run.of(ints(made, 0), ints(made, 1), {"tie": ties, **columns})


def same(left: Run, right: Run) -> None:
    np.testing.assert_array_equal(left.at, right.at)
    assert set(left.columns) == set(right.columns)
    for name, column in left.columns.items():
        np.testing.assert_array_equal(column, right.columns[name])


@given(rows.filter(len))
def test_small_runs_are_encoded(made: list[Row]) -> None:
    run = run_of(made, value=np.arange(len(made)), share=np.arange(len(made)) / 7)
    found = decode(encode(run), run.newest)
    same(found, run)
    assert {name: column.dtype for name, column in found.columns.items()} == {n: c.dtype for n, c in run.columns.items()}


@given(st.lists(rows.filter(len), min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 6))
def test_runs_are_merged_into_files_by_pieces(store: ConsumerStore, parts: list[list[Row]], piece: int, since: int) -> None:
    wide = 1 << 40
    runs = [run_of(part, value=np.arange(len(part)) * (wide if n % 2 else 1)) for n, part in enumerate(parts)]
    whole = merged(runs)
    kept = np.flatnonzero(whole.at.imag >= since)
    with pytest.MonkeyPatch.context() as patched, store.files.exclusive():
        patched.setattr(module, "PIECE", piece)
        made = write_merged(store.files, runs, (lambda run: run.at.imag >= since) if since else None)
        if made is None:
            assert not len(kept)
            return
        stored, run = made
        store.files.sweep({stored.name})
    assert run.mapped
    rows_of = ["at", *whole.columns]
    found, wanted = (np.stack([run.at.real, run.at.imag, run.columns["value"]]) for run in (run, whole))
    np.testing.assert_array_equal(found[:2], wanted[:2, kept])
    assert sorted(found[2]) == sorted(wanted[2, kept]), rows_of
    same(load_run(store, stored), run)


def test_ids_are_saved_too(store: ConsumerStore) -> None:
    hashes = np.array([1 << 63, 5, 7], np.uint64)
    run = with_ids(Table(), hashes, np.array([3, 1, 2])).runs[0]
    same(decode(encode(run), run.newest), run)
    with store.files.exclusive():
        made = write_merged(store.files, [run, run], lambda part: part.columns["tie"] > 1)
    assert made is not None
    assert made[1].at.tolist() == [7, 7, 1 << 63, 1 << 63]


def test_what_cannot_be_loaded_says_what_to_do(store: ConsumerStore) -> None:
    with pytest.raises(StateLostError, match="lacks run/77; remove its folder"):
        load_run(store, StoredRun("run/77", 0))
    with pytest.raises(StateLostError, match="missing; remove the state's folder to compute it from the log again"):
        load_run(store, StoredRun("nothing.safetensors", 0, 99))
    with store.files.exclusive(), store.files.new({"a": np.dtype(np.int64)}, 1) as (name, _):
        pass
    with pytest.raises(StateLostError, match="holds no run"):
        load_run(store, StoredRun(name, 0, store.files.size(name)))
