"""Text from outside, made fit to be shown: nothing in it can hide, reorder, break a line or fill the page.

Enters: any text. Leaves: one line of printable text of bounded length.
This file must never know where a text comes from or where it is shown; HTML is escaped by the templates.
"""

import unicodedata

LIMIT = 256
"""Characters of an untrusted text that are shown at most."""

_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_MARKS_IN_A_ROW = 2
"""Combining marks that a letter may carry in real writing; a tower of them climbs over the neighbouring lines."""


def visible(text: str, limit: int = LIMIT) -> str:
    r"""`text` with everything invisible written as `\x..`, `\u....` or `\U........`, cut at `limit` characters."""
    shown: list[str] = []
    length = marks = 0
    for position, character in enumerate(text):
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        piece = character if marks <= _MARKS_IN_A_ROW and _is_plain(character) else _escaped(character)
        if length + len(piece) > limit - (position < len(text) - 1):
            return "".join(shown) + "…"
        shown.append(piece)
        length += len(piece)
    return "".join(shown)


def _is_plain(character: str) -> bool:
    """Controls, format characters (BiDi, zero width), odd spaces, surrogates and unassigned ones are not printable."""
    variation_selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return character.isprintable() and character not in _BLANK_LETTERS and not variation_selector


def _escaped(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
