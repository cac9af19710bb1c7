"""Where members usually are: the context that a judged list is asked for with, because no request stands behind it."""

import numpy as np

from fourfold.features.details import context_space
from fourfold.features.names import UNKNOWN
from fourfold.features.table import Int
from fourfold.features.timeline import Timeline
from fourfold.features.view import View


def usual_contexts(view: View, entries: Timeline, viewers: Int, times: Int) -> list[dict[str, str]]:
    """For each of V members the commonest value of each part of the context, among what they were shown before a time.

    Who was shown nothing yet gets what is commonest among all members before that time. Equal counts go to the first value
    in the order of texts. A part that nobody ever gave is left out.

    Parameters
    ----------
    entries : Timeline
        The timelines of all members; `entries.viewer` holds rows.
    viewers, times : int64 arrays, shape (V,)
        Rows, and as of when (ms).
    """
    contexts: list[dict[str, str]] = [{} for _ in viewers]
    for column, part in enumerate(view.definition.context):
        texts = view.names[context_space(part.name)].since(0)
        order = np.argsort(np.array(texts, dtype=object), kind="stable")
        rank = np.empty(len(texts) + 1, np.int64)
        rank[order], rank[UNKNOWN] = np.arange(len(texts)), UNKNOWN
        for time in np.unique(times):
            asked = np.flatnonzero(times == time)
            found = _commonest(entries, rank[entries.details.context[:, column]], viewers[asked], int(time))
            for place, value in zip(asked[found >= 0].tolist(), found[found >= 0].tolist(), strict=True):
                contexts[place][part.name] = texts[order[value]]
    return contexts


def _commonest(entries: Timeline, values: Int, viewers: Int, time: int) -> Int:
    """The commonest value of each viewer before a time, or of all; -1 where nobody has any."""
    counted = entries.shown & (entries.time < time) & (values >= 0)
    everywhere = np.bincount(values[counted])
    usual = np.full(len(viewers), int(everywhere.argmax()) if len(everywhere) else UNKNOWN)
    mine = counted & np.isin(entries.viewer, viewers)
    if not mine.any():
        return usual
    pairs, counts = np.unique(np.stack([entries.viewer[mine], values[mine]]), axis=1, return_counts=True)
    best = np.lexsort((pairs[1], -counts, pairs[0]))
    whose, first = np.unique(pairs[0][best], return_index=True)
    place = np.searchsorted(whose, viewers)
    known = np.isin(viewers, whose)
    usual[known] = pairs[1][best[first[place[known]]]]
    return usual
