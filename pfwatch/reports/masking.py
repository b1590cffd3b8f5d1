"""A line cut into pieces, so that what differs from line to line can be masked, and what is private be replaced.

Enters: the body of a line. Leaves: its mask (Postfix's own words, with `<number>`, `<ip>`, `<text>` and so on for the
rest), and the body as it may be published: every blank, bracket and quote kept, but addresses from 192.0.2.0/24 and
2001:db8::/32, names under example.org, and quoted text blanked.
This file must never know how lines are counted or shown. It guesses, because nothing knows these lines: a bare word
that a stranger chose looks like a word of Postfix, until many lines differ in it (`wordings`).
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pfwatch.records.header import QUEUE_ID

TEXT = "<text>"
MOST_PIECES = 400
"""A line of Postfix has a hundred; what comes behind so many is one."""


class Piece(NamedTuple):
    """A part of a body. `kind` is a key of `_MASKS`, or `word` for what stays, or `other` for what stands between."""

    kind: str
    text: str


_MASKS = {
    "number": "<number>", "ip": "<ip>", "mail": "<mail>", "name": "<name>", "path": "<path>", "queue_id": "<queue id>",
    "value": TEXT, "text": TEXT, "angled": "text",
}  # fmt: skip

# Every alternative ends at the first character that it cannot have, so the time is linear whatever was typed.
_PIECES = re.compile(
    r"""(?P<quoted>"[^"]*+"|(?<!\w)'[^']*+'(?!\w))
    |(?P<angled><[^<>]*+>)
    |(?P<cut>"[^"]*+|<[^<>]++\Z)
    |(?P<client>[A-Za-z0-9._-]++\[(?:[0-9A-Fa-f:.]++|unknown)\])
    |(?P<word>[^\s"'<>()\[\]{},;=]++)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_BEFORE = re.compile(rf"({QUEUE_ID})(?=: )")
_NUMBER = re.compile(r"(0x[0-9a-fA-F]++|[+-]?[0-9]++(?:[.,][0-9]++)*+)([A-Za-z%]{0,2})")
_QUEUE_ID = re.compile(rf"(?=[A-Za-z]*+[0-9])(?!NOQUEUE){QUEUE_ID}")
_NAME = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*+)\.)++[A-Za-z][A-Za-z0-9-]++")
_FILES = (".cf", ".c", ".h", ".so", ".db", ".lmdb", ".cdb", ".pem", ".key", ".crt", ".conf", ".sock", ".lock", ".pid")
"""What ends like a name in the DNS and is a file."""
_DIGITS = re.compile(r"([0-9]++)")
_POSTFIX_WORD = re.compile(r"[A-Z][A-Z0-9_-]*+|yes|no|none|may|encrypt|dane|unknown|native|smtp|lmtp|local|virtual")
"""Values behind `=` that nobody typed."""


def pieces(body: str) -> list[Piece]:
    """A body cut into pieces; joined, they are the body."""
    found: list[Piece] = []
    begin = _BEFORE.match(body)
    if begin and begin[1] != "NOQUEUE":
        found.append(Piece("queue_id", begin[1]))
    for match in _PIECES.finditer(body, begin.end() if begin and found else 0):
        if len(found) >= MOST_PIECES:
            return [*found, Piece("text", body[match.start() :])]
        text = match[0]
        if match.lastgroup in {"quoted", "angled"}:
            kind = "other" if not text[1:-1] else "angled" if text[0] == "<" else "text"
            found += (Piece("other", text[0]), Piece(kind, text[1:-1]), Piece("other", text[-1]))
        elif match.lastgroup == "cut":  # Postfix cuts long lines anywhere
            found += (Piece("other", text[0]), Piece("text", text[1:]))
        elif match.lastgroup == "client":
            name, _, ip = text[:-1].partition("[")
            found += (Piece("name", name), Piece("other", "["), Piece("ip", ip), Piece("other", "]"))
        elif match.lastgroup == "word":
            cut = list(_word(text))
            is_value = bool(found) and found[-1].text == "=" and any(one.kind == "word" and one.text for one in cut)
            found += [Piece("value", text)] if is_value else cut
        else:
            found.append(Piece("other", text))
    return found


