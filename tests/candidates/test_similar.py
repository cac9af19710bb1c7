"""Sources from trained tables by hand."""

import numpy as np
import pytest

from fourfold.candidates import Unavailable
from fourfold.definition import EmbeddingRetrieval, ItemToItem
from fourfold.events.types import Action, EntityUpsert, Event, Impression
from fourfold.features.assembly import Context
from tests.candidates.samples import ask_of, proposed
from tests.features.samples import state_of
from tests.pipeline.samples import TABLE
from tests.strategies import HOUR, POSTS, START

NOON = START + 12 * HOUR
WORLD: list[Event] = [EntityUpsert(id=post, time=START, type="post", key=post) for post in POSTS]


def act(hour: int, item: str, name: str) -> Event:
    return Action(id=f"{hour}{item}{name}", time=START + hour * HOUR, viewer="m0", item=item, name=name, surface="feed")


def test_item_to_item_by_hand() -> None:
    events = [*WORLD, act(1, "p0", "like"), act(2, "p3", "click"), act(3, "p2", "hide"), act(4, "p1", "hide")]
    neighbours = TABLE.at(state_of(events).view())
    ask = ask_of(events, "m0", NOON, neighbours=neighbours)
    row = dict(zip(POSTS, ask.view.rows("post", POSTS).tolist(), strict=True))
    # Newest first: p3 in full, p0 by 1 / sqrt(2). p3 goes with p2 (0.5) and p0 (0.2), p0 with p1 (0.9) and p2 (0.1).
    half = 2**-0.5
    wanted = [("p1", 0.9 * half, row["p0"]), ("p2", 0.5 + 0.1 * half, row["p3"]), ("p0", 0.2, row["p3"])]
    found = proposed(ask, ItemToItem())
    assert [(name, because) for name, _, because in found] == [(name, because) for name, _, because in wanted]
    assert [score for _, score, _ in found] == pytest.approx([score for _, score, _ in wanted])
    assert [name for name, _, _ in proposed(ask, ItemToItem(recent=1))] == ["p2", "p0"]


def test_without_likes_nothing_without_models_a_reason() -> None:
    seen: list[Event] = [*WORLD, Impression(id="1", time=START, viewer="m0", item="p0", surface="feed")]
    assert proposed(ask_of(seen, "m0", NOON, neighbours=TABLE.at(state_of(seen).view())), ItemToItem()) == []
    with pytest.raises(Unavailable, match="no item-to-item table is trained yet"):
        proposed(ask_of(seen, "m0", NOON), ItemToItem())
    with pytest.raises(Unavailable, match="no retrieval model is trained yet"):
        proposed(ask_of(seen, "m0", NOON), EmbeddingRetrieval())


class Nearest:
    """An index that answers what it was asked."""

    def nearest(self, context: Context, keep: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(keep), np.arange(keep, 0, -1).astype(np.float32)


def test_embedding_retrieval_keeps_what_it_is_told() -> None:
    found = proposed(ask_of(WORLD, "m0", NOON, index=Nearest()), EmbeddingRetrieval(keep=2))
    assert [(score, because) for _, score, because in found] == [(2.0, -1), (1.0, -1)]
