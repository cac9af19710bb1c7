"""An evaluation as one HTML file that a product manager can read: every figure with what it means, nothing loaded."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from fourfold.lab.buckets import ByAction
from fourfold.lab.evaluation import Evaluation
from fourfold.lab.evaluation_plots import STYLE, Range, Steps, calibration, panels, ranges
from fourfold.lab.list_metrics import ListMetrics
from fourfold.lab.plots import STYLE as PLOT_STYLE
from fourfold.training.evaluation import ActionMetrics

FEWEST = 20
"""Positives below which a part of the impressions is not drawn."""

_PAGE_STYLE = """
:root { color-scheme: light dark; --accent: #2563eb; --second: #f59e0b; --warn: #b45309; --edge: rgb(128 128 128 / .3); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.4rem; }
p.note { margin: .5rem 0 .8rem; opacity: .8; font-size: .92rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .6rem; padding: 0; }
.tiles li { list-style: none; border: 1px solid var(--edge); border-radius: 6px; padding: .5rem .8rem; }
.tiles b { display: block; font-size: 1.2rem; }
.careful { border-left: 4px solid var(--warn); padding: .1rem 1rem; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .88rem; } th, td { text-align: right; padding: .2rem .8rem .2rem 0; }
th:first-child, td:first-child { text-align: left; } tr + tr td { border-top: 1px solid var(--edge); }
.key { color: var(--accent); } .other { color: var(--second); }
"""

_AUC = (
    "Take one impression after which a member did it and one after which not: this is how often the model rates the first one "
    "higher. 0.5 is a coin, 1 is perfect. The line is the 95 % interval, the "
    '<span class="other">diamond</span> what the popularity of the item alone reaches.'
)
_CALIBRATED = (
    "Impressions in ten groups by the probability that the model gave (to the right), and what really happened (upwards). On "
    "the diagonal, one in five means one in five: slates weigh actions against each other by these numbers."
)
_HISTORY = (
    "The same, apart by how many impressions the member had before: 0, 1 to 5, 6 to 20, 21 or more. A model that only serves "
    "regulars well shows it on the left."
)
_AGE = (
    "The same, apart by the age of the item in days: less than 1, less than 7, less than 30, older. What is new has no past to "
    "go by."
)
_LISTS = (
    "For each member, the share of what they liked afterwards, and had never been shown before, that was on a list made before "
    "it, out of the whole catalogue. Nobody was shown these lists, so a member can only have liked what an older system chose: "
    "the figures are low for all, and compare."
)
_REACH = "How much of it each source finds when it may name 500: what no source finds, no ranking can show."


def evaluation_page(found: Evaluation) -> str:
    """The page of an evaluation."""
    name = f"{found.surface} {found.version}"
    sections = (_judged(found), _actions(found), _calibration(found.actions), _parts(found), _lists(found))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Fourfold: {escape(name)} judged</title><style>{_PAGE_STYLE}{PLOT_STYLE}{STYLE}</style></head>"
        f"<body><h1>How good is {escape(name)}?</h1>{''.join(sections)}</body></html>\n"
    )


def verdict(found: ActionMetrics) -> str:
    """An action's AUC against popularity, in words."""
    if found.auc is None or found.auc_ci is None or found.popularity_auc is None:
        return "cannot be judged: it happened never, or always"
    low, high = found.auc_ci
    if low > found.popularity_auc:
        return "is predicted better than by popularity"
    if high < found.popularity_auc:
        return "is predicted worse than by popularity alone"
    return "is not clearly predicted better than by popularity"


def _judged(found: Evaluation) -> str:
    tiles = {
        "impressions": f"{found.impressions:,}",
        "members": f"{found.members:,}",
        "of them new": f"{found.new_members:,}",
        "new items": f"{found.new_items:,}",
    }
    known = {
        "request": "everything that happened before it",
        "day": "what was known at midnight (UTC) before it",
    }[found.freshness]
    said = (
        f"Judged on requests from {_moment(found.since)} to {_moment(found.until)} UTC that this version never learned from, "
        f"each with {known}."
    )
    listed = "".join(f"<li><b>{value}</b>{escape(label)}</li>" for label, value in tiles.items())
    warned = "".join(f'<p class="careful">Careful: {escape(warning)}.</p>' for warning in found.warnings)
    return f'<p>{said}</p><ul class="tiles">{listed}</ul>{warned}'


def _actions(found: Evaluation) -> str:
    if not found.actions:
        return "<h2>Actions</h2><p>This version has no ranker: it predicts no action.</p>"
    rows = [Range(name, one.auc, one.auc_ci, one.popularity_auc) for name, one in found.actions.items()]
    sentences = "".join(f"<li><b>{escape(name)}</b> {verdict(one)}.</li>" for name, one in found.actions.items())
    columns = ["action", "impressions", "positives", "AUC", "95 %", "in member", "popularity", "NE", "ECE"]
    table = [
        [
            name,
            f"{one.impressions:,}",
            f"{one.positives:,}",
            _number(one.auc),
            _span(one.auc_ci),
            _number(one.member_auc),
            _number(one.popularity_auc),
            _number(one.ne),
            _number(one.ece),
        ]
        for name, one in found.actions.items()
    ]
    meaning = (
        "In member: the same within one member's impressions, which is what orders a slate. NE: the error beside "
        "that of always saying the mean; below 1 the model knows something. ECE: how far probabilities are off, on average."
    )
    return (
        f'<h2>What members do: how well it is foreseen</h2><p class="note">{_AUC}</p>'
        f"{ranges(rows, 'AUC of each action', start=0.5, stop=1.0)}<ul>{sentences}</ul>"
        f'{_table(columns, table)}<p class="note">{meaning}</p>'
    )


def _calibration(actions: Mapping[str, ActionMetrics]) -> str:
    curves = [(name, one.calibration) for name, one in actions.items() if one.positives >= FEWEST]
    if not curves:
        return ""
    drawn = calibration(curves, "Predicted against observed")
    return f'<h2>Do the probabilities mean what they say?</h2><p class="note">{_CALIBRATED}</p>{drawn}'


def _parts(found: Evaluation) -> str:
    if found.buckets is None:
        return ""
    return (
        f'<h2>New members and regulars</h2><p class="note">{_HISTORY}</p>{_by_part(found.buckets.history)}'
        f'<h2>New and old items</h2><p class="note">{_AGE}</p>{_by_part(found.buckets.item_age)}'
    )


def _by_part(parts: Mapping[str, ByAction]) -> str:
    """A panel for each action that happened often enough, and how many impressions each part has."""
    actions = list(next(iter(parts.values())))
    steps = []
    for action in actions:
        enough = [one[action] if one[action].positives >= FEWEST else None for one in parts.values()]
        if any(enough):
            values = [one.auc if one else None for one in enough]
            steps.append(Steps(action, values, [one.popularity_auc if one else None for one in enough]))
    counts = [f"{max((one.impressions for one in part.values()), default=0):,}" for part in parts.values()]
    table = _table(["", *parts], [["impressions", *counts]])
    return panels(steps, list(parts), "AUC by part") + table


def _lists(found: Evaluation) -> str:
    lists: dict[str, ListMetrics] = {"slate": found.slates, **found.sources} if found.slates else {}
    if not lists:
        return "<h2>Lists</h2><p>Nobody liked an item that was new to them: there is nothing to find.</p>"
    k = next(name.partition("@")[2] for name in found.slates if name.startswith("coverage@"))
    shallow, deep = ([_range(name, one, f"recall@{cut}") for name, one in lists.items()] for cut in (k, "500"))
    deep = [row for row in deep if row.name != "slate"]
    columns = ["lists", f"recall@{k}", f"NDCG@{k}", "recall@500", "coverage", "novelty", "diversity"]
    names = [f"recall@{k}", f"ndcg@{k}", "recall@500", f"coverage@{k}", f"novelty@{k}", f"diversity@{k}"]
    table = [[name, *(_number(one.get(metric)) for metric in names)] for name, one in lists.items()]
    meaning = (
        "NDCG: as recall, but the first places count most. Coverage: the share of the catalogue that appears on any list. "
        "Novelty: how seldom the items were shown before, in bits. Diversity: how unlike each other the items of a list are, "
        "by their categories; 1 is nothing in common. Union: all sources, what several propose early first."
    )
    return (
        f'<h2>Finding what members did not know</h2><p class="note">{_LISTS}</p>'
        f"{_drawn(shallow, f'Recall of lists of {k}')}"
        f'<h2>The reach of the sources</h2><p class="note">{_REACH}</p>{_drawn(deep, "Recall at 500")}'
        f'{_table(columns, table)}<p class="note">{meaning} {int(found.slates.get("members") or 0):,} members were asked.</p>'  # type: ignore[arg-type]  # a count
    )


def _range(name: str, metrics: ListMetrics, metric: str) -> Range:
    value, interval = metrics.get(metric), metrics.get(f"{metric}_ci")
    return Range(name, value if isinstance(value, int | float) else None, interval if isinstance(interval, tuple) else None)


def _drawn(rows: Sequence[Range], title: str) -> str:
    top = max([row.interval[1] for row in rows if row.interval], default=1.0) or 1.0
    return ranges(rows, title, start=0.0, stop=min(top * 1.05, 1.0))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _span(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%d %B %Y, %H:%M")
