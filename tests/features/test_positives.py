"""What a viewer liked: serving and training agree on it, newest first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourfold.events.types import Event
from fourfold.features.positives import liked, positive, recent_positive
from fourfold.features.timeline import timeline
from tests.features.samples import state_of
from tests.strategies import START, logs


def test_good_on_balance_by_hand() -> None:
    actions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]], np.float32)  # click 1, like 4, hide -20
    assert positive(state_of([]).view(), actions).tolist() == [False, True, False, True, False]


@given(logs(), st.integers(1, 4))
def test_what_training_reads_is_what_serving_reads_at_the_request(events: list[Event], recent: int) -> None:
    view = state_of(events).view()
    viewers = view.all_rows("member")
    entries = timeline(view, viewers, np.full(len(viewers), START + (1 << 40)))
    at = np.arange(len(entries))
    found = recent_positive(view, entries, at, recent, entries.item)
    assert found.shape == (len(entries), recent)
    for row in at:
        then = timeline(view, viewers[entries.viewer[[row]]], entries.request[[row]])
        wanted = liked(view, then, recent).tolist()
        assert found[row].tolist() == wanted + [-1] * (recent - len(wanted))
