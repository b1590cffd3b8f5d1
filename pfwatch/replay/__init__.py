"""Finished logs through the pipeline: what the daemon would have done.

Enters: paths of logs and settings. Leaves: the report of a replay. Nothing is sent or kept.
This file must never know a mail server, a database or a clock other than the log's.
"""

import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator
from datetime import tzinfo
from itertools import groupby
from math import inf
from pathlib import Path
from typing import BinaryIO

import msgspec

from pfwatch.detection.change import Change
from pfwatch.finished import blocks, is_file
from pfwatch.parsing.tally import FATES
from pfwatch.pipeline import Outcome, Pipeline, Settings
from pfwatch.records.time import stamp
from pfwatch.replay.ahead import is_worth_it, read_ahead
from pfwatch.sources.settings import SourceSettings

_MOST_IN_MEMORY = 2_000_000
"""Bytes of incidents: some 15,000 of them."""
_SORTED_AT_ONCE = 20_000


class ToldNotification(msgspec.Struct, frozen=True):
    """A notification as the report shows it."""

    incident: str | None
    reason: str
    at: str
    subject_line: str


class FoundIncident(msgspec.Struct, frozen=True):
    """An incident as the report shows it; times in RFC 3339."""

    rule: str
    severity: str
    subject: str
    count: int
    first: str
    last: str


class Dropped(msgspec.Struct):
    """What the log itself says that was dropped before it came to it."""

    first: str
    times: int = 0
    lines: int = 0
    """At least: not every such line says how many."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the daemon would have done. `lines` are unweighted and add up; `counts` are weighted."""

    lines: dict[str, int]
    counts: dict[str, int]
    incidents: "Incidents"
    notifications: list[ToldNotification]
    misnamed: int = 0
    """Lines whose tag a syslog template cut to `postfix`; no part of the public object, as the next."""
    dropped: Dropped | None = None


def replay(
    paths: Iterable[str],
    settings: Settings,
    source: SourceSettings,
    progress: Callable[[str, int], None] = lambda _source, _size: None,
    say: Callable[[str], None] = lambda _text: None,
) -> Report:
    """Read finished logs to their end.

    `progress` hears of each block: its source and its size in bytes; `say` what is not as it should be in a journal.
    """
    pipeline = Pipeline(settings, whole=False)
    summary = _Summary(settings)
    for path in paths:
        if is_file(path) and is_worth_it(path):
            for outcome, size in read_ahead(path, pipeline, settings, source):
                summary.add(outcome)
                progress(path, size)
            continue
        for block in blocks([path], source, dovecot=settings.dovecot, say=say):
            summary.add(pipeline.feed(block.data, block.source, block.reference))
            progress(block.source, len(block.data))
    summary.add(pipeline.finish())
    return summary.report()


def size_of(paths: Iterable[str]) -> int | None:
    """Bytes in these files together, None where that cannot be known (standard input, compressed files, journals)."""
    size = 0
    for path in paths:
        if not is_file(path) or Path(path).suffix in {".gz", ".bz2", ".xz", ".zst"}:
            return None
        try:
            size += Path(path).stat().st_size
        except OSError:
            return None
    return size


