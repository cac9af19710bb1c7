"""The human reason for each place of a slate, from what its best source says."""

from fourfold.features.view import View

CATALOGUE = "catalogue"
"""The name of the back-fill, where a source's name stands."""

_REASONS = {
    "trending": "Trending now",
    "in_network": "From your network: {because}",
    "two_hop": "You both know {because}",
    "embedding_retrieval": "Close to your taste",
    "item_to_item": "Because you liked {because}",
    CATALOGUE: "To fill the slate",
}


def reason(view: View, source: str, because: int, time: int, history: int) -> str:
    """Why a source proposed an item, in words. `because` is a row: of a member for network sources, else of an item."""
    if source == "embedding_retrieval" and not history:
        return "Fits your profile"
    text = _REASONS[source]
    if "{because}" not in text:
        return text
    definition = view.definition
    entity = definition.viewer if source in ("in_network", "two_hop") else definition.item
    return text.format(because=name_of(view, entity.name, because, time) if because >= 0 else "others like you")


def name_of(view: View, entity: str, row: int, time: int) -> str:
    """The title of an entity as of a time, or its id."""
    return title_of(view, entity, row, time) or view.ids(entity, view.all_rows(entity)[row : row + 1])[0]


def title_of(view: View, entity: str, row: int, time: int) -> str | None:
    """The title of an entity as of a time, if its definition names one and it is set."""
    title = next(declared.title for declared in view.definition.entities if declared.name == entity)
    return view.text(entity, title, row, time) if title else None
