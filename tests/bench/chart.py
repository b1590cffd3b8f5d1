"""Bars as SVG.

What enters: names and numbers. What leaves: the text of a picture that shows in light and dark pages. What this file
must never know: what the numbers are of.
"""

from collections.abc import Sequence
from html import escape
from math import log10
from typing import NamedTuple

_WIDTH = 760
_LEFT = 150
"""Where the bars begin."""
_RIGHT = 90
"""Room for a number behind the longest bar."""
_BAR = 14
_GAP = 14
"""Between two groups."""
_TOP = 40
_COLOURS = ("#4477aa", "#cc6677", "#999933")
"""Told apart also by the colour-blind."""


class Group(NamedTuple):
    """Bars that stand together, one for each series; None where there is none."""

    name: str
    values: Sequence[float | None]


def bars(title: str, series: Sequence[str], groups: Sequence[Group]) -> str:
    """Horizontal bars on a logarithmic scale."""
    values = [value for group in groups for value in group.values if value]
    low = 10 ** int(log10(min(values))) if values else 1
    high = max(values) if values else 10
    height = _TOP + len(groups) * (len(series) * _BAR + _GAP) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *_axis(low, high, height),
        *_legend(series),
        f'<text x="{_WIDTH - 10}" y="20" text-anchor="end">{escape(title)}, logarithmic scale</text>',
    ]
    y = _TOP
    for group in groups:
        middle = y + len(series) * _BAR / 2 + 4
        parts.append(f'<text x="{_LEFT - 8}" y="{middle:.0f}" text-anchor="end">{escape(group.name)}</text>')
        for number, value in enumerate(group.values):
            if value:
                width = _x(value, low, high) - _LEFT
                parts.append(
                    f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{_COLOURS[number]}"/>'
                )
                parts.append(f'<text x="{_LEFT + width + 5:.1f}" y="{y + 10}" font-size="11">{value:,.0f}</text>')
            y += _BAR
        y += _GAP
    return "\n".join([*parts, "</svg>", ""])


def _x(value: float, low: float, high: float) -> float:
    span = max(log10(high / low), 1e-9)
    return _LEFT + max(2.0, log10(value / low) / span * (_WIDTH - _LEFT - _RIGHT))


def _axis(low: float, high: float, height: int) -> list[str]:
    """A line at each power of ten."""
    marks, power = [], low
    while power <= high:
        x = _x(power, low, high) if power > low else float(_LEFT)
        marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{height - 20}" stroke="#dddddd"/>')
        marks.append(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle" fill="#666666">{power:,.0f}</text>')
        power *= 10
    return marks


def _legend(series: Sequence[str]) -> list[str]:
    parts, x = [], _LEFT
    for number, name in enumerate(series):
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{_COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 17}" y="20">{escape(name)}</text>')
        x += 40 + 7 * len(name)
    return parts
