"""Detection: from events to incidents that open, grow and end.

Enters: finished events in the order of the log, and the passing of time. Leaves: `Change`s, and incidents on request.
This file must never know who is told.

Time is the records' own. Everything that happens by waiting has a deadline and happens at it, in the order of
deadlines, whenever `tick` is called: so the story does not depend on how often that is.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from pfwatch.detection.incident import Incident
from pfwatch.detection.rules import RULES, Facts, Networks, subject_of
from pfwatch.detection.settings import DetectionSettings, RuleSettings
from pfwatch.detection.watch import Watch
from pfwatch.events import Event
from pfwatch.table import Table

Key = tuple[str, str]
"""Rule and subject."""


class Change(msgspec.Struct, frozen=True):
    """Something happened to an incident."""

    what: Literal["opened", "grew", "ended"]
    key: Key
    at: float
    incident: Incident
    """Whole once it ended; before, only an outline of it: `Detector.incident` has the rest."""


_NOTHING: tuple[Change, ...] = ()
_REMEMBERED = 4096


class _Watched(msgspec.Struct):
    """A rule at work."""

    name: str
    numbers: RuleSettings
    table: Table[str, Watch]
    allowed: tuple[Networks, ...]
    subjects: dict[str, str | None] = {}
    """Address -> whom it is counted as; None where it is allowed."""
    quiet_at: float = 0.0
    """A moment before which no subject can be forgotten."""

    def subject(self, ip: str) -> str | None:
        """Whom an address is counted as, for the first time."""
        if len(self.subjects) >= _REMEMBERED:
            self.subjects.clear()
        subject = None if any(ip in networks for networks in self.allowed) else subject_of(ip)
        self.subjects[ip] = subject
        return subject


class _Wanted(NamedTuple):
    """What a rule makes of one kind of event."""

    watched: _Watched
    weigh: Callable[[Any], int]
    facts: Callable[[Any], Facts]


class Detector:
    """Watches every subject under every enabled rule."""

    def __init__(self, settings: DetectionSettings, *, keep: bool = False) -> None:
        """With `keep`, changes are collected for `drain`."""
        self._settings = settings
        allowed = Networks(settings.allow)
        self._watches: dict[str, Table[str, Watch]] = {}
        self._open: dict[Key, None] = {}
        self._wanted: dict[type[Event], list[_Wanted]] = {}
        self._ends: list[tuple[float, Key]] = []
        """A heap with one row for each open incident: a moment before which it does not end."""
        for rule in RULES:
            numbers = settings.rules.get(rule.name)
            if numbers is None or not numbers.enabled:
                continue
            table = self._watches[rule.name] = Table(str, Watch, settings.max_subjects, keep=keep)
            watched = _Watched(rule.name, numbers, table, (allowed, Networks(numbers.allow)))
            for kind, facts in rule.wants.items():
                self._wanted.setdefault(kind, []).append(_Wanted(watched, rule.weigh, facts))

    def feed(self, event: Any) -> Sequence[Change]:
        """Count one event of any kind."""
        wanted = self._wanted.get(type(event))
        if wanted is None or event.envelope.part_of is not None:
            return _NOTHING
        client = event.client
        if client is None or client.ip is None:
            return _NOTHING
        changes: Sequence[Change] = _NOTHING
        for watched, weigh, facts in wanted:
            weight = weigh(event)
            if weight:
                try:
                    subject = watched.subjects[client.ip]
                except KeyError:
                    subject = watched.subject(client.ip)
                if subject is not None:
                    changes = [*changes, *self._count(watched, subject, event, weight, facts(event))]
        return changes

    def tick(self, now: float) -> list[Change]:
        """End the incidents that have been quiet for a whole window by `now`."""
        changes: list[Change] = []
        while self._ends and self._ends[0][0] <= now:
            at, key = heapq.heappop(self._ends)
            end = self._end_of(key)
            if end > at:  # back in line: another one may end before it
                heapq.heappush(self._ends, (end, key))
            else:
                changes += self._end(key, end)
        return changes

    def next_deadline(self) -> float:
        """A moment before which nothing happens by waiting; infinity if nothing does."""
        return self._ends[0][0] if self._ends else float("inf")

    def incident(self, key: Key) -> Incident | None:
        """An open incident as it stands."""
        watch = self._watches[key[0]].get(key[1]) if key in self._open else None
        return watch.incident(*key, self.rule(key[0])) if watch else None

    def open_incidents(self) -> Iterator[Incident]:
        """Every open incident, in the order of opening."""
        for key in self._open:
            incident = self.incident(key)
            if incident:
                yield incident

    def open_count(self, rule: str) -> int:
        """How many incidents of a rule are open."""
        return sum(key[0] == rule for key in self._open)

    def mark(self, key: Key, count: int) -> None:
        """Say `grew` when the incident's count reaches this."""
        watch = self._watches[key[0]].get(key[1])
        if watch:
            watch.mark = count
            self._watches[key[0]].put(key[1], watch)

    def rule(self, name: str) -> RuleSettings:
        """The numbers of a rule."""
        return self._settings.rules[name]

    def evicted(self) -> dict[str, int]:
        """Rule -> subjects given up for want of room."""
        return {name: table.evicted for name, table in self._watches.items()}

    def drain(self) -> dict[str, dict[bytes, bytes | None]]:
        """What changed since the last call, by table."""
        return {f"watch:{name}": table.drain() for name, table in self._watches.items()}

    def restore(self, saved: Mapping[str, Mapping[bytes, bytes]]) -> None:
        """Go on with what `drain` gave."""
        for name, table in self._watches.items():
            table.restore(saved.get(f"watch:{name}", {}))
            table.rows = dict(sorted(table.rows.items(), key=lambda row: row[1].last))  # saved in no order
            opened = [(watch.opened, subject) for subject, watch in table.rows.items() if watch.opened is not None]
            self._open.update(((name, subject), None) for _, subject in sorted(opened))
        self._ends = [(self._end_of(key), key) for key in self._open]
        heapq.heapify(self._ends)

    def _count(self, watched: _Watched, subject: str, event: Any, weight: int, facts: Facts) -> Sequence[Change]:
        envelope, numbers, table = event.envelope, watched.numbers, watched.table
        at = envelope.at
        watch = table.rows.get(subject) or Watch(envelope.host)
        watch.add(envelope, event.client, weight, facts, numbers.window)
        if at >= watched.quiet_at:
            self._forget_quiet(watched, at - numbers.window)
        table.put(subject, watch)
        if watch.opened is None:
            if watch.count < numbers.threshold:
                return _NOTHING
            key = (watched.name, subject)
            watch.open(watched.name, subject, at)
            self._open[key] = None
            heapq.heappush(self._ends, (at + numbers.window, key))
            return (Change("opened", key, at, watch.outline(watched.name, subject, numbers)),)
        if watch.mark is None or watch.count < watch.mark:
            return _NOTHING
        watch.mark = None
        key = (watched.name, subject)
        return (Change("grew", key, at, watch.outline(watched.name, subject, numbers)),)

    def _forget_quiet(self, watched: _Watched, before: float) -> None:
        """Drop the subjects that were last seen before the window; the table has them in the order of last sight."""
        rows, window = watched.table.rows, watched.numbers.window
        while rows:
            subject, watch = next(iter(rows.items()))
            if watch.opened is not None:
                watched.quiet_at = before + window + 1  # it moves on, or ends, in its time
                return
            if watch.last > before:
                watched.quiet_at = watch.last + window
                return
            watched.table.drop(subject)
        watched.quiet_at = 0.0

    def _end_of(self, key: Key) -> float:
        watch = self._watches[key[0]].get(key[1])
        return watch.last + self.rule(key[0]).window if watch else 0.0

    def _end(self, key: Key, at: float) -> list[Change]:
        rule, subject = key
        del self._open[key]
        watch = self._watches[rule].drop(subject)
        if watch is None:  # given up for want of room, and counted there
            return []
        return [Change("ended", key, at, watch.incident(rule, subject, self.rule(rule), ended=at))]
