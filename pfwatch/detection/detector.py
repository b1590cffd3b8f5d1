"""Detection: from events to incidents that open, grow and end.

Enters: finished events in the order of the log, and the passing of time. Leaves: `Change`s, and incidents on request.
This file must never know who is told.

Time is the records' own. Everything that happens by waiting has a deadline and happens at it, in the order of
deadlines, whenever `tick` is called: so the story does not depend on how often that is.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec

from pfwatch.detection.incident import Incident
from pfwatch.detection.rules import RULES, Facts, Networks, subject_of
from pfwatch.detection.settings import DetectionSettings, RuleSettings
from pfwatch.detection.watch import Told, Watch
from pfwatch.events import Event
from pfwatch.parsing.fragments import client_of
from pfwatch.parsing.hits import Hit
from pfwatch.table import Table

Key = tuple[str, str]
"""Rule and subject."""


class Whole:
    """An incident that ended, made whole when somebody wants it: few are ever looked at."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Incident]) -> None:
        self._make = make

    def __call__(self) -> Incident:
        """The incident."""
        return self._make()

    def __eq__(self, other: object) -> bool:
        """Whether it is the same incident."""
        return isinstance(other, Whole) and self() == other()

    __hash__ = None  # type: ignore[assignment] # as of everything that is compared by what it holds


class Change(msgspec.Struct, frozen=True):
    """Something happened to an incident."""

    what: Literal["opened", "grew", "ended"]
    key: Key
    at: float
    incident: Incident
    """An outline of it, without what fills a mail."""
    whole: Whole | None = None
    """All of one that ended; of others, `Detector.incident` gives it."""


_NOTHING: tuple[Change, ...] = ()
_REMEMBERED = 4096
_MOST_UNREAD = 20_000
"""Hits that are kept as they came; each takes some 500 bytes."""


