"""Which wordings the lines have that no rule reads, and how often each came.

Enters: `unsupported` events. Leaves: `Wording`s, the most frequent first, each with one record as evidence.
Lines of one daemon and severity whose masks are equal are one wording. Where many masks differ in one word only, that
word was somebody's (a user, a table, a transport), and they become one, too.
This file must never know where the lines come from, nor how a wording is shown.
"""

import msgspec

from pfwatch.events import Unsupported
from pfwatch.reports.masking import TEXT, Piece, mask, pieces, published

MOST = 2000
"""Wordings that are kept apart: about 5 MB of examples, and far more than Postfix has that we do not read. What does
not fit, which only text from outside brings about, is counted together."""
ALIKE = 8
"""So many masks that differ in one word are one wording: fewer may be Postfix's own words."""
_LONGEST = 2000
"""Bytes of a body that are looked at; Postfix cuts there, too."""

_MOST_POSITIONS = 60
"""Where in a mask such a word is looked for."""

_Key = tuple[str, str, tuple[str, ...]]
"""Daemon, severity, mask."""


class Wording(msgspec.Struct, frozen=True):
    """One wording: `example` is a line as it stood in the log, or as it may be published. Both may be hostile."""

    daemon: str
    severity: str
    count: int
    template: str
    example: str
    published: str


class _Seen(msgspec.Struct):
    """A wording while it is counted: how many lines, and the first of them."""

    count: int
    event: Unsupported


class Wordings:
    """Counts. `other` are lines whose wordings did not fit."""

    def __init__(self) -> None:
        self.other = 0
        self._seen: dict[_Key, _Seen] = {}
        self._merged: set[_Key] = set()
        self._full = False

    def add(self, event: Unsupported) -> None:
        """Count one line."""
        envelope = event.envelope
        key = (envelope.daemon or "", envelope.severity, mask(_pieces_of(event)))
        seen = self._seen.get(key) or (self._seen.get(self._alike(key) or key) if self._merged else None)
        if seen is None and len(self._seen) >= MOST and not self._full:
            self._merge()
            self._full = len(self._seen) > MOST * 0.9
            seen = self._seen.get(self._alike(key) or key)
        if seen is not None:
            seen.count += 1
        elif len(self._seen) < MOST:
            self._seen[key] = _Seen(1, event)
        else:
            self.other += 1

    def most_frequent(self) -> list[Wording]:
        """Every wording, the most frequent first."""
        self._merge()
        found = [_wording(key, seen) for key, seen in self._seen.items()]
        return sorted(found, key=lambda one: (-one.count, one.daemon, one.severity, one.template))

    def _alike(self, key: _Key) -> _Key | None:
        hidden = (_without_word(key, position) for position in _positions(key))
        return next((one for one in hidden if one in self._merged), None)

    def _merge(self) -> None:
        """Make one of what differs in one word: word by word, so that little is held at a time."""
        for position in range(_MOST_POSITIONS):
            alike: dict[_Key, list[_Key]] = {}
            for key in self._seen:
                if position in _positions(key):
                    alike.setdefault(_without_word(key, position), []).append(key)
            for hidden, keys in alike.items():
                if len(keys) >= ALIKE or hidden in self._merged:
                    merged = self._seen.get(hidden) or _Seen(0, self._seen[keys[0]].event)
                    merged.count += sum(self._seen.pop(key).count for key in keys)
                    self._seen[hidden] = merged
                    self._merged.add(hidden)


def _positions(key: _Key) -> list[int]:
    """Where a mask has plain words that may be somebody's. Of a few words each is needed to know the wording by."""
    plain = [position for position, text in enumerate(key[2][:_MOST_POSITIONS]) if text[:1].isalpha()]
    return plain[1:] if len(plain) > 3 else []


def _without_word(key: _Key, position: int) -> _Key:
    daemon, severity, its_mask = key
    return daemon, severity, (*its_mask[:position], TEXT, *its_mask[position + 1 :])


def _pieces_of(event: Unsupported) -> list[Piece]:
    return pieces(_text(event.envelope.record[4][:_LONGEST]))


def _wording(key: _Key, seen: _Seen) -> Wording:
    daemon, severity, its_mask = key
    time, host, tag, pid, body = map(_text, seen.event.envelope.record)
    if time[:1].isdigit() and time[10:11] != "T":  # forms of journalctl that few tools read
        time = seen.event.envelope.stamp
    process = f"{tag}[{pid}]" if pid else tag
    shown_host, shown_body = published(host, _pieces_of(seen.event), its_mask)
    example, to_publish = f"{time} {host} {process}: {body}", f"{time} {shown_host} {process}: {shown_body}"
    return Wording(daemon, severity, seen.count, "".join(its_mask), example, to_publish)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
