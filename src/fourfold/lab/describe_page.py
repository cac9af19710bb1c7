"""What is in a home as one HTML file with plots, which loads nothing from elsewhere."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from fourfold.lab.description import Description
from fourfold.lab.plots import STYLE, bars, columns, curve

_PAGE_STYLE = """
:root { color-scheme: light dark; --accent: #2563eb; --second: #f59e0b; --warn: #b45309; --edge: rgb(128 128 128 / .3); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
p.note { margin: 0 0 .6rem; opacity: .75; font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .6rem; padding: 0; }
.tiles li { list-style: none; border: 1px solid var(--edge); border-radius: 6px; padding: .5rem .8rem; }
.tiles b { display: block; font-size: 1.25rem; }
.wrong { border-left: 4px solid var(--warn); padding: .1rem 1rem; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; } th, td { text-align: left; padding: .2rem .9rem .2rem 0; }
td.n, th.n { text-align: right; } tr + tr td { border-top: 1px solid var(--edge); }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; background: var(--accent); }
.swatch.second { background: var(--second); }
"""


def describe_page(found: Sequence[Description]) -> str:
    """The page of some surfaces."""
    body = "".join(_surface(one) for one in found)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Fourfold: the data</title><style>{_PAGE_STYLE}{STYLE}</style></head>"
        f"<body><h1>What is in this home</h1>{body}</body></html>\n"
    )


def _surface(found: Description) -> str:
    return "".join(
        [
            f"<h2>{escape(found.surface)}</h2>",
            f'<p class="note">{_span(found)}; definition {escape(found.definition)}</p>',
            _tiles(found),
            _wrong(found),
            _traffic(found),
            _actions(found),
            _members(found),
            _items(found),
            _attributes(found),
        ]
    )


def _span(found: Description) -> str:
    if found.first is None or found.last is None:
        return "no dated impression or action"
    first, last = (datetime.fromtimestamp(time / 1000, UTC).strftime("%d %B %Y, %H:%M") for time in (found.first, found.last))
    undated = f"; {found.undated:,} impressions have no time of their own" if found.undated else ""
    return f"{first} to {last} UTC{undated}"


def _tiles(found: Description) -> str:
    tiles = {_plural(name): f"{count:,}" for name, count in found.events.items()}
    tiles |= {
        "members": f"{found.members.count:,}",
        "of them without history": f"{found.members.cold:,}",
        "items": f"{found.items.count:,}",
        "of them ever shown": f"{found.items.coverage:.1%}",
        "sessions": f"{found.sessions.count:,}",
        "impressions per session": f"{found.sessions.impressions:.1f}",
        "minutes per session": f"{found.sessions.minutes:.1f}",
    }
    return '<ul class="tiles">' + "".join(f"<li><b>{text}</b>{escape(name)}</li>" for name, text in tiles.items()) + "</ul>"


def _plural(kind: str) -> str:
    return f"{kind}s" if kind in ("impression", "action") else kind


def _wrong(found: Description) -> str:
    if not found.suspicious:
        return "<h3>Suspicious</h3><p>Nothing looks wrong.</p>"
    parts = ["<h3>Suspicious</h3>"]
    for one in found.suspicious:
        such = f" Such as: {escape(', '.join(one.examples))}." if one.examples else ""
        parts.append(
            f'<div class="wrong"><b>{one.count:,} {escape(one.what)}</b> ({one.share:.2%})<br>'
            f"{escape(one.meaning[:1].upper() + one.meaning[1:])}.{such}</div>"
        )
    return "".join(parts)


def _traffic(found: Description) -> str:
    if not found.days:
        return ""
    series = [("impressions", [day.impressions for day in found.days]), ("actions", [day.actions for day in found.days])]
    legend = '<span class="swatch"></span> impressions <span class="swatch second"></span> actions'
    plot = columns([day.day for day in found.days], series, "Impressions and actions per day")
    return f'<h3>Per day</h3><p class="note">{legend}, by the day on which they happened (UTC)</p>{plot}'


def _actions(found: Description) -> str:
    rates = [(one.name, one.rate or 0.0, "-" if one.rate is None else f"{one.rate:.2%}") for one in found.actions]
    note = "How many of the impressions were followed by the action"
    rows = [(one.name, f"{one.count:,}", f"{one.impressions:,}", f"{one.unprompted:,}") for one in found.actions]
    counts = _table(("action", "events", "impressions that tell", "events without an impression before"), rows)
    return f'<h3>Actions</h3><p class="note">{note}</p>{bars(rates, "Rate of each action")}{counts}'


def _members(found: Description) -> str:
    members = found.members
    shares = [(f"{name} entries", count, f"{count:,}") for name, count in members.buckets.items()]
    quantiles = ", ".join(f"{name} {value:,.0f}" for name, value in members.history.items())
    note = f"Members by the number of entries in their history ({quantiles})" if quantiles else "There are no members"
    return f'<h3>Members</h3><p class="note">{note}</p>{bars(shares, "Members by length of history")}'


def _items(found: Description) -> str:
    items = found.items
    note = (
        "Share of all impressions (upwards) that the most shown items have (to the right). "
        f"The top 1 % have {items.top_1:.1%}, the top 10 % have {items.top_10:.1%}. "
        f"{items.cold:,} of {items.count:,} items were never shown"
    )
    return f'<h3>Items</h3><p class="note">{note}</p>{curve(items.curve, "Concentration of impressions")}'


def _attributes(found: Description) -> str:
    if not found.attributes:
        return ""
    rows = [(f"{use.entity}.{use.name}", use.kind, f"{use.present:.1%}", f"{use.distinct:,}") for use in found.attributes]
    return "<h3>Attributes</h3>" + _table(("attribute", "kind", "present", "different values"), rows, text=2)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """A table whose first `text` columns are words and whose others are numbers."""

    def cells(tag: str, values: Sequence[str]) -> str:
        marks = ["" if place < text else ' class="n"' for place in range(len(values))]
        return "".join(f"<{tag}{mark}>{escape(value)}</{tag}>" for mark, value in zip(marks, values, strict=True))

    return f"<table><tr>{cells('th', head)}</tr>" + "".join(f"<tr>{cells('td', row)}</tr>" for row in rows) + "</table>"
