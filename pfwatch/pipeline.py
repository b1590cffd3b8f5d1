"""The core as one object, and the page to read first.

    block of lines -> Scanner -> events -> Sessions -> finished events -> Counters
         (parsing)    tallies ------------------------------------------> Counters
                                                   finished events -> Detector -> changes of incidents
                                                                      Planner  -> notifications

Enters: blocks of whole log lines through `feed`, the passing of time through `tick`. Leaves: the `Outcome` of each
call, the counters, and through `drain` everything that a restart must not lose.
This file must never know a clock, a file or a socket: the shell (`daemon`, `replay`) brings bytes and time, keeps what
is drained and sends what is to be sent.

Time here is the records' time. Whatever happens by waiting (an incident ends, a group of incidents is told) has a
deadline, and deadlines that lie before an event happen before it; so the story is the same however the log is cut and
however fast it is read.
"""

from collections.abc import Mapping, Sequence

import msgspec

from pfwatch.alerting.notification import Notification
from pfwatch.alerting.planner import Planner
from pfwatch.alerting.settings import AlertSettings
from pfwatch.detection.change import Change
from pfwatch.detection.detector import Detector
from pfwatch.detection.settings import DetectionSettings
from pfwatch.events import Event
from pfwatch.loss import LOSS_REASONS, Loss
from pfwatch.metrics.counters import Counters
from pfwatch.metrics.record import record
from pfwatch.metrics.tallies import count
from pfwatch.parsing.hits import Hit
from pfwatch.parsing.log import LogReader, LogSettings
from pfwatch.parsing.stretch import Counts, Stretch
from pfwatch.parsing.tally import FATES, Tally
from pfwatch.records.header import postfix_tag
from pfwatch.records.losses import read_losses
from pfwatch.sessions import Sessions

_NEVER = float("inf")


class Settings(LogSettings, frozen=True):
    """What the core can be told."""

    detection: DetectionSettings = msgspec.field(default_factory=DetectionSettings)
    alerts: AlertSettings = msgspec.field(default_factory=AlertSettings)


class Outcome(msgspec.Struct):
    """What one call brought about."""

    events: list[Event | Hit] = []
    built: list[Event] = []
    """Those of them that are no hits."""
    changes: list[Change] = []
    notifications: list[Notification] = []
    tally: Tally | None = None
    losses: list[Loss] = []
    """What the lines say that was dropped before it came to the log; counted already."""


