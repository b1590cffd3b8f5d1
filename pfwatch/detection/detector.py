"""Detection: from events to incidents that open, grow and end.

Enters: finished events in the order of the log, and the passing of time. Leaves: `Change`s, and incidents on request.
This file must never know who is told.

Time is the records' own. Everything that happens by waiting has a deadline and happens at it, in the order of
deadlines, whenever `tick` is called: so the story does not depend on how often that is.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from pfwatch.detection.incident import Incident
from pfwatch.detection.rules import RULES, DetectionRule, Hit, Networks, subject_of
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


class Detector:
    """Watches every subject under every enabled rule."""

    def __init__(self, settings: DetectionSettings, *, keep: bool = False) -> None:
        """With `keep`, changes are collected for `drain`."""
        self._settings = settings
        self._allowed = Networks(settings.allow)
        self._watches: dict[str, Table[str, Watch]] = {}
        self._allowed_by: dict[str, Networks] = {}
        self._open: dict[Key, None] = {}
        self._rules: dict[type[Event], list[DetectionRule]] = {}
        self._ends: list[tuple[float, Key]] = []
        """A heap with one row for each open incident: a moment before which it does not end."""
        for rule in RULES:
            numbers = settings.rules.get(rule.name)
            if numbers is None or not numbers.enabled:
                continue
            self._watches[rule.name] = Table(str, Watch, settings.max_subjects, keep=keep)
            self._allowed_by[rule.name] = Networks(numbers.allow)
            for kind in rule.wants:
                self._rules.setdefault(kind, []).append(rule)

    def feed(self, event: Event) -> list[Change]:
        """Count one event."""
        rules = self._rules.get(type(event))
        if not rules or event.envelope.part_of is not None:
            return []
        changes: list[Change] = []
        for rule in rules:
            hit = rule.read(event)
            if hit is not None and hit.client.ip is not None:
                changes += self._count(rule.name, event, hit)
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

    def _count(self, rule: str, event: Event, hit: Hit) -> list[Change]:
        ip = hit.client.ip or ""
        if ip in self._allowed or ip in self._allowed_by[rule]:
            return []
        numbers, table, subject = self.rule(rule), self._watches[rule], subject_of(ip)
        key, at = (rule, subject), event.envelope.at
        watch = table.get(subject) or Watch(event.envelope.host)
        watch.add(event.envelope, hit, numbers.window)
        self._forget_quiet(table, at - numbers.window)
        changes = []
        if watch.opened is None and watch.count >= numbers.threshold:
            watch.open(rule, subject, at)
            self._open[key] = None
            heapq.heappush(self._ends, (at + numbers.window, key))
            changes.append(Change("opened", key, at, watch.incident(rule, subject, numbers)))
        elif watch.mark is not None and watch.count >= watch.mark:
            watch.mark = None
            changes.append(Change("grew", key, at, watch.incident(rule, subject, numbers)))
        table.put(subject, watch)
        return changes

    def _forget_quiet(self, table: Table[str, Watch], before: float) -> None:
        """Drop the subjects that were last seen before the window; the table has them in the order of last sight."""
        while table.rows:
            subject, watch = next(iter(table.rows.items()))
            if watch.opened is not None or watch.last > before:
                return
            table.drop(subject)

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
