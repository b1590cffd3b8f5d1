"""Hits: lines of which detection wants each one, but nearly always only their number.

Enters: the pieces of plain lines as the scanner cut them. Leaves: `Hit`s, and whatever is asked of them: the event, the
record, the texts in it. This file must never know who counts them.

An attack is a million failed logins. A hit is such an event that nobody has built yet: it holds the pieces of its line
and costs a tenth.

Compiled where there is a C compiler: then `hits.pxd` says what stands in a hit as C has it.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from pfwatch.events import Envelope, Event, Severity
from pfwatch.parsing.block import Form, fits_head, in_order, plain_forms, tails_pattern
from pfwatch.records.time import Moment

SEVERITIES: dict[str, Severity] = {"warning": "warning", "error": "error", "fatal": "fatal", "panic": "panic"}
_MINUTE = 60.0
TRUNCATED = 2000
"""Bytes of a body at which Postfix cuts (MSG_SYSLOG_RECLEN)."""


class Hits:
    """What all hits of one origin and head have in common."""

    __slots__ = ("daemon", "form", "head", "host", "kind", "more", "service", "tag")

    def __init__(
        self,
        form: Form,
        host: bytes,
        tag: bytes,
        service: str,
        daemon: str,
        head: bytes,
        more: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        self.form, self.host, self.tag, self.service, self.daemon, self.head = form, host, tag, service, daemon, head
        self.kind: type[Event] = form.plain.hit or Event
        self.more = more
        """Fields of their events that other lines tell, with their values."""

    def with_more(self, *more: tuple[str, Any]) -> "Hits":
        """The same of those of whom other lines told this."""
        return Hits(self.form, self.host, self.tag, self.service, self.daemon, self.head, more)

    def texts(self, tails: Sequence[bytes], groups: tuple[str, ...]) -> Sequence[Sequence[bytes]]:
        """These groups of several tails, a column each; empty where a tail lacks one."""
        rows: list[Any] = tails_pattern(self.form, groups).findall(b"\n" + b"\n".join(tails))
        if len(groups) == 1:
            return (rows,)
        columns = dict(zip(in_order(self.form, groups), zip(*rows, strict=True), strict=True))
        return tuple(columns[group] for group in groups)


Alike = tuple[Hits, bytes, bytes]
"""What hits have in common, client and tail."""


class Hit:
    """A line that is a hit. Time, pid, queue id, client and tail are as they stand in the log."""

    __slots__ = ("at", "client", "hits", "moment", "pid", "queue_id", "tail", "time")

    def __init__(
        self, hits: Hits, moment: Moment, time: bytes, pid: bytes, queue_id: bytes, client: bytes, tail: bytes
    ) -> None:
        self.hits, self.moment, self.at = hits, moment, moment[0]
        self.time, self.pid, self.queue_id, self.client, self.tail = time, pid, queue_id, client, tail


def count_alike(hits: list[Hit], alike: dict[Alike, int]) -> int:
    """Count hits by what they have in common, client and tail. Gives the bytes of what was not among them before."""
    new = 0
    hit: Hit
    for hit in hits:
        key = hit.hits, hit.client, hit.tail
        before = alike.get(key, 0)
        alike[key] = before + 1
        if not before:
            new += len(hit.client) + len(hit.tail)
    return new


def count_minutes(hits: list[Hit]) -> list[tuple[float, int]]:
    """The minutes of hits, as the second that each begins with, and how many stand there in a row."""
    found: list[tuple[float, int]] = []
    hit: Hit
    at: float
    minute: float = 0.0
    times = 0
    for hit in hits:
        at = hit.at
        if not minute <= at < minute + _MINUTE:
            if times:
                found.append((minute, times))
            minute, times = at - at % _MINUTE, 0
        times += 1
    if times:
        found.append((minute, times))
    return found


def of_kinds(events: list[Event | Hit], kinds: frozenset[type[Event]]) -> list[Event | Hit]:
    """Those of some events that are of these kinds, in their order."""
    found: list[Event | Hit] = []
    hit: Hit
    for one in events:
        if isinstance(one, Hit):
            hit = one
            if hit.hits.kind in kinds:
                found.append(hit)
        elif type(one) in kinds:
            found.append(one)
    return found


def record_of(hit: Hit) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Time, host, tag, pid and body as they stand in the log."""
    hits = hit.hits
    body = hits.head + hit.client + hit.tail
    return hit.time, hits.host, hits.tag, hit.pid, hit.queue_id + b": " + body if hit.queue_id else body


def event_of(hit: Hit) -> Event:
    """The event, as the line's rule builds it."""
    hits, record = hit.hits, record_of(hit)
    body, rule = record[-1], hits.form.rule
    found = rule.compiled.match(body)
    if found is None:
        raise AssertionError(f"{rule.name} does not read what its plain form reads: {body!r}")
    severity = "info" if hit.queue_id else SEVERITIES.get(rule.words[0], "info")
    envelope = Envelope(
        hit.at, hit.moment.stamp, hits.host.decode("utf-8", "backslashreplace"), hits.service, hits.daemon,
        number_of(hit.pid), severity, 1, len(body) >= TRUNCATED, rule.name, None, False, record,
    )  # fmt: skip
    event = rule.build(envelope, found)
    return msgspec.structs.replace(event, **dict(hits.more)) if hits.more else event


Kind = tuple[str, bool, bytes, bytes, bytes, str, str]
"""What hits have in common, as plain values: rule, whether behind a queue id, head, host, tag, service, daemon."""
Pieces = tuple[float, bytes, bytes, bytes, bytes, bytes]
"""A hit beside that: time in seconds since the epoch and as it stands in the log, pid, queue id, client, tail."""


def kind_of(hits: Hits) -> Kind:
    """What hits have in common, in a form that can be kept."""
    form = hits.form
    return form.rule.name, form.with_id, hits.head, hits.host, hits.tag, hits.service, hits.daemon


def pieces_of(hit: Hit) -> Pieces:
    """A hit in a form that can be kept."""
    return hit.at, hit.time, hit.pid, hit.queue_id, hit.client, hit.tail


def hits_of(kind: Kind) -> Hits | None:
    """What hits have in common that were kept; None where no rule makes such hits any more."""
    rule, with_id, head, host, tag, service, daemon = kind
    for form in plain_forms(daemon):
        if form.rule.name == rule and form.plain.hit and form.with_id is with_id and fits_head(form, head):
            return Hits(form, host, tag, service, daemon, head)
    return None


def hit_of(hits: Hits, pieces: Pieces) -> Hit:
    """A hit that was kept. The text of its moment is not known any more."""
    at, *texts = pieces
    return Hit(hits, Moment(at, ""), *texts)


def number_of(pid: bytes) -> int:
    """The number of a process."""
    return int(pid[:18])


def built(one: Event | Hit) -> Event:
    """An event, built if it is a hit."""
    return event_of(one) if isinstance(one, Hit) else one
