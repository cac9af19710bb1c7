"""What a surface's events look like before anything is trained on them: how much, of whom, how long, and what looks wrong."""

from collections.abc import Iterator

import numpy as np

from fourfold.features.table import Float, Int
from fourfold.features.timeline import Timeline, timeline
from fourfold.features.view import NEVER, View
from fourfold.lab.description import ActionRate, AttributeUse, Day, Description, Items, Members, Sessions
from fourfold.lab.event_rows import EventRows, dated_by, event_rows, last_shown
from fourfold.lab.suspicions import suspicions
from fourfold.training.examples import labels

DAY = 86_400_000
SESSION_GAP = 1_800_000
"""Milliseconds without an event after which a viewer's next one begins another session: half an hour."""

BUCKETS = {"0": (0, 0), "1-5": (1, 5), "6-20": (6, 20), "21+": (21, NEVER)}
"""Members by the number of their history entries."""

_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def describe(view: View, newest_arrival: int) -> Description:
    """Describe one surface.

    Parameters
    ----------
    view : View
        Its state.
    newest_arrival : int
        When the log took its newest event, in milliseconds: what happened later than that has a wrong time.
    """
    shown = event_rows(view, "impression")
    acted = dated_by(shown, event_rows(view, "action"))
    times = np.concatenate([shown.time[shown.dated], acted.time[acted.dated]])
    everyone = view.all_rows(view.definition.viewer.name)
    entries = timeline(view, everyone, np.full_like(everyone, NEVER))
    actions, attributes = action_rates(view, entries, shown, acted), attribute_uses(view)
    return Description(
        surface=view.definition.surface,
        definition=view.definition.hash,
        events=_events(view),
        ignored=dict(view.ignored),
        undated=int((~shown.dated).sum()),
        first=int(times.min()) if len(times) else None,
        last=int(times.max()) if len(times) else None,
        days=_days(shown, acted),
        actions=actions,
        members=_members(view, entries),
        sessions=_sessions(shown, acted),
        items=_items(view, shown),
        attributes=attributes,
        suspicious=list(suspicions(view, shown, acted, actions, attributes, newest_arrival)),
    )


