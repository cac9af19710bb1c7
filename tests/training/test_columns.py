"""Columns are the examples' inputs under the names of the definition, history left out."""

import numpy as np

from fourfold.features.encoding import Encoder
from fourfold.training.columns import input_columns
from fourfold.training.examples import examples
from tests.training.test_leaks import END, FEED, Log


def test_columns_are_the_examples_by_name() -> None:
    log = Log()
    view, encoder = log.view, Encoder(FEED)
    rows = examples(view, encoder, int(log.time[100]), END)
    columns = input_columns(rows, encoder.schema, 1_000)
    assert len(columns) == len(rows) == 500
    assert set(columns.numbers) == {feature.name for feature in FEED.features}
    assert set(columns.categories) == {"item.topic", "item.label", "context.tab"}
    used = rows.sequences.weight > 0
    np.testing.assert_array_equal(columns.numbers["size"], rows.sequences.early[used, 0])
    np.testing.assert_array_equal(columns.numbers["shown"], rows.sequences.late[used, 0])
    np.testing.assert_array_equal(columns.categories["item.topic"][:, 0], rows.sequences.items[used, 1])
    np.testing.assert_array_equal(columns.categories["context.tab"], rows.sequences.context[used])
    np.testing.assert_array_equal(columns.labels, rows.sequences.labels[used])
    assert sorted(columns.request.tolist()) == log.time[100:].tolist()


def test_more_than_asked_for_are_thinned_evenly() -> None:
    rows = examples(Log().view, Encoder(FEED), 0, END)
    every, some = (input_columns(rows, Encoder(FEED).schema, most) for most in (600, 200))
    assert len(some) == 200
    np.testing.assert_array_equal(some.request, every.request[::3])
    assert len(input_columns(rows, Encoder(FEED).schema, 599)) == 300
