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

from pfwatch.detection.change import Change, Key, Whole
from pfwatch.detection.incident import Incident
from pfwatch.detection.rules import RULES, Facts, Networks
from pfwatch.detection.settings import DetectionSettings, RuleSettings
from pfwatch.detection.texts import share
from pfwatch.detection.watch import Watch
from pfwatch.detection.watched import Watched
from pfwatch.events import Event
from pfwatch.table import Table

_NOTHING: tuple[Change, ...] = ()
_MOST_UNPACKED = 10_000_000
"""Bytes of hits that are kept as they came: some 50,000 of the usual length. Each time there are so many, it is seen to
that all texts together find room; by what stands in the log and not by time, so that the same log gives the same.
"""
_HIT = 150
"""Bytes that a hit takes beside its tail; clients are shared."""
_MOST_STALE = 1_000
"""Ends of dropped incidents that may wait for their time."""
_MOST_TEXTS = 32_000_000
"""Bytes of texts of all subjects under all rules: five short ones for each of the 60,000 that three rules watch at
most. An attacker who types 256 characters each time would fill a hundred times as much.
"""
_FEWER_TEXTS = _MOST_TEXTS * 3 // 4
"""What is left of them when it was too much, so that it is not too much again at once."""


class _Wanted(NamedTuple):
    """What a rule makes of one kind of event."""

    watched: Watched
    weigh: Callable[[Any], int]
    facts: Callable[[Any], Facts]


