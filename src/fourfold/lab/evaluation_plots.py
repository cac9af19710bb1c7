"""The plots of a page on an evaluation, as inline SVG: values with intervals, predicted against observed, values by part."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from fourfold.lab.plots import WIDTH
from fourfold.training.metrics import Bin, Interval

_LABEL, _TEXT, _STEP = 160, 150, 26

STYLE = """
svg .dot { fill: var(--accent); } svg .mark { fill: none; stroke: var(--second); stroke-width: 2.5; }
svg .span { stroke: var(--accent); stroke-width: 2; } svg .grid { stroke: currentColor; stroke-opacity: .15; }
svg .path { fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-opacity: .5; }
svg .path.other { stroke: var(--second); stroke-dasharray: 4 3; }
"""
"""What a page must say of these plots, beside `fourfold.lab.plots.STYLE`."""


class Range(NamedTuple):
    """A row of `ranges`: a value with its interval, and what it must beat."""

    name: str
    value: float | None
    interval: Interval | None
    reference: float | None = None


class Steps(NamedTuple):
    """A panel of `panels`: values by part, and what each must beat; None where a part says nothing."""

    name: str
    values: Sequence[float | None]
    references: Sequence[float | None]


def ranges(rows: Sequence[Range], title: str, *, start: float, stop: float) -> str:
    """Dots with their intervals on one scale from `start` to `stop`; a diamond where the reference stands."""
    width, height = WIDTH - _LABEL - _TEXT, max(len(rows), 1) * _STEP

    def place(value: float) -> float:
        return _LABEL + width * (min(max(value, start), stop) - start) / (stop - start)

    parts = []
    for tick in range(5):
        value = start + (stop - start) * tick / 4
        parts.append(f'<path class="grid" d="M{place(value):.1f} 0V{height}"/>')
        parts.append(f'<text class="faint" x="{place(value):.1f}" y="{height + 16}" text-anchor="middle">{value:.2f}</text>')
    for index, row in enumerate(rows):
        y = index * _STEP + _STEP // 2
        parts.append(f'<text x="{_LABEL - 12}" y="{y + 4}" text-anchor="end">{escape(row.name)}</text>')
        if row.reference is not None:
            parts.append(_diamond(place(row.reference), y))
        if row.interval is not None:
            parts.append(f'<path class="span" d="M{place(row.interval[0]):.1f} {y}H{place(row.interval[1]):.1f}"/>')
        if row.value is not None:
            parts.append(f'<circle class="dot" cx="{place(row.value):.1f}" cy="{y}" r="4.5"/>')
        parts.append(f'<text class="faint" x="{WIDTH - _TEXT + 12}" y="{y + 4}">{_said(row)}</text>')
    return _svg(parts, height + 22, title)


def calibration(curves: Sequence[tuple[str, Sequence[Bin]]], title: str) -> str:
    """One panel per action, predicted to the right and observed upwards, each on its own scale, with the diagonal."""
    return _grid([(name, _calibrated(curve)) for name, curve in curves], 150, title)


def panels(found: Sequence[Steps], parts: Sequence[str], title: str, *, start: float = 0.5, stop: float = 1.0) -> str:
    """One panel per action with a dot for each part, all on one scale from `start` to `stop` (values below it at its foot)."""
    return _grid([(one.name, _stepped(one, parts, start, stop)) for one in found], 150, title)


def _calibrated(curve: Sequence[Bin]) -> list[str]:
    top = max([one.predicted for one in curve] + [one.observed for one in curve], default=0.0) or 1.0
    size, bottom, left = 110, 130, 34
    highest = bottom - size
    said = f"{top:.0%}" if top >= 0.1 else f"{top:.1%}"
    points = [(left + size * one.predicted / top, bottom - size * one.observed / top) for one in curve]
    return [
        f'<path class="axis" d="M{left} {highest}V{bottom}H{left + size}M{left} {bottom}L{left + size} {highest}"/>',
        f'<polyline class="path" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>',
        *(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{one.count:,} impressions: predicted '
            f"{one.predicted:.2%}, observed {one.observed:.2%}</title></circle>"
            for (x, y), one in zip(points, curve, strict=True)
        ),
        f'<text class="faint" x="{left - 4}" y="{highest + 8}" text-anchor="end">{said}</text>',
        f'<text class="faint" x="{left - 4}" y="{bottom}" text-anchor="end">0</text>',
    ]


def _stepped(one: Steps, parts: Sequence[str], start: float, stop: float) -> list[str]:
    size, bottom, left = 110, 112, 34
    gap = size / max(len(parts) - 1, 1)

    def height(value: float) -> float:
        return bottom - 86 * (min(max(value, start), stop) - start) / (stop - start)

    drawn = [
        f'<path class="axis" d="M{left - 8} {height(stop):.1f}V{bottom}H{left + size + 8}"/>',
        f'<text class="faint" x="{left - 12}" y="{height(stop) + 8:.1f}" text-anchor="end">{stop:.1f}</text>',
        f'<text class="faint" x="{left - 12}" y="{bottom}" text-anchor="end">{start:.1f}</text>',
    ]
    for css, values in (("path other", one.references), ("path", one.values)):
        known = [f"{left + place * gap:.1f},{height(value):.1f}" for place, value in enumerate(values) if value is not None]
        drawn.append(f'<polyline class="{css}" points="{" ".join(known)}"/>')
    for place, (name, value, reference) in enumerate(zip(parts, one.values, one.references, strict=True)):
        x = left + place * gap
        drawn.append(f'<text class="faint" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{escape(_short(name))}</text>')
        if reference is not None:
            drawn.append(_diamond(x, height(reference)))
        if value is not None:
            said = escape(f"{one.name}, {name}: {value:.3f}")
            drawn.append(f'<circle class="dot" cx="{x:.1f}" cy="{height(value):.1f}" r="4"><title>{said}</title></circle>')
    return drawn


def _grid(found: Sequence[tuple[str, Sequence[str]]], tall: int, title: str, across: int = 4) -> str:
    wide = WIDTH / across
    parts = []
    for index, (name, drawn) in enumerate(found):
        x, y = index % across * wide, index // across * (tall + 20)
        parts.append(f'<g transform="translate({x:.0f} {y})"><text x="34" y="12">{escape(name)}</text>{"".join(drawn)}</g>')
    return _svg(parts, (tall + 20) * max(-(-len(found) // across), 1), title)


def _diamond(x: float, y: float) -> str:
    return f'<path class="mark" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"/>'


def _said(row: Range) -> str:
    if row.value is None:
        return "not defined"
    return f"{row.value:.3f}" + (f" against {row.reference:.3f}" if row.reference is not None else "")


def _short(name: str) -> str:
    """A part's name without what the heading says already."""
    return name.removesuffix(" days").removesuffix(" day")


def _svg(parts: Sequence[str], height: float, title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