class _Watched(msgspec.Struct):
    """A rule at work."""

    name: str
    numbers: RuleSettings
    table: Table[str, Watch]
    allowed: tuple[Networks, ...]
    told: Told
    subjects: dict[str, str | None] = {}
    """Address -> whom it is counted as; None where it is allowed."""
    clients: dict[bytes, str | None] = {}
    """The same by client, as Postfix writes him."""
    open: int = 0
    """Incidents that are."""
    quiet_at: float = 0.0
    """A moment before which no subject can be forgotten."""

    def subject(self, ip: str) -> str | None:
        """Whom an address is counted as, for the first time."""
        if len(self.subjects) >= _REMEMBERED:
            self.subjects.clear()
        subject = None if any(ip in networks for networks in self.allowed) else subject_of(ip)
        self.subjects[ip] = subject
        return subject

    def subject_of_client(self, text: bytes) -> str | None:
        """Whom a client is counted as, for the first time."""
        if len(self.clients) >= _REMEMBERED:
            self.clients.clear()
        ip = client_of(text).ip
        subject = self.clients[text] = self.subject(ip) if ip else None
        return subject

    def read(self, watch: Watch) -> None:
        """Read the hits of a subject that nobody has read yet."""
        watch.read(self.numbers.window, self.told)

    def outline(self, subject: str, watch: Watch, ended: float | None = None) -> Incident:
        """The incident as it stands, without what fills a mail."""
        watch.settle(self.numbers.window)
        return watch.outline(self.name, subject, self.numbers, ended)

    def whole(self, subject: str, watch: Watch, ended: float | None = None) -> Incident:
        """The incident as it stands."""
        self.read(watch)
        return watch.incident(self.name, subject, self.numbers, ended)


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
        self._watched: dict[str, _Watched] = {}
        self._open: dict[Key, None] = {}
        self._wanted: dict[type[Event], list[_Wanted]] = {}
        self._wanted_hits: dict[type[Event], list[_Watched]] = {}
        self._unread = 0
        """Hits since all were read."""
        self._ends: list[tuple[float, Key]] = []
        """A heap with one row for each open incident: a moment before which it does not end."""
        for rule in RULES:
            numbers = settings.rules.get(rule.name)
            if numbers is None or not numbers.enabled:
                continue
            table: Table[str, Watch] = Table(str, Watch, settings.max_subjects, keep=keep)
            watched = _Watched(rule.name, numbers, table, (allowed, Networks(numbers.allow)), rule.hits)
            self._watched[rule.name] = watched
            for kind in rule.hits:
                self._wanted_hits.setdefault(kind, []).append(watched)
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

    def hit(self, hit: Hit) -> Sequence[Change]:
        """Count one hit. What it tells is read when the subject is looked at, with that of those before it."""
        at, client = hit[1][0], hit[5]
        changes: Sequence[Change] = _NOTHING
        for watched in self._wanted_hits.get(hit[0].kind, ()):
            try:
                subject = watched.clients[client]
            except KeyError:
                subject = watched.subject_of_client(client)
            if subject is None:
                continue
            rows = watched.table.rows
            watch = rows.get(subject)
            if watch is None:
                watch = Watch(hit[0].host.decode("utf-8", "backslashreplace"), left=watched.numbers.threshold)
            watched.table.put(subject, watch)
            watch.waiting.append(hit)
            if at > watch.last:
                watch.last = at
            watch.left -= 1
            self._unread += 1
            if self._unread >= _MOST_UNREAD:
                self._read_all()
            if at >= watched.quiet_at:
                self._forget_quiet(watched, at - watched.numbers.window)
            if watch.left <= 0:
                changes = [*changes, *self._look(watched, subject, watch, at)]
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
        watched = self._watched[key[0]]
        watch = watched.table.get(key[1]) if key in self._open else None
        return watched.whole(key[1], watch) if watch else None

    def outline(self, key: Key) -> Incident | None:
        """The same without what fills a mail."""
        watched = self._watched[key[0]]
        watch = watched.table.get(key[1]) if key in self._open else None
        return watched.outline(key[1], watch) if watch else None

    def open_incidents(self) -> Iterator[Incident]:
        """Every open incident, in the order of opening."""
        for key in self._open:
            incident = self.incident(key)
            if incident:
                yield incident

    def open_count(self, rule: str) -> int:
        """How many incidents of a rule are open."""
        return self._watched[rule].open if rule in self._watched else 0

    def mark(self, key: Key, count: int) -> None:
        """Say `grew` when the incident's count reaches this."""
        watched = self._watched[key[0]]
        watch = watched.table.get(key[1])
        if watch:
            watch.settle(watched.numbers.window)
            watch.mark = count
            watch.left = watch.room(watched.numbers.threshold)
            watched.table.put(key[1], watch)

    def rule(self, name: str) -> RuleSettings:
        """The numbers of a rule."""
        return self._settings.rules[name]

    def evicted(self) -> dict[str, int]:
        """Rule -> subjects given up for want of room."""
        return {name: watched.table.evicted for name, watched in self._watched.items()}

    def drain(self) -> dict[str, dict[bytes, bytes | None]]:
        """What changed since the last call, by table."""
        for watched in self._watched.values():
            for subject in watched.table.changed:
                if subject in watched.table.rows:
                    watched.read(watched.table.rows[subject])
        return {f"watch:{name}": watched.table.drain() for name, watched in self._watched.items()}

    def restore(self, saved: Mapping[str, Mapping[bytes, bytes]]) -> None:
        """Go on with what `drain` gave."""
        for name, watched in self._watched.items():
            table = watched.table
            table.restore(saved.get(f"watch:{name}", {}))
            table.rows = dict(sorted(table.rows.items(), key=lambda row: row[1].last))  # saved in no order
            for watch in table.rows.values():
                watch.left = watch.room(watched.numbers.threshold)
            opened = [(watch.opened, subject) for subject, watch in table.rows.items() if watch.opened is not None]
            self._open.update(((name, subject), None) for _, subject in sorted(opened))
            watched.open = len(opened)
        self._ends = [(self._end_of(key), key) for key in self._open]
        heapq.heapify(self._ends)

    def _count(self, watched: _Watched, subject: str, event: Any, weight: int, facts: Facts) -> Sequence[Change]:
        envelope, numbers, table = event.envelope, watched.numbers, watched.table
        watch = table.rows.get(subject) or Watch(envelope.host)
        watched.read(watch)
        watch.add(envelope, event.client, weight, facts, numbers.window)
        if envelope.at >= watched.quiet_at:
            self._forget_quiet(watched, envelope.at - numbers.window)
        table.put(subject, watch)
        return self._look(watched, subject, watch, envelope.at)

    def _look(self, watched: _Watched, subject: str, watch: Watch, at: float) -> Sequence[Change]:
        """What the latest hit or event of a subject changed."""
        numbers, key = watched.numbers, (watched.name, subject)
        watch.settle(numbers.window)
        what: Literal["opened", "grew"] | None = None
        if watch.opened is None:
            if watch.count >= numbers.threshold:
                what = "opened"
                watch.open(watched.name, subject, at)
                self._open[key] = None
                watched.open += 1
                heapq.heappush(self._ends, (at + numbers.window, key))
        elif watch.mark is not None and watch.count >= watch.mark:
            what = "grew"
            watch.mark = None
        watch.left = watch.room(numbers.threshold)
        return (Change(what, key, at, watched.outline(subject, watch)),) if what else _NOTHING

    def _read_all(self) -> None:
        """Read every hit, for want of room."""
        self._unread = 0
        for watched in self._watched.values():
            for watch in watched.table.rows.values():
                watched.read(watch)

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
        watch = self._watched[key[0]].table.get(key[1])
        return watch.last + self.rule(key[0]).window if watch else 0.0

    def _end(self, key: Key, at: float) -> list[Change]:
        rule, subject = key
        del self._open[key]
        watched = self._watched[rule]
        watched.open -= 1
        watch = watched.table.drop(subject)
        if watch is None:  # given up for want of room, and counted there
            return []
        return [
            Change(
                "ended", key, at, watched.outline(subject, watch, at), Whole(partial(watched.whole, subject, watch, at))
            )
        ]
