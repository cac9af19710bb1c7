"""Several attributes of the same entities at once: most are always set together, and are then searched for once."""

from collections.abc import Sequence

from fourfold.features.table import Float, Int, Rows
from fourfold.features.view import View


def attributes(view: View, entity: str, names: Sequence[str], rows: Int, times: Int) -> dict[str, Float]:
    """The values that `View.attribute` gives for each name: shape (N,), NaN where there is none.

    Parameters
    ----------
    view : View
        The state to ask.
    entity : str
        The type of the entities.
    names : sequence of str
        Attributes of that type.
    rows : int64 array, shape (N,)
        Entities; -1 for an unknown one.
    times : int64 array, shape (N,)
        As of when, in milliseconds.
    """
    since = view.deleted(entity, rows, times) + 1
    found: dict[tuple[int, ...], Rows] = {}
    values = {}
    for name in names:
        table = view.table(f"attribute/{entity}/{name}")
        if table.identity not in found:
            found[table.identity] = table.last_rows(rows, since, times)
        values[name] = table.values("value", found[table.identity])
    return values