class Detector:
    """Watches every subject under every enabled rule."""

    def __init__(self, settings: DetectionSettings, *, keep: bool = False) -> None:
        """With `keep`, changes are collected for `drain`."""
        self._settings = settings
        allowed = Networks(settings.allow)
        self._watched: dict[str, Watched] = {}
        self._open: dict[Key, None] = {}
        self._wanted: dict[type[Event], list[_Wanted]] = {}
        self._wanted_hits: dict[type[Event], list[Watched]] = {}
        self._unpacked = 0
        """Bytes of hits and events since all were packed."""
        self._ends: list[tuple[float, Key]] = []
        """A heap with one row for each open incident, and some for those that were dropped: a moment before which it
        does not end.
        """
        for rule in RULES:
            numbers = settings.rules.get(rule.name)
            if numbers is None or not numbers.enabled:
                continue
            table: Table[str, Watch] = Table(str, Watch, settings.max_subjects, keep=keep)
            watched = Watched(rule.name, numbers, table, (allowed, Networks(numbers.allow)), rule.hits)
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

    def count_hits(  # noqa: C901 - a call costs as much as the rest of what a hit needs
        self, events: Sequence[Any], begin: int, until: float
    ) -> tuple[int, Sequence[Change]]:
        """Count the hits that stand at `begin` and behind it, up to the first event that is none, the first at `until`
        or later, or one that changes something. Gives where it stopped, and the changes.

        What hits tell is read when somebody looks at their subject. One call for many: an attack has a million.
        """
        wanted, changes, unpacked = self._wanted_hits, list[Change](), self._unpacked
        end = len(events)
        for number in range(begin, end):
            hit = events[number]
            if type(hit) is not tuple:
                end = number
                break
            hits, at, client, tail = hit[0], hit[1][0], hit[5], hit[6]
            if at >= until:
                end = number
                break
            for watched in wanted.get(hits.kind, ()):
                try:
                    subject = watched.clients[client]
                except KeyError:
                    subject = watched.subject_of_client(client)
                if subject is None:
                    continue
                table = watched.table
                rows = table.rows
                if subject in rows:
                    watch = rows.pop(subject)
                else:
                    if len(rows) >= table.limit:
                        changes += self._make_room(watched, at)
                    watch = Watch(hits.host.decode("utf-8", "backslashreplace"), left=watched.numbers.threshold)
                rows[subject] = watch  # it becomes the youngest
                if table.keep:
                    table.changed.add(subject)
                watch.waiting.append(hit)
                left = watch.left = watch.left - 1
                if at > watch.last:
                    watch.last = at
                if at >= watched.quiet_at:
                    self._forget_quiet(watched, at - watched.numbers.window)
                if left <= 0:
                    changes += self._look(watched, subject, watch, at)
                unpacked += _HIT + len(tail)
            if changes:
                end = number + 1
                break
            if unpacked >= _MOST_UNPACKED:
                self._pack()
                unpacked = 0
        self._unpacked = unpacked
        return end, changes

    def tick(self, now: float) -> list[Change]:
        """End the incidents that have been quiet for a whole window by `now`."""
        changes: list[Change] = []
        while self._ends and self._ends[0][0] <= now:
            at, key = heapq.heappop(self._ends)
            if key not in self._open:  # dropped meanwhile
                continue
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

    def given_up(self) -> dict[str, int]:
        """Rule -> texts given up for want of room."""
        return {name: watched.given_up for name, watched in self._watched.items()}

    def drain(self) -> dict[str, dict[bytes, bytes | None]]:
        """What changed since the last call, by table."""
        for watched in self._watched.values():
            for subject in watched.table.changed:
                if subject in watched.table.rows:
                    watched.read(watched.table.rows[subject])
        return {f"watch:{name}": watched.table.drain() for name, watched in self._watched.items()}

    def touch_all(self) -> None:
        """Say that everything is to be kept anew."""
        for watched in self._watched.values():
            watched.table.touch_all()

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

    def _count(self, watched: Watched, subject: str, event: Any, weight: int, facts: Facts) -> Sequence[Change]:
        envelope, numbers, table = event.envelope, watched.numbers, watched.table
        watch, dropped = table.rows.get(subject), list[Change]()
        if watch is None:
            watch = Watch(envelope.host)
            if len(table.rows) >= table.limit:
                dropped = self._make_room(watched, envelope.at)
        watched.read(watch)
        watch.add(envelope, event.client, weight, facts, numbers.window)
        if envelope.at >= watched.quiet_at:
            self._forget_quiet(watched, envelope.at - numbers.window)
        table.put(subject, watch)
        changes = [*dropped, *self._look(watched, subject, watch, envelope.at)]
        self._unpacked += _HIT + sum(map(len, envelope.record))
        if self._unpacked >= _MOST_UNPACKED:
            self._pack()
        return changes

    def _make_room(self, watched: Watched, at: float) -> list[Change]:
        """Give up the subject that was quiet longest, with its incident if it has one."""
        subject, watch = watched.table.make_room()
        key = (watched.name, subject)
        if key not in self._open:
            return []
        del self._open[key]
        watched.open -= 1
        if len(self._ends) > 2 * len(self._open) + _MOST_STALE:
            self._ends = [(self._end_of(key), key) for key in self._open]
            heapq.heapify(self._ends)
        return [Change("dropped", key, at, watched.outline(subject, watch))]

    def _look(self, watched: Watched, subject: str, watch: Watch, at: float) -> Sequence[Change]:
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

    def _pack(self) -> None:
        """Pack every hit, read all where they are not alike, and give up texts, for want of room."""
        self._unpacked = 0
        for watched in self._watched.values():
            for watch in watched.table.rows.values():
                if watch.waiting or watch.unread:
                    watch.pack(watched.numbers.window, watched.told)
        if self._taken() <= _MOST_TEXTS:
            return
        for watched in self._watched.values():
            for watch in watched.table.rows.values():
                watched.read(watch)
        if self._taken() <= _MOST_TEXTS:
            return
        most = share((watch.size for watch in self._every_watch()), _FEWER_TEXTS)
        for watched in self._watched.values():
            watched.give_up_texts(most)

    def _taken(self) -> int:
        """Bytes of texts at most: what was not read yet may be less."""
        return sum(watch.size + watch.packed for watch in self._every_watch())

    def _every_watch(self) -> Iterator[Watch]:
        for watched in self._watched.values():
            yield from watched.table.rows.values()

    def _forget_quiet(self, watched: Watched, before: float) -> None:
        """Drop the subjects that were last seen before the window; the table has them in the order of last sight."""
        window, quiet = watched.numbers.window, list[str]()
        watched.quiet_at = 0.0
        for subject, watch in watched.table.rows.items():
            if watch.opened is not None:
                watched.quiet_at = before + window + 1  # it moves on, or ends, in its time
                break
            if watch.last > before:
                watched.quiet_at = watch.last + window
                break
            quiet.append(subject)
        for subject in quiet:
            watched.table.drop(subject)

    def _end_of(self, key: Key) -> float:
        watch = self._watched[key[0]].table.get(key[1])
        return watch.last + self.rule(key[0]).window if watch else 0.0

    def _end(self, key: Key, at: float) -> list[Change]:
        rule, subject = key
        del self._open[key]
        watched = self._watched[rule]
        watched.open -= 1
        watch = watched.table.drop(subject)
        if watch is None:
            return []
        return [
            Change(
                "ended", key, at, watched.outline(subject, watch, at), Whole(partial(watched.whole, subject, watch, at))
            )
        ]
