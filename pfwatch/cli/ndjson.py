"""Events as lines of JSON, as `as_object` has them.

Enters: events and hits, and which of them are asked for. Leaves: lines. This file must never know a kind, nor a
wording.

In an attack every other line is a hit, and most hits have much in common. So the line of one is put together from
texts that were encoded before: one for its moment, one for its client, one for all that has the same words behind
him. Only where such words are new is an event built.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from pfwatch.cli.selection import Selection
from pfwatch.events import Event, as_object, client_object
from pfwatch.parsing.fragments import client_of
from pfwatch.parsing.hits import TRUNCATED, Hit, Hits, event_of, number_of
from pfwatch.records.time import Moment

_REMEMBERED = 16_384
"""Texts of each sort that are kept encoded; beyond, all are forgotten."""
_LONGEST_CLIENT = 500
_LONGEST_BODY = TRUNCATED - _LONGEST_CLIENT
"""Bytes without the client. What is longer may have been cut by Postfix, as the line says then."""
_VARYING = ("at", "pid", "client_ip")
_encode = msgspec.json.Encoder().encode


class _Around(NamedTuple):
    """The texts around moment and pid."""

    before_at: bytes
    before_pid: bytes
    behind_pid: bytes


class JsonLines:
    """Writes those that are asked for."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._around: dict[tuple[Hits, bool], _Around] = {}
        """By hits, and whether there is a queue id."""
        self._alike: dict[tuple[Hits, bytes, bytes], tuple[_Around, bytes] | None] = {}
        """By hits, queue id and tail, the texts before the client and behind; None: they are not asked for."""
        self._clients: dict[bytes, bytes | None] = {}
        self._pids: dict[bytes, bytes] = {}

    def of(self, events: Iterable[Event | Hit]) -> bytes:
        """The lines of some events."""
        lines: list[bytes] = []
        known, clients, pids, in_time = self._alike, self._clients, self._pids, self._selection.in_time
        moment: Moment | None = None
        at, wanted = b"", False
        for one in events:
            if not isinstance(one, Hit):
                self._add(lines, one)
                continue
            if one.moment is not moment:
                moment = one.moment
                at, wanted = _encode(moment.stamp or None), in_time(moment.at)
            if not wanted:
                continue
            try:
                alike, client, pid = known[one.hits, one.queue_id, one.tail], clients[one.client], pids[one.pid]
            except KeyError:
                if not self._learn(one):
                    self._add(lines, event_of(one))
                    continue
                alike, client, pid = known[one.hits, one.queue_id, one.tail], clients[one.client], pids[one.pid]
            if alike and client:
                (before_at, before_pid, behind_pid), behind_client = alike
                lines += before_at, at, before_pid, pid, behind_pid, client, behind_client
        return b"".join(lines)

    def _add(self, lines: list[bytes], event: Event) -> None:
        if self._selection.wants(event):
            lines += _encode(as_object(event)), b"\n"

    def _learn(self, hit: Hit) -> bool:
        """Remember the texts of a hit; False where its line cannot be put together from such."""
        size = len(hit.queue_id) + len(hit.hits.head) + len(hit.tail) + 2
        if len(hit.client) > _LONGEST_CLIENT or size > _LONGEST_BODY:
            return False
        for cache in (self._around, self._alike, self._clients, self._pids):
            if len(cache) >= _REMEMBERED:
                cache.clear()
        if hit.client not in self._clients:
            client = client_of(hit.client)
            self._clients[hit.client] = _members(client_object(client)) if self._selection.of_client(client) else None
        if hit.pid not in self._pids:
            self._pids[hit.pid] = _encode(number_of(hit.pid))
        alike = hit.hits, hit.queue_id, hit.tail
        if alike not in self._alike:
            event = event_of(hit)
            _, first, *fields = event.__struct_fields__
            if type(event) is not hit.hits.kind or first != "client":
                return False
            behind = b"," + _members({name: getattr(event, name) for name in fields}) + b"}\n"
            wanted = self._selection.of_kind(event) and self._selection.of_account(event)
            self._alike[alike] = (self._around_of(hit, event), behind) if wanted else None
        return True

    def _around_of(self, hit: Hit, event: Event) -> _Around:
        key = hit.hits, hit.queue_id != b""
        around = self._around.get(key)
        if around is None:
            members = list(as_object(event).items())
            at, pid, client = (next(n for n, one in enumerate(members) if one[0] == name) for name in _VARYING)
            around = self._around[key] = _Around(
                b"{" + _members(dict(members[:at])) + b',"at":',
                b"," + _members(dict(members[at + 1 : pid])) + b',"pid":',
                b"," + _members(dict(members[pid + 1 : client])) + b",",
            )
        return around


def _members(members: dict[str, Any]) -> bytes:
    return _encode(members)[1:-1]