def _word(text: str) -> Iterator[Piece]:
    """What a run of characters without blanks, quotes and brackets is made of."""
    core = text.rstrip(".:!?")
    tail = text[len(core) :]
    if _is_ip(core):
        yield Piece("ip", core)
    elif "@" in core:
        yield Piece("mail", core)
    elif core.startswith("/") and len(core) > 1:
        yield Piece("path", core)
    elif (between := next((mark for mark in ":/" if mark in core), "")) and core != between:
        for number, part in enumerate(core.split(between)):
            if number:
                yield Piece("other", between)
            yield from _word(part)
    else:
        yield from _simple(core)
    yield Piece("other", tail)


def _simple(text: str) -> Iterator[Piece]:
    """What has no colon and no slash in it."""
    number = _NUMBER.fullmatch(text)
    if number:
        yield Piece("number", number[1])
        yield Piece("other", number[2])
    elif _QUEUE_ID.fullmatch(text):
        yield Piece("queue_id", text)
    elif _NAME.fullmatch(text) and not text.endswith(_FILES):
        yield Piece("name", text)
    else:
        yield from (Piece("number" if odd % 2 else "word", part) for odd, part in enumerate(_DIGITS.split(text)))


def _is_ip(text: str) -> bool:
    if not re.fullmatch(r"[0-9A-Fa-f:.]{3,45}", text):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def mask(cut: Sequence[Piece]) -> tuple[str, ...]:
    """The mask of a body, piece by piece; joined, it is what a person reads."""
    return tuple(_MASKS.get(piece.kind, piece.text) for piece in cut)


def published(host: str, cut: Sequence[Piece], its_mask: Sequence[str]) -> tuple[str, str]:
    """Host and body as they may be published. Words that the mask hides are blanked, too."""
    stand_ins = _StandIns()
    shown_host = stand_ins.of(Piece("name", host))
    shown = (
        _blanked(piece.text) if piece.kind == "word" and hidden == TEXT else stand_ins.of(piece)
        for piece, hidden in zip(cut, its_mask, strict=True)
    )
    return shown_host, "".join(shown)


class _StandIns:
    """Addresses and names that belong to nobody, the same one for the same text of a line."""

    _PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank")

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], int] = {}

    def of(self, piece: Piece) -> str:
        """What stands in for a piece; itself where nothing in it is private."""
        match piece.kind:
            case "ip":
                return self._ip(piece.text)
            case "mail":
                return self._mail(piece.text)
            case "name":
                return self._name(piece.text)
            case "path":
                return _path(piece.text)
            case "text" | "angled":
                return self._text(piece.text)
            case "value" if not _POSTFIX_WORD.fullmatch(piece.text):
                return self._person(piece.text)
        return _without_foreign_letters(piece.text)

    def _number(self, kind: str, text: str) -> int:
        return self._given.setdefault((kind, text.lower()), sum(1 for one, _ in self._given if one == kind) + 1)

    def _ip(self, text: str) -> str:
        if text == "unknown":
            return text
        ip = ipaddress.ip_address(text) if _is_ip(text) else None
        if ip and (ip.is_loopback or ip.is_unspecified):
            return text
        return f"2001:db8::{self._number('v6', text):x}" if ":" in text else f"192.0.2.{self._number('v4', text)}"

    def _name(self, text: str) -> str:
        if text in {"unknown", "localhost"}:
            return text
        return f"mx{self._number('name', text)}" + (".example.org" if "." in text else "")

    def _mail(self, text: str) -> str:
        return f"{self._person(text)}@example.org"

    def _person(self, text: str) -> str:
        number = self._number("person", text)
        return self._PEOPLE[number - 1] if number <= len(self._PEOPLE) else f"user{number}"

    def _text(self, text: str) -> str:
        (whole,) = (list(_word(text))[:1] or [Piece("text", text)]) if " " not in text else [Piece("text", text)]
        if whole.text == text and whole.kind in {"ip", "mail", "name", "number"}:
            return self.of(whole)
        return _blanked(text)


def _path(text: str) -> str:
    """Postfix's and the system's own places stay; whose mailbox it is does not."""
    if text.startswith(("/etc/", "/usr/", "/lib", "/dev/", "/run/", "/proc/", "/var/spool/postfix/", "/var/lib/")):
        return text
    _, first, *rest = text.split("/")
    return "/".join(("", first, *("user" if part else "" for part in rest)))


def _blanked(text: str) -> str:
    """Letters become x and digits 0: the shape stays."""
    return "".join("x" if one.isalpha() else "0" if one.isdigit() else one for one in text)


def _without_foreign_letters(text: str) -> str:
    """Postfix's own words are ASCII; other letters were typed by somebody."""
    return text if text.isascii() else "".join("x" if one > "\x7f" and one.isalpha() else one for one in text)
