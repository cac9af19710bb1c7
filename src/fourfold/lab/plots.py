"""Plots as inline SVG, for pages that are one file and load nothing. Colours and fonts come from the page's style."""

from collections.abc import Sequence
from html import escape

WIDTH = 720

STYLE = """
svg { width: 100%; max-width: 720px; height: auto; font: 12px system-ui, sans-serif; fill: currentColor; }
svg .bar { fill: var(--accent); } svg .second { fill: var(--second); }
svg .line { fill: none; stroke: var(--accent); stroke-width: 2; }
svg .axis { stroke: currentColor; stroke-opacity: .25; fill: none; } svg .faint { fill-opacity: .65; }
"""
"""What a page must say of plots; it defines `--accent` and `--second`."""


def bars(rows: Sequence[tuple[str, float, str]], title: str) -> str:
    """Horizontal bars: a label, a value of at least 0, and the text that stands beside the bar."""
    label, text, step = 190, 90, 24
    top = max((value for _, value, _ in rows), default=0) or 1
    parts = []
    for row, (name, value, shown) in enumerate(rows):
        y = row * step
        width = (WIDTH - label - text) * value / top
        parts.append(f'<text x="{label - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar" x="{label}" y="{y + 4}" width="{width:.1f}" height="{step - 8}" rx="2"/>')
        parts.append(f'<text class="faint" x="{label + width + 6:.1f}" y="{y + 16}">{escape(shown)}</text>')
    return _svg(parts, max(len(rows), 1) * step, title)


def columns(labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], title: str) -> str:
    """Vertical columns side by side, of one or two series; the first, the middle and the last label are written."""
    left, height, base = 70, 180, 200
    top = max((value for _, values in series for value in values), default=0) or 1
    slot = (WIDTH - left) / max(len(labels), 1)
    width = slot * 0.8 / len(series)
    parts = [
        f'<path class="axis" d="M{left} {base - height}V{base}H{WIDTH}"/>',
        f'<text class="faint" x="{left - 8}" y="{base - height + 10}" text-anchor="end">{top:,}</text>',
        f'<text class="faint" x="{left - 8}" y="{base}" text-anchor="end">0</text>',
    ]
    for index, (name, values) in enumerate(series):
        for place, value in enumerate(values):
            x, tall = left + place * slot + slot * 0.1 + index * width, height * value / top
            said = escape(f"{labels[place]}: {value:,} {name}")
            parts.append(
                f'<rect class="{("bar", "second")[index]}" x="{x:.1f}" y="{base - tall:.1f}" width="{width:.1f}" '
                f'height="{tall:.1f}"><title>{said}</title></rect>'
            )
    for place in sorted({0, len(labels) // 2, len(labels) - 1} if labels else set()):
        anchor = "start" if place == 0 else "end" if place == len(labels) - 1 else "middle"
        x = left + place * slot + slot * (0.0 if place == 0 else 1.0 if anchor == "end" else 0.5)
        parts.append(f'<text class="faint" x="{x:.1f}" y="{base + 16}" text-anchor="{anchor}">{escape(labels[place])}</text>')
    return _svg(parts, base + 22, title)


def curve(values: Sequence[float], title: str) -> str:
    """Shares from 0 to 1 at even steps from 0 to 100 %, and the diagonal to compare with."""
    left, size, bottom = 50, 260, 10 + 260
    points = [
        f"{left + size * place / max(len(values) - 1, 1):.1f},{bottom - size * value:.1f}" for place, value in enumerate(values)
    ]
    parts = [
        f'<path class="axis" d="M{left} 10V{bottom}H{left + size}M{left} {bottom}L{left + size} 10"/>',
        f'<polyline class="line" points="{" ".join(points)}"/>',
        f'<text class="faint" x="{left - 6}" y="20" text-anchor="end">100 %</text>',
        f'<text class="faint" x="{left - 6}" y="{bottom}" text-anchor="end">0 %</text>',
        f'<text class="faint" x="{left + size}" y="{bottom + 16}" text-anchor="end">100 %</text>',
    ]
    return _svg(parts, bottom + 22, title)


def _svg(parts: Sequence[str], height: int, title: str) -> str:
    said = escape(title)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