def _events(view: View) -> dict[str, int]:
    """Events by kind; each edge of a mutual kind stands in its tables twice."""
    definition = view.definition
    tables = {"impression": "impression", "action": "action"}
    tables |= {f"upsert of {entity.name}": f"upsert/{entity.name}" for entity in definition.entities}
    tables |= {f"delete of {entity.name}": f"delete/{entity.name}" for entity in definition.entities}
    counts = {name: len(view.table(table)) for name, table in tables.items()}
    counts |= {f"edge {edge.name}": len(view.table(f"edge/{edge.name}/out")) // (1 + edge.mutual) for edge in definition.edges}
    return {name: count for name, count in counts.items() if count}


def _days(shown: EventRows, acted: EventRows) -> list[Day]:
    """Every day from the first to the last, those without events too."""
    days = [rows.time[rows.dated] // DAY for rows in (shown, acted)]
    both = np.concatenate(days)
    if not len(both):
        return []
    # One time that is years off must not make a list of a million days.
    first, last = np.quantile(both, [0.001, 0.999], method="nearest")
    counts = [np.bincount(day[(day >= first) & (day <= last)] - first, minlength=int(last - first) + 1) for day in days]
    names = np.arange(first, last + 1).astype("datetime64[D]").astype(str)
    rows = zip(names, *counts, strict=True)
    return [Day(day=str(day), impressions=int(seen), actions=int(done)) for day, seen, done in rows]


def action_rates(view: View, entries: Timeline, shown: EventRows, acted: EventRows) -> list[ActionRate]:
    """How often each declared action was taken. `entries` are the timelines of all viewers."""
    outcomes = labels(view, entries, NEVER)[entries.shown]
    unprompted = last_shown(shown, acted) < 0
    found = []
    for column, action in enumerate(view.definition.actions):
        done = acted.name == view.names["action"].find(action.name)
        known = outcomes[~np.isnan(outcomes[:, column]), column]
        found.append(
            ActionRate(
                name=action.name,
                count=int(done.sum()),
                impressions=len(known),
                rate=float(known.mean(dtype=float)) if len(known) else None,
                unprompted=int((done & unprompted).sum()),
            )
        )
    return found


def _members(view: View, entries: Timeline) -> Members:
    viewer = view.definition.viewer.name
    everyone, lengths = view.all_rows(viewer), np.diff(entries.starts)
    lengths = lengths[view.alive(viewer, everyone, np.full_like(everyone, NEVER)) | (lengths > 0)]
    return Members(
        count=len(lengths),
        cold=int((lengths == 0).sum()),
        history={name: float(np.quantile(lengths, q)) for name, q in _QUANTILES.items()} if len(lengths) else {},
        buckets={name: int(((lengths >= low) & (lengths <= high)).sum()) for name, (low, high) in BUCKETS.items()},
    )


def _sessions(shown: EventRows, acted: EventRows) -> Sessions:
    viewer, time = (
        np.concatenate([shown.viewer[shown.dated], acted.viewer[acted.dated]]),
        np.concatenate([shown.time[shown.dated], acted.time[acted.dated]]),
    )
    order = np.lexsort((time, viewer))
    seen, viewer, time = order < int(shown.dated.sum()), viewer[order], time[order]
    new = np.append(True, (np.diff(viewer) != 0) | (np.diff(time) > SESSION_GAP))[: len(time)]
    starts = np.flatnonzero(new)
    if not len(starts):
        return Sessions(count=0, per_viewer=0.0, impressions=0.0, minutes=0.0)
    last = np.append(starts[1:], len(time)) - 1
    return Sessions(
        count=len(starts),
        per_viewer=len(starts) / len(np.unique(viewer)),
        impressions=float(seen.sum() / len(starts)),
        minutes=float((time[last] - time[starts]).mean() / 60_000),
    )


def _items(view: View, shown: EventRows) -> Items:
    item = view.definition.item.name
    rows = view.all_rows(item)
    counts = np.bincount(shown.item, minlength=len(rows))[: len(rows)]
    alive = view.alive(item, rows, np.full_like(rows, NEVER))
    cold = int((alive & (counts == 0)).sum())
    ranked = np.sort(counts[counts > 0])[::-1]
    shares = np.append(0, np.cumsum(ranked)) / max(int(ranked.sum()), 1)
    return Items(
        count=int(alive.sum()),
        cold=cold,
        coverage=1 - cold / max(int(alive.sum()), 1),
        top_1=_top(shares, 0.01),
        top_10=_top(shares, 0.1),
        curve=np.interp(np.linspace(0, len(ranked), 51), np.arange(len(shares)), shares).round(4).tolist(),
    )


def _top(shares: Float, part: float) -> float:
    count = len(shares) - 1
    return float(shares[min(max(round(part * count), 1), count)])


def attribute_uses(view: View) -> list[AttributeUse]:
    """Of each declared attribute, how many of the entities that exist have it."""
    return [use for entity in view.definition.entities for use in _uses(view, entity.name)]


def _uses(view: View, entity: str) -> Iterator[AttributeUse]:
    rows = view.all_rows(entity)
    end: Int = np.full_like(rows, NEVER)
    alive = rows[view.alive(entity, rows, end)]
    declared = next(one for one in view.definition.entities if one.name == entity)
    for attribute in declared.attributes:
        values = view.attribute(entity, attribute.name, alive, end[: len(alive)])
        given = values[~np.isnan(values)]
        yield AttributeUse(
            entity=entity,
            name=attribute.name,
            kind=attribute.kind,
            present=len(given) / max(len(alive), 1),
            distinct=len(np.unique(given)),
        )
