"""The item-to-item table in rows of a state."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fourfold.events.types import EntityUpsert
from fourfold.scoring.item_table import ItemTable
from tests.features.samples import state_of
from tests.pipeline.samples import TABLE
from tests.strategies import START

VIEW = state_of([EntityUpsert(id=name, time=START, type="post", key=name) for name in ("new", "p3", "p0", "p2")]).view()


def test_pairs_in_rows() -> None:
    # p1 is not known here: it neither asks nor answers. "new" is not in the table.
    bound = TABLE.at(VIEW)
    asked = VIEW.rows("post", ["p0", "new", "p2", "p3", "p1"])
    query, found, similarity = bound.of(asked)
    pairs = list(zip(query.tolist(), VIEW.ids("post", found), similarity.tolist(), strict=True))
    assert pairs == [(0, "p2", pytest.approx(0.1)), (2, "p3", 0.5), (3, "p2", 0.5), (3, "p0", pytest.approx(0.2))]


def test_rows_beyond_and_below_ask_for_nothing() -> None:
    query, found, similarity = TABLE.at(VIEW).of(np.array([-1, 4, 1 << 40]))
    assert (len(query), len(found), len(similarity)) == (0, 0, 0)


def test_an_empty_table() -> None:
    empty = ItemTable([], np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32))
    assert len(empty.at(VIEW).of(VIEW.all_rows("post"))[0]) == 0


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "item_to_item.json").write_text(json.dumps(TABLE.ids))
    save_file({"neighbours": TABLE.neighbours, "similarity": TABLE.similarity}, tmp_path / "item_to_item.safetensors")
    found = ItemTable.load(tmp_path)
    assert found.ids == TABLE.ids
    np.testing.assert_array_equal(found.neighbours, TABLE.neighbours)
    np.testing.assert_array_equal(found.similarity, TABLE.similarity)