class Incidents:
    """The incidents of a replay, in the order of their beginning. There may be more than memory is for: they wait in a
    temporary file then.
    """

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._held = bytearray()
        """Where they stand while they are few,"""
        self._over: BinaryIO | None = None
        """and the file."""
        self._begun, self._places = array("d"), array("Q", [0])
        """When each began, and where it stands, up to the place of the next."""

    def __iter__(self) -> Iterator[FoundIncident]:
        decode, zone = msgspec.msgpack.Decoder(_Kept).decode, self._zone
        for _, numbers in groupby(self._ordered(), self._begun.__getitem__):
            rows = list(map(self._read, numbers))
            if len(rows) == 1:
                yield decode(rows[0]).found(zone)
                continue
            # One that was dropped, and came again within the same second, is the same.
            for _, incident in sorted({one.id: one for one in map(decode, rows)}.items()):
                yield incident.found(zone)

    def _ordered(self) -> Iterator[int]:
        """The numbers of all in the order of their beginning: some at a time, for sorting takes memory, too."""
        begun = self._begun
        first, slices = min(begun, default=0.0), len(begun) // _SORTED_AT_ONCE + 1
        width = (max(begun, default=0.0) - first) / slices
        for number in range(slices):
            begin = first + number * width if number else -inf
            end = first + (number + 1) * width if number < slices - 1 else inf
            yield from sorted((one for one, at in enumerate(begun) if begin <= at < end), key=begun.__getitem__)

    def __eq__(self, other: object) -> bool:
        """Whether they are the same."""
        return isinstance(other, Incidents) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as of everything that is compared by what it holds

    def add(self, changes: Iterable[Change]) -> None:
        """Take those of the incidents that nothing happens to any more; at the end of a replay that is each."""
        encode, rows, place = msgspec.msgpack.encode, list[bytes](), self._places[-1]
        for change in changes:
            if change.what == "ended" or change.what == "dropped":
                one = change.incident
                row = encode((one.id, one.rule, one.severity, one.subject, one.count, one.first, one.last))
                rows.append(row)
                place += len(row)
                self._begun.append(one.first)
                self._places.append(place)
        if rows and self._over is None:
            self._held += b"".join(rows)
            if place > _MOST_IN_MEMORY:
                self._move_out()
        elif rows and self._over is not None:
            self._over.seek(self._places[-len(rows) - 1])
            self._over.write(b"".join(rows))

    def _move_out(self) -> None:
        import tempfile  # few logs need it

        over = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this object
        weakref.finalize(self, over.close)
        over.write(self._held)
        self._held, self._over = bytearray(), over

    def _read(self, number: int) -> bytes | bytearray:
        begin, end = self._places[number], self._places[number + 1]
        if self._over is None:
            return self._held[begin:end]
        self._over.seek(begin)
        return self._over.read(end - begin)


class _Kept(msgspec.Struct, array_like=True):
    """An incident as `Incidents.add` writes it."""

    id: str
    rule: str
    severity: str
    subject: str
    count: int
    first: float
    last: float

    def found(self, zone: tzinfo | None) -> FoundIncident:
        first, last = stamp(self.first, zone), stamp(self.last, zone)
        return FoundIncident(self.rule, self.severity, self.subject, self.count, first, last)


class _Summary:
    """Sums up outcomes."""

    def __init__(self, settings: Settings) -> None:
        self._zone = settings.zone
        self._lines = dict.fromkeys(("total", *FATES[1:2], FATES[0], *FATES[2:]), 0)
        self._counts: dict[str, int] = {}
        self._incidents = Incidents(settings.zone)
        self._notifications: list[ToldNotification] = []
        self._misnamed = 0
        self._dropped: Dropped | None = None

    def add(self, outcome: Outcome) -> None:
        counts = self._counts
        for event in outcome.built:  # hits are in the tally, too
            counts[event.kind] = counts.get(event.kind, 0) + event.envelope.weight
        if outcome.tally is not None:
            self._lines["total"] += outcome.tally.total
            for fate, lines in outcome.tally.fates().items():
                self._lines[fate] += lines
            for (_, kind), keys in outcome.tally.counts.items():
                if kind is not None:
                    counts[kind.kind] = counts.get(kind.kind, 0) + sum(keys.values())
            self._misnamed += outcome.tally.misnamed
        for loss in outcome.losses:
            self._dropped = self._dropped or Dropped(loss.text)
            self._dropped.times += 1
            self._dropped.lines += loss.lines or 0
        self._incidents.add(outcome.changes)
        for notification in outcome.notifications:
            lead = notification.incidents[0].id if notification.incidents else None
            at = stamp(notification.at, self._zone)
            self._notifications.append(ToldNotification(lead, notification.reason, at, notification.subject_line))

    def report(self) -> Report:
        counts = dict(sorted(self._counts.items()))
        return Report(self._lines, counts, self._incidents, self._notifications, self._misnamed, self._dropped)
