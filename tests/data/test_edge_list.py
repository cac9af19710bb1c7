from pathlib import Path

import pytest

from fourfold.data.edge_list import edge_list_reader
from fourfold.data.reading import DataError
from fourfold.events.types import EdgeAdded, EntityUpsert
from tests.data.samples import read, real_data

AT = 1_559_347_200_000


def test_nodes_first_then_edges(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("id_1,id_2\na,b\nb,c\n")
    events, rejected = read(edge_list_reader(tmp_path, at=AT))
    assert rejected == []
    assert [e.key for e in events if isinstance(e, EntityUpsert)] == ["a", "b", "c"]
    assert [(e.kind, e.source, e.target) for e in events[3:] if isinstance(e, EdgeAdded)] == [
        ("follows", "a", "b"),
        ("follows", "b", "c"),
    ]
    assert max(e.time for e in events[:3]) < min(e.time for e in events[3:]) < AT


def test_undirected_edges_are_the_same_from_either_end(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("id_1,id_2\na,b\nb,a\n")
    directed = [e.id for e in read(edge_list_reader(tmp_path, at=AT))[0] if isinstance(e, EdgeAdded)]
    undirected = [e.id for e in read(edge_list_reader(tmp_path, at=AT, undirected=True))[0] if isinstance(e, EdgeAdded)]
    assert len(set(directed)) == 2
    assert len(set(undirected)) == 1


def test_ids_do_not_depend_on_the_time(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("id_1,id_2\na,b\n")
    first, second = (read(edge_list_reader(tmp_path, at=at))[0] for at in (AT, AT + 10_000))
    assert [e.id for e in first] == [e.id for e in second]


def test_loops_and_missing_ends_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("id_1,id_2\na,a\n,b\n")
    _, rejected = read(edge_list_reader(tmp_path, at=AT))
    assert [(row.row, row.reason) for row in rejected] == [(1, "an edge from a node to itself"), (2, "id_1: missing id")]


def test_other_than_two_columns_ask_which(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("a,b,w\n1,2,3\n")
    with pytest.raises(DataError, match=r"has 3 columns \(a, b, w\); say which"):
        edge_list_reader(tmp_path, at=AT)
    events, _ = read(edge_list_reader(tmp_path, at=AT, columns=("b", "a")))
    assert [(e.source, e.target) for e in events if isinstance(e, EdgeAdded)] == [("2", "1")]


def test_a_folder_without_edges(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected one of edges\.parquet.*found nothing"):
        edge_list_reader(tmp_path, at=AT)


def test_musae_github_as_published() -> None:
    kinds = [len(b.events) for b in edge_list_reader(real_data("musae-github"), at=AT, undirected=True).batches()]
    assert sum(kinds) == 37_700 + 289_003
