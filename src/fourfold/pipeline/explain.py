"""The human reason for each place of a slate, from what its best source says, and the titles that people read."""

from collections.abc import Iterable, Sequence

import numpy as np

from fourfold.features.table import Int
from fourfold.features.view import SEPARATOR, View

CATALOGUE = "catalogue"
"""The name of the back-fill, where a source's name stands."""

PINNED = "pin"
"""The same for items that a rule places."""

FOR_NEW = "A start for somebody new"
"""What retrieval says to a viewer without a history and a profile."""

_REASONS = {
    "trending": "Trending now",
    "in_network": "From your network: {because}",
    "two_hop": "You both know {because}",
    "embedding_retrieval": "Close to your taste",
    "item_to_item": "Because you liked {because}",
    CATALOGUE: "To fill the slate",
    PINNED: "Placed here",
    "last_slate": "From an earlier slate",
}
_NETWORK = ("in_network", "two_hop")


def reasons(view: View, origins: Sequence[tuple[str, int]], time: int, *, history: bool, profile: bool) -> list[str]:
    """Why some items were proposed, in words, from the best source of each and the row of what explains it.

    The row is one of a viewer for network sources, else of an item; -1 where nothing explains it. `history` and `profile` say
    whether the viewer has one.
    """
    definition = view.definition
    members = _names(view, definition.viewer.name, (row for source, row in origins if source in _NETWORK), time)
    items = _names(view, definition.item.name, (row for source, row in origins if source not in _NETWORK), time)
    texts = _REASONS if history else _REASONS | {"embedding_retrieval": "Fits your profile" if profile else FOR_NEW}
    return [texts[source].format(because=(members if source in _NETWORK else items)[row]) for source, row in origins]


def titles(view: View, entity: str, rows: Int, time: int) -> list[str | None]:
    """The titles of entities as of a time: None where the definition names no title or none is set."""
    title = next(declared.title for declared in view.definition.entities if declared.name == entity)
    if title is None:
        return [None] * len(rows)
    names = view.names[f"value/{entity}/{title}"]
    codes = view.codes(entity, title, rows, np.full(len(rows), time)).tolist()
    return [None if code < 0 else names[code].replace(SEPARATOR, ", ") for code in codes]


def _names(view: View, entity: str, rows: Iterable[int], time: int) -> dict[int, str]:
    """The title of each row, or its id."""
    known = np.array(sorted({row for row in rows if row >= 0}), np.int64)
    shown = [title or id_ for title, id_ in zip(titles(view, entity, known, time), view.ids(entity, known), strict=True)]
    return {-1: "others like you"} | dict(zip(known.tolist(), shown, strict=True))