class Pipeline:
    """Every source of one pfwatch, read into one story."""

    def __init__(
        self,
        settings: Settings,
        *,
        keep: bool = False,
        every_event: bool = False,
        whole: bool = True,
    ) -> None:
        """With `keep`, changes are collected for `drain`; with `every_event`, lines that only count are events, too;
        without `whole`, neither lines nor incidents are added to the counters, and incidents are known by number and
        time alone, which suffices for a subject line.
        """
        self.counters = Counters()
        self._settings = settings
        self._keep = keep
        self._every_event = every_event
        self._whole = whole
        self._sessions = Sessions(keep=keep)
        self._logs: dict[str, LogReader] = {}
        self._detector = Detector(settings.detection, keep=keep, texts=whole)
        self._planner = Planner(settings.alerts, self._detector, keep=keep, whole=whole)
        self._dropped: dict[tuple[str, str], int] = {}
        """Metric and rule -> how much of it is counted."""
        self._saved_logs: dict[bytes, bytes] = {}
        self._released: dict[bytes, bytes | None] = {}
        """States of logs that are gone since the last `drain`; None: not to be kept."""
        self._tell_at = _NEVER
        """The planner's next deadline."""
        self._wake_at = _NEVER
        """A moment before which nothing is due."""

    def feed(self, block: bytes, source: str, reference: float, clock: float | None = None) -> Outcome:
        """Read whole lines of a source.

        `reference` is the newest moment that a record in them can have, `clock` the wall's time where the log is read
        live (None: the log's own time is all there is); seconds since the epoch.
        """
        log = self._log(source)
        log.read(block, reference, live=clock is not None)
        return self._came(source, log, block, [], clock)

    def follow(self, stretch: Stretch, source: str, reference: float) -> Outcome:
        """The same of lines that were read apart, behind those that `feed` was given. Only without `whole`: of hits a
        stretch tells no more than who and when.
        """
        if self._whole:
            raise ValueError("what is read apart is not enough for all that is to be known")
        log = self._log(source)
        log.follow(stretch, reference)
        return self._came(source, log, stretch.rest, stretch.losses, None)

    def has_room(self, stretch: Stretch) -> bool:
        """Whether all that begins in a stretch finds room beside what is remembered."""
        sessions = self._sessions
        tables = sessions.clients, sessions.failures, sessions.messages
        return all(len(table.rows) + stretch.passing < table.limit for table in tables)

    def add(self, source: str, counts: Sequence[Counts], but: Sequence[Counts]) -> None:
        """Count what was counted in all stretches of a source, but for this: what was fed in their place."""
        self._log(source).add(counts, but)

    def tick(self, now: float, clock: float | None = None) -> Outcome:
        """Let time pass until `now` where no lines say so: every source is read to its end."""
        self._sessions.tick(now)
        outcome = Outcome(events=self._sessions.take_unbuilt())
        self._follow(outcome, clock)
        # What still waits for its library's words happened before whatever is due behind it.
        self._pass_time(min(now, self._sessions.waiting_since()), outcome, clock)
        self._note(outcome)
        return outcome

    def finish(self) -> Outcome:
        """Let everything that waits happen: the log is at its end and nothing follows."""
        for log in self._logs.values():
            log.finish()
        self._sessions.finish()
        outcome = Outcome(events=self._sessions.take_unbuilt(), tally=self._gather())
        self._follow(outcome, None)
        self._pass_time(float("inf"), outcome, None)
        self._note(outcome)
        return outcome

    def begin(self, source: str) -> None:
        """A source will be read: its series exist from now on, at zero, so that `increase()` sees the first of each."""
        self.counters.add("pfwatch_lines_total", (source, FATES[0]), 0)
        for metric in ("pfwatch_losses_total", "pfwatch_lines_missed_total", "pfwatch_bytes_missed_total"):
            self.counters.add(metric, (source, LOSS_REASONS[0]), 0)

    def lose(self, source: str, losses: Sequence[Loss]) -> None:
        """Count what a source can never give."""
        for loss in losses:
            labels = source, loss.reason
            self.counters.add("pfwatch_losses_total", labels)
            if loss.lines is not None:
                self.counters.add("pfwatch_lines_missed_total", labels, loss.lines)
            elif loss.size is not None:
                self.counters.add("pfwatch_bytes_missed_total", labels, loss.size)

    def newest(self, source: str) -> float | None:
        """The time of a source's latest record, seconds since the epoch."""
        log = self._logs.get(source)
        return log.newest() if log else None

    def release(self, source: str) -> None:
        """A source is not read at present: hold no more of it than what must be known when it comes back."""
        log = self._logs.pop(source, None)
        if log:
            count(self.counters, log.take())
            self._released[source.encode()] = self._saved_logs[source.encode()] = log.state()

    def forget(self, source: str) -> None:
        """A source does not come back."""
        self.release(source)
        self._saved_logs.pop(source.encode(), None)
        self._released[source.encode()] = None

    def open_incidents(self) -> int:
        """How many incidents are open, of all rules."""
        return sum(map(self._detector.open_count, self._settings.detection.rules))

    def drain(self, *, whole: bool = False) -> dict[str, dict[bytes, bytes | None]]:
        """What changed since the last call and must outlive the process, by part. The counters are complete then.

        With `whole` everything there is, parts without a row as well: whatever else is kept of these parts is to go.
        """
        self._gather()
        if whole:
            for part_of_it in (self._sessions, self._detector, self._planner):
                part_of_it.touch_all()
        kept = self._sessions.drain() | self._detector.drain() | {"planner": self._planner.drain()}
        released, self._released = self._released, {}
        kept["log"] = dict(self._saved_logs) if whole else released  # of those that have said nothing since, too
        kept["log"] |= {source.encode(): log.state() for source, log in self._logs.items()}
        return {part: rows for part, rows in kept.items() if rows or whole}

    def restore(self, saved: Mapping[str, Mapping[bytes, bytes]]) -> None:
        """Go on with what `drain` gave."""
        self._sessions.restore(saved)
        self._detector.restore(saved)
        self._planner.restore(saved.get("planner", {}))
        self._saved_logs = dict(saved.get("log", {}))
        self._tell_at, self._wake_at = self._planner.next_deadline(), 0.0

    def _log(self, source: str) -> LogReader:
        log = self._logs.get(source)
        if log is None:
            settings = self._settings
            log = self._logs[source] = LogReader(
                self._sessions,
                settings.zone,
                settings.year,
                every_event=self._every_event,
                dovecot=settings.dovecot,
                bare=not self._whole,
            )
            if source.encode() in self._saved_logs:
                log.restore(self._saved_logs[source.encode()])
        return log

    def _came(self, source: str, log: LogReader, lines: bytes, losses: list[Loss], clock: float | None) -> Outcome:
        """What came of lines that were read; `losses` are those that they tell of, but for those of these `lines`."""
        tally = log.take(counts=False)
        outcome = Outcome(events=self._sessions.take_unbuilt(), tally=tally, losses=losses)
        if lines and tally.foreign and log.tell_losses:  # such lines are foreign
            outcome.losses = losses + read_losses(lines, log.times)
        if self._whole:
            self.lose(source, outcome.losses)
        self._follow(outcome, clock)
        self._count(source, log, outcome)
        return outcome

    def _follow(self, outcome: Outcome, clock: float | None) -> None:
        """Count events and let them and hits change incidents, each after what was due before it."""
        events, detector, number = outcome.events, self._detector, 0
        while number < len(events):
            one = events[number]
            at = one.at if isinstance(one, Hit) else one.envelope.at
            if at >= self._wake_at:
                self._pass_time(at, outcome, clock)
            if isinstance(one, Hit):
                number, changes = detector.count_hits(events, number, self._wake_at)
            else:
                outcome.built.append(one)
                if self._whole:
                    record(self.counters, one)
                changes = detector.feed(one)
                number += 1
            if changes:
                self._take(changes, outcome, clock)
                self._wake_at = min(detector.next_deadline(), self._tell_at)

    def _pass_time(self, now: float, outcome: Outcome, clock: float | None) -> None:
        """Let the deadlines up to `now` happen, each in its turn."""
        detector, planner = self._detector, self._planner
        ends = detector.next_deadline()
        while (due := min(ends, self._tell_at)) <= now and due < _NEVER:
            if ends <= due:
                changes = detector.tick(due)
                if changes:
                    self._take(changes, outcome, clock)
                ends = detector.next_deadline()
            if self._tell_at <= due:
                outcome.notifications += planner.tick(due, clock)
                self._tell_at = planner.next_deadline()
        self._wake_at = due

    def _take(self, changes: Sequence[Change], outcome: Outcome, clock: float | None) -> None:
        """Take what happened to incidents."""
        outcome.changes += changes
        outcome.notifications += self._planner.feed(changes, clock)
        self._tell_at = self._planner.next_deadline()

    def _count(self, source: str, log: LogReader, outcome: Outcome) -> None:
        """Add a block's lines to the counters."""
        tally, counters = outcome.tally, self.counters
        if tally is None or not self._whole:
            return
        count(self.counters, tally)
        for (tag, severity), weight in tally.unread.items():
            known = postfix_tag(tag)
            if known:
                counters.add("postfix_unsupported_log_entries_total", (known.daemon, severity), weight)
        for fate, lines in tally.fates().items():
            if lines:
                counters.add("pfwatch_lines_total", (source, fate), lines)
        newest = log.newest()
        if newest is not None:
            counters.set("pfwatch_source_last_record_timestamp_seconds", (source,), newest)
        self._note(outcome)

    def _gather(self) -> Tally:
        """Bring the counters up to date: most lines are counted where they are read, and added up now and then."""
        gathered = Tally()
        for log in self._logs.values():
            tally = log.take()
            if self._whole:
                count(self.counters, tally)
            gathered.total += tally.total
            for fate, lines in tally.fates().items():
                setattr(gathered, fate, getattr(gathered, fate) + lines)
            for (rule, kind), keys in tally.counts.items():
                gathered.add(rule, kind, keys)
        return gathered

    def _note(self, outcome: Outcome) -> None:
        """Count incidents and what was not told."""
        if not self._whole:
            return
        counters = self.counters
        for change in outcome.changes:
            if change.what == "opened":
                counters.add("pfwatch_incidents_total", (change.incident.rule, change.incident.severity))
        if outcome.changes:
            for rule in self._settings.detection.rules:
                counters.set("pfwatch_incidents_open", (rule,), self._detector.open_count(rule))
        for reason, times in self._planner.suppressed.items():
            counters.add("pfwatch_notifications_suppressed_total", (reason,), times)
        self._planner.suppressed.clear()
        for name, dropped in (
            ("pfwatch_subjects_evicted_total", self._detector.evicted()),
            ("pfwatch_incident_texts_dropped_total", self._detector.given_up()),
        ):
            for rule, number in dropped.items():
                before = self._dropped.get((name, rule), 0)
                if number > before:
                    counters.add(name, (rule,), number - before)
                    self._dropped[name, rule] = number
