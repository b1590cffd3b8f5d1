"""A log line with the parts marked that an event's fields were read from.

Enters: a line and where its fields stand. Leaves: the line in rows, each with a row of marks below it.
This file must never know what a field means, nor how its place was found.
"""

import itertools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import click

from pfwatch.alerting.visible import visible
from pfwatch.cli.places import Span

_SHOWN = 2400
"""Bytes of a line that are shown: Postfix cuts its own at 2,000 and the header."""
_RAGGED = 40
"""Columns that a row may end early to break at a blank."""


class _Cell(NamedTuple):
    """A character on the terminal."""

    text: str
    columns: int
    field: str | None
    is_first: bool


def marked(
    line: bytes, spans: Sequence[Span], keys: Mapping[str, str], untrusted: frozenset[str], width: int
) -> Iterator[str]:
    """The line in rows of at most `width` columns: `-` below what Postfix wrote, `~` below what may say anything."""
    for row in _rows(list(_cells(line, [span for span in spans if span.field in keys])), width):
        text, marks = "", ""
        for field, run in itertools.groupby(row, key=lambda cell: cell.field):
            cells = list(run)
            colour = None if field is None else "yellow" if field in untrusted else "cyan"
            run_text = "".join(cell.text for cell in cells)
            text += run_text if field is None else click.style(run_text, fg=colour)
            fill = " " if field is None else "~" if field in untrusted else "-"
            run_marks = "".join(_mark(cell, keys, fill) for cell in cells)
            marks += run_marks if field is None else click.style(run_marks, fg=colour)
        yield text.rstrip()
        if marks.strip():
            yield marks.rstrip()


def _mark(cell: _Cell, keys: Mapping[str, str], fill: str) -> str:
    """What stands below a character."""
    if cell.is_first and cell.field is not None:
        return keys[cell.field] + fill * (cell.columns - 1)
    return fill * cell.columns


def _cells(line: bytes, spans: Sequence[Span]) -> Iterator[_Cell]:
    """The characters as they are shown. Of spans that overlap the shorter one has the place."""
    shown = line[:_SHOWN]
    owners: list[Span | None] = [None] * len(shown)
    for span in sorted(spans, key=lambda span: span.begin - span.end):
        owners[span.begin : span.end] = [span] * (min(span.end, len(shown)) - min(span.begin, len(shown)))
    seen: set[Span] = set()
    for owner, run in itertools.groupby(range(len(shown)), key=lambda place: owners[place]):
        places = list(run)
        piece = shown[places[0] : places[-1] + 1].decode("utf-8", "backslashreplace")
        for character in visible(piece, 12 * len(piece) + 1):
            is_first = owner is not None and owner not in seen and character != " "
            if owner is not None and is_first:
                seen.add(owner)
            yield _Cell(character, columns_of(character), owner.field if owner else None, is_first)
    if len(line) > len(shown):
        yield _Cell("…", 1, None, is_first=False)


def _rows(cells: list[_Cell], width: int) -> Iterator[list[_Cell]]:
    """Rows that break at a blank where one is near."""
    while cells:
        columns = end = 0
        while end < len(cells) and columns + cells[end].columns <= width:
            columns += cells[end].columns
            end += 1
        if end < len(cells):
            blank = next((n for n in range(end, max(end - _RAGGED, 0), -1) if cells[n - 1].text == " "), None)
            end = blank or end
        drop = cells[end - 1].text == " " and not cells[end - 1].is_first
        yield cells[: end - drop]
        cells = cells[end:]


@lru_cache(maxsize=4096)
def columns_of(character: str) -> int:
    """How wide a terminal shows it."""
    if unicodedata.category(character).startswith("M"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
