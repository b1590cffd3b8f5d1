"""Detection: from events to incidents that open, grow and end.

Enters: finished events in the order of the log, and the passing of time. Leaves: `Change`s, and incidents on request.
This file must never know who is told.

Time is the records' own. Everything that happens by waiting has a deadline and happens at it, in the order of
deadlines, whenever `tick` is called: so the story does not depend on how often that is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from pfwatch.detection.change import Change, Key, Whole
from pfwatch.detection.diary import Diary, Opened
from pfwatch.detection.ends import Ends
from pfwatch.detection.incident import Incident
from pfwatch.detection.room import pack
from pfwatch.detection.rows import NEVER, HitCounter, Row, Rows
from pfwatch.detection.rules import RULES, Facts, Networks
from pfwatch.detection.settings import DetectionSettings, RuleSettings
from pfwatch.detection.texts import cut_record
from pfwatch.detection.watch import Happened, Watch
from pfwatch.detection.watched import Watched
from pfwatch.events import Event
from pfwatch.parsing.hits import Hit

_NOTHING: tuple[Change, ...] = ()
_MOST_UNPACKED = 10_000_000
"""Bytes of hits that are kept as they came: some 50,000 of the usual length. Each time there are so many, it is seen to
that all texts together find room; by what stands in the log and not by time, so that the same log gives the same.
"""
_EVENT = 100
"""Bytes of an event beside its line, for the same."""
_RESTORED = 250
"""Bytes of a hit or an event that comes back after a restart, about."""
_MOST_STALE = 1_000
"""Ends of dropped incidents that may wait for their time."""


class _Wanted(NamedTuple):
    """What a rule makes of one kind of event."""

    watched: Watched
    weigh: Callable[[Any], int]
    facts: Callable[[Any], Facts]


class Detector:
    """Watches every subject under every enabled rule."""

    def __init__(self, settings: DetectionSettings, *, keep: bool = False, texts: bool = True) -> None:
        """With `keep`, changes are collected for `drain`; without `texts`, incidents are known by number and time
        alone, which costs less.
        """
        self._texts = texts
        self._settings = settings
        self._watched: dict[str, Watched] = {}
        self._open: dict[Key, Row] = {}
        """The rows of open incidents, in the order of opening."""
        self._wanted: dict[type[Event], list[_Wanted]] = {}
        self._wanted_hits: dict[type[Event], list[Rows]] = {}
        self._hits = HitCounter(self, self._wanted_hits, _MOST_UNPACKED)
        """Where it has no room left for hits and events, all are packed."""
        self._diary = Diary()
        self._ends = Ends()
        """Each open incident with a moment before which it does not end, and some that were dropped."""
        for rule in RULES:
            numbers = settings.rules.get(rule.name)
            if numbers is None or not numbers.enabled:
                continue
            rows = Rows(rule.name, settings.max_subjects, numbers.window, keep=keep, texts=texts)
            watched = Watched(rule.name, numbers, rows, Networks((*settings.allow, *numbers.allow)), rule.hits, texts)
            self._watched[rule.name] = watched
            for kind in rule.hits:
                self._wanted_hits.setdefault(kind, []).append(rows)
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
        changes: list[Change] = []
        for watched, weigh, facts in wanted:
            weight = weigh(event)
            if weight:
                subject = watched.subject(client.ip)
                if subject is not None:
                    self._count(watched, subject, event, weight, facts, changes)
        return changes

    def count_hits(self, events: list[Any], begin: int, until: float) -> tuple[int, Sequence[Change]]:
        """Count the hits that stand at `begin` and behind it, up to the first event that is none, the first at `until`
        or later, or one that changes something. Gives where it stopped, and the changes.

        What hits tell is read when somebody looks at their subject.
        """
        end, changes = self._hits.count(events, begin, until)
        if self._hits.room <= 0:
            self._pack()
        return end, changes

    def tick(self, now: float) -> list[Change]:
        """End the incidents that have been quiet for a whole window by `now`."""
        changes: list[Change] = []
        ends = self._ends
        while (at := ends.next()) <= now and at < NEVER:
            for key in ends.take():
                row = self._open.get(key)
                if row is None:  # dropped meanwhile
                    continue
                watched = self._watched[key[0]]
                end = row.last + watched.numbers.window
                if end > at:  # back in line: another one may end before it
                    ends.add(end, key)
                else:
                    changes.append(self._end(watched, key, row, end))
        return changes

    def next_deadline(self) -> float:
        """A moment before which nothing happens by waiting; infinity if nothing does."""
        return self._ends.next()

    def incident(self, key: Key) -> Incident | None:
        """An open incident as it stands."""
        row = self._open.get(key)
        watched = self._watched[key[0]]
        return watched.whole(key[1], watched.settled(row)) if row else None

    def outline(self, key: Key) -> Incident | None:
        """The same without what fills a mail."""
        row = self._open.get(key)
        watched = self._watched[key[0]]
        return watched.outline(key[1], watched.settled(row)) if row else None

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
        row = self._open.get(key)
        if row:
            watched = self._watched[key[0]]
            watch = watched.settled(row)
            watch.mark = count  # not kept: who says so says it again after a restart
            row.left = watch.room(watched.numbers.threshold)

    def rule(self, name: str) -> RuleSettings:
        """The numbers of a rule."""
        return self._settings.rules[name]

    def evicted(self) -> dict[str, int]:
        """Rule -> subjects given up for want of room."""
        return {name: watched.rows.evicted for name, watched in self._watched.items()}

    def given_up(self) -> dict[str, int]:
        """Rule -> texts given up for want of room."""
        return {name: watched.given_up for name, watched in self._watched.items()}

    def drain(self) -> dict[str, dict[bytes, bytes | None]]:
        """What changed since the last call, by table."""
        return self._diary.drain(self._watched)

    def touch_all(self) -> None:
        """Say that everything is to be kept anew."""
        self._diary.begin_anew()

    def restore(self, saved: Mapping[str, Mapping[bytes, bytes]]) -> None:
        """Go on with what `drain` gave."""
        self._diary.restore(saved, self._watched)
        for name, watched in self._watched.items():
            opened: list[tuple[float, str, Row]] = []
            for row in watched.rows:
                watch = watched.settled(row)
                watch.mark = None
                row.left = watch.room(watched.numbers.threshold)
                row.held = watch.opened is not None
                row.bare = row.held and not self._texts
                if watch.opened is not None:
                    opened.append((watch.opened, row.subject, row))
            self._open.update(((name, subject), row) for _, subject, row in sorted(opened, key=itemgetter(0, 1)))
            watched.open = len(opened)
        self._order_ends()
        self._hits.room -= self._diary.news * _RESTORED
        if self._hits.room <= 0:
            self._pack()

    def meet(self, rows: Rows, hit: Hit, gone: str, changes: list[Change]) -> Row | None:
        """The row of a client who has none; its subject, if he had one before, is `gone`. None for whom a rule leaves
        alone. Who has to make room for it is added to the changes.
        """
        watched, row = self._watched[rows.rule], None
        subject = gone or watched.subject_of_client(hit.client)
        if subject:
            row = rows.of_subject.get(subject)
            if row is None:
                if len(rows.of_subject) >= rows.limit:
                    changes += self._make_room(watched, hit.at)
                row = rows.add(subject, watched.numbers.threshold, host=hit.hits.host)
        rows.know(hit.client, row)
        return row

    def look(self, rows: Rows, row: Row, at: float) -> Sequence[Change]:
        """What the latest hit or event of a subject changed."""
        watched = self._watched[rows.rule]
        numbers, watch = watched.numbers, watched.settled(row)
        what: Literal["opened", "grew"] | None = None
        if watch.opened is None:
            if watch.count >= numbers.threshold:
                what = "opened"
                self._begin(watched, row, watch, at)
                if rows.keep:
                    rows.note(row, Opened(at))
        elif watch.mark is not None and watch.count >= watch.mark:
            what = "grew"
            watch.mark = None
        row.left = watch.room(numbers.threshold)
        if what is None:
            return _NOTHING
        return (Change(what, (watched.name, row.subject), at, watched.outline(row.subject, watch)),)

    def _count(
        self,
        watched: Watched,
        subject: str,
        event: Any,
        weight: int,
        facts: Callable[[Any], Facts],
        changes: list[Change],
    ) -> None:
        envelope, rows = event.envelope, watched.rows
        row = rows.of_subject.get(subject)
        if row is None:
            changes += self._make_room(watched, envelope.at)
            watch = Watch(envelope.host) if self._texts else None
            row = rows.add(subject, watched.numbers.threshold, watch, host=envelope.record[1])
        if self._texts:
            watch, record = watched.read(row), cut_record(envelope.record)
            one = Happened(
                envelope.at,
                weight,
                envelope.host,
                envelope.service,
                envelope.daemon,
                record,
                event.client,
                facts(event),
            )
            watch.happen(one, watched.numbers.window, tell=True)
            row.last = watch.last
            rows.touch(row)
            rows.heard += sum(map(len, record))
            rows.note(row, one)
            self._hits.room -= _EVENT + sum(map(len, envelope.record))
        elif weight == 1:
            self._hits.room -= rows.hang_up_moment(row, envelope.at)
        else:
            watch = watched.settled(row)
            watch.add(envelope.at, weight, watched.numbers.window)
            row.left, row.last = 0, watch.last
            rows.touch(row)
        if envelope.at >= rows.quiet_at:
            rows.forget_quiet(envelope.at)
        if self._texts or row.left <= 0:
            changes += self.look(rows, row, envelope.at)
        if self._hits.room <= 0:
            self._pack()

    def _make_room(self, watched: Watched, at: float) -> Sequence[Change]:
        """Where there is no room for another subject, give up the one that was quiet longest, with its incident."""
        row = watched.rows.make_room()
        if row is None:
            return _NOTHING
        key = watched.name, row.subject
        if key not in self._open:
            row.watch, row.waiting = None, []  # nobody will look
            return _NOTHING
        del self._open[key]
        watch = watched.take(row)
        watched.open -= 1
        if len(self._ends) > 2 * len(self._open) + _MOST_STALE:
            self._order_ends()
        return (Change("dropped", key, at, watched.outline(row.subject, watch)),)

    def _order_ends(self) -> None:
        self._ends = Ends()
        for (rule, subject), row in self._open.items():
            self._ends.add(row.last + self.rule(rule).window, (rule, subject))

    def _pack(self) -> None:
        self._hits.room = _MOST_UNPACKED
        pack(self._watched.values())

    def _begin(self, watched: Watched, row: Row, watch: Watch, at: float) -> None:
        key = watched.name, row.subject
        watch.open(*key, at)
        self._open[key] = row
        row.held, row.bare = True, not self._texts
        watched.open += 1
        self._ends.add(at + watched.numbers.window, key)

    def _end(self, watched: Watched, key: Key, row: Row, at: float) -> Change:
        del self._open[key]
        watched.open -= 1
        watched.rows.drop(row)
        subject, watch = row.subject, watched.take(row)
        whole = Whole(partial(watched.whole, subject, watch, at)) if self._texts else None
        return Change("ended", key, at, watched.outline(subject, watch, at), whole)
