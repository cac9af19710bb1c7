import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import features
from benchmarks.features import Answer, Peers, Sizes, all_equal, attributes_view, join, make_world, online, run, write_tables
from benchmarks.peers.call import PeerMissingError, call

SMALL = Sizes(items=20, events=300, labels=200, rounds=1, repeats=1)


@pytest.fixture
def _no_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(peer: str, *_: object) -> dict[str, object]:
        raise PeerMissingError(f"{peer} is not installed: run make bench-env")

    monkeypatch.setattr(features, "call", missing)


@pytest.mark.usefixtures("_no_peers")
def test_without_peers_it_measures_this_side_and_says_who_is_missing(tmp_path: Path) -> None:
    found = run(quick=True, folder=tmp_path, say=lambda _: None)
    assert (found.name, found.equal, found.ratios) == ("features", True, {})
    assert found.skipped == {peer: f"{peer} is not installed: run make bench-env" for peer in ("feast", "duckdb")}
    assert set(found.detail) == {"build_s", "online_ms", "join_ms", "counters_ms", "join_labels_dropped"}
    assert found.detail["join_labels_dropped"] == 0


def test_a_peer_that_answers_something_else_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(peer: str, script: str, request: dict[str, Path], _: Path) -> dict[str, object]:
        if script != "duckdb_join":
            raise PeerMissingError(f"no {peer}")
        columns = dict.fromkeys(features.NAMES, np.zeros(SMALL.labels, np.float32))
        pq.write_table(pa.table({"label": np.arange(SMALL.labels), **columns}), request["answer"])
        return {"seconds": 3.0}

    monkeypatch.setattr(features, "call", wrong)
    monkeypatch.setattr(features, "QUICK", SMALL)
    found = run(quick=True, folder=tmp_path, say=lambda _: None)
    assert (found.equal, found.skipped) == (False, {"feast": "no feast"})
    assert found.ratios["duckdb/fourfold_join"] == pytest.approx(3_000 / float(found.detail["join_ms"]))


def test_the_values_are_those_before_each_time() -> None:
    world = make_world(SMALL)
    view = attributes_view(world)
    newest = {f"p{item}": value for item, value in zip(world.item.tolist(), world.values, strict=True)}
    np.testing.assert_array_equal(online(view, world, 1).values, [newest[item] for item in world.request])
    found, missing = join(view, world), 0
    for item, time, values in zip(world.label_item, world.label_time, found.values, strict=True):
        earlier = np.flatnonzero((world.item == item) & (world.time < time))
        missing += not len(earlier)
        expected = world.values[earlier[-1]] if len(earlier) else np.full(len(features.NAMES), np.nan)
        np.testing.assert_array_equal(values, expected)
    assert (found.dropped, 0 < missing < 40) == (0, True)


def test_no_two_events_and_no_event_and_label_share_a_time() -> None:
    world = make_world(SMALL)
    assert (np.diff(world.time) > 0).all()
    assert (set(world.time % 2), set(world.label_time % 2)) == ({0}, {1})


def peer_that(changed: pa.Table, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Answer]:
    def answered(peer: str, script: str, request: dict[str, Path], _: Path) -> dict[str, object]:
        if script != "duckdb_join":
            raise PeerMissingError(f"no {peer}")
        pq.write_table(changed, request["answer"])
        return {"seconds": 2.0}

    monkeypatch.setattr(features, "call", answered)
    return Peers(folder, 1).answers()


def test_a_peer_may_drop_labels_of_which_nothing_is_known_and_must_say_the_same_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(SMALL)
    write_tables(tmp_path, world)
    view = attributes_view(world)
    ours = {"online": online(view, world, 1), "join": join(view, world)}
    columns = {name: ours["join"].values[:, column] for column, name in enumerate(features.NAMES)}
    same = pa.table({"label": np.arange(SMALL.labels), **columns})
    shuffled = same.take(np.random.default_rng(0).permutation(SMALL.labels))
    known = pa.array(~np.isnan(ours["join"].values[:, 0]))
    one_less = same.filter(known).slice(1)
    for answer, dropped, equal in (
        (shuffled, 0, True),
        (same.filter(known), SMALL.labels - known.true_count, True),
        (one_less, SMALL.labels - known.true_count + 1, False),
        (same.set_column(0, "label", pa.array(np.arange(SMALL.labels)[::-1])), 0, False),
    ):
        theirs = peer_that(answer, tmp_path, monkeypatch)
        assert theirs["duckdb_join"].dropped == dropped
        assert all_equal(ours | theirs) is equal
    theirs = {"feast_online": replace(ours["online"], values=ours["online"].values + 1)}
    assert not all_equal(ours | theirs)


def test_duckdb_joins_alike(tmp_path: Path) -> None:
    world = make_world(SMALL)
    write_tables(tmp_path, world)
    call("duckdb", "duckdb_join", features.request(tmp_path, repeats=1), tmp_path, python=Path(sys.executable))
    answer = features.answer(tmp_path, 1.0)
    assert all_equal({"join": join(attributes_view(world), world), "duckdb_join": answer})
    assert (answer.seconds, answer.dropped) == (1.0, 0)
