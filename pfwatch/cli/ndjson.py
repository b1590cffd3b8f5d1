"""Events as lines of JSON, as `as_object` has them.

Enters: events and hits, and which of them are asked for. Leaves: lines. This file must never know a kind, nor a
wording.

In an attack every other line is a hit, and most hits have much in common. So the line of one is put together from
texts that were encoded before: one for its moment, one for its client, one for all that has the same words behind him
but for what was typed. Only where such words are new is an event built.
"""

import re
from typing import Any

import msgspec

from pfwatch.cli.composer import AGAIN, Around, Parts, Template, parts_of
from pfwatch.cli.selection import Selection
from pfwatch.events import Event, as_object, client_object
from pfwatch.parsing.fragments import client_of, untrusted
from pfwatch.parsing.hits import TRUNCATED, Hit, event_of, number_of
from pfwatch.records.time import Moment

try:
    from pfwatch.cli.composing import Composer
except ImportError:  # built where there is a C compiler
    from pfwatch.cli.composer import Composer  # type: ignore[assignment]

_BYTE = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_GROUP = rb"[1-9a-f][0-9a-f]{0,3}"
_PLAIN_CLIENT = re.compile(
    rb"([A-Za-z0-9._-]++)\[((?:" + _BYTE + rb"\.){3}" + _BYTE
    + rb"|(?:" + _GROUP + rb":){1,6}(?::" + _GROUP + rb"){1,6})\]"
)  # fmt: skip
"""One whose address is as `client_of` would write it, without a port: nearly all of them, and many come once."""
_MOST_COLONS = 6
"""In an address in which `::` stands for two groups or more."""
_LONGEST_CLIENT = 500
_VARYING = ("at", "pid", "client_ip")
_encode = msgspec.json.Encoder().encode


class JsonLines:
    """Writes those that are asked for."""

    def __init__(self, selection: Selection) -> None:
        self._composer = Composer(_Texts(selection))

    def of(self, events: list[Event | Hit]) -> bytes:
        """The lines of some events."""
        return self._composer.of(events)


class _Texts:
    """The texts of lines, encoded."""

    longest_client = _LONGEST_CLIENT
    longest_body = TRUNCATED - _LONGEST_CLIENT
    """Without the client. What is longer may have been cut by Postfix, as the line says then."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.in_time = selection.in_time

    def learn(self, hit: Hit) -> Template | None:
        """The template of a hit; None where its line cannot be put together."""
        event = event_of(hit)
        _, first, *fields = event.__struct_fields__
        if type(event) is not hit.hits.kind or first != "client":
            return None
        around = _around(event) if self._selection.of_kind(event) and self._selection.of_account(event) else None
        parts = parts_of(hit)
        if self._selection.accounts or not _is_told(parts, event):
            parts = Parts((hit.tail,), (), ())
        written, holes, text = [], [], b""
        again = dict(hit.hits.form.plain.again)
        for name in fields:
            if name in again:  # all of them stand one behind the other
                if name == next(iter(again)):
                    written.append(text)
                    holes.append(AGAIN)
                    text = b""
                continue
            text += b"," + _encode(name) + b":"
            if name in parts.names:
                written.append(text)
                holes.append(parts.names.index(name))
                text = b""
            else:
                text += _encode(getattr(event, name))
        return Template(around, parts.tail, (*written, text + b"}\n"), tuple(holes))

    def client(self, client: bytes) -> bytes | None:
        """A client; None where he is not asked for."""
        plain = None if self._selection.has_networks else _PLAIN_CLIENT.fullmatch(client)
        if plain and plain[2].count(b":") <= _MOST_COLONS:
            return b'"client_ip":"%b","client_name":"%b","client_port":null' % (plain[2], plain[1])
        found = client_of(client)
        return _members(client_object(found)) if self._selection.of_client(found) else None

    def again(self, hit: Hit) -> bytes:
        """The fields that tell of the client again."""
        client = client_of(hit.client)
        return b"," + _members({name: getattr(client, what) for name, what in hit.hits.form.plain.again})

    def pid(self, pid: bytes) -> bytes:
        """The number of a process."""
        return _encode(number_of(pid))

    def typed(self, text: bytes) -> bytes:
        """What was typed."""
        return _encode(untrusted(text))

    def stamp(self, moment: Moment) -> bytes:
        """A moment."""
        return _encode(moment.stamp or None)

    def line(self, event: Event) -> bytes:
        """The line of an event; empty where it is not asked for."""
        return _encode(as_object(event)) + b"\n" if self._selection.wants(event) else b""

    def line_of_hit(self, hit: Hit) -> bytes:
        """The same of a hit, by building its event."""
        return self.line(event_of(hit))


def _is_told(parts: Parts, event: Event) -> bool:
    """Whether the fields of an event are what was typed, and each hole ends where the byte behind it stands first."""
    return all(
        getattr(event, name, untrusted(text)) == untrusted(text) and not (behind and behind[:1] in text)
        for name, text, behind in zip(parts.names, parts.typed, parts.tail[1:], strict=True)
    ) and all(parts.tail[1:-1])


def _around(event: Event) -> Around:
    members = list(as_object(event).items())
    at, pid, client = (next(n for n, one in enumerate(members) if one[0] == name) for name in _VARYING)
    return Around(
        b"{" + _members(dict(members[:at])) + b',"at":',
        b"," + _members(dict(members[at + 1 : pid])) + b',"pid":',
        b"," + _members(dict(members[pid + 1 : client])) + b",",
    )


def _members(members: dict[str, Any]) -> bytes:
    return _encode(members)[1:-1]
