"""The scanner: a block of whole lines in, tallies and events out.

Enters: blocks of bytes that end at a line end, cut anywhere else. Leaves: through the listener, one event for every
line that is more than a count; in `Tally`, the counts, and what became of each line. The result does not depend on
where blocks are cut.
This file must never know what a session is, nor what any wording means: it cuts a block into records with one pattern
(`records.header`), finds the rules of a record by its daemon and first word, and lets the first that fits have it.

Speed is the product here. One call of the compiled pattern cuts a whole block; per line there remain two look-ups and
the rule's own pattern. Names are local, branches are ordered by how often they are taken, and what happens once in a
thousand lines lives in a method of its own.
"""

import re
from collections.abc import Callable, Mapping
from operator import length_hint
from typing import NamedTuple, Protocol

import msgspec

from pfwatch.events import Envelope, Event, Foreign, Malformed, Severity, Unsupported
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.grammar import ANY_WORD, rules_by_word
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.tally import Tally
from pfwatch.records.header import (
    BODY,
    FORMS,
    LAST_REPEATED,
    MOST_REPEATS,
    REPEATED,
    Row,
    Tag,
    compile_form,
    postfix_tag,
)
from pfwatch.records.time import TimeReader

Process = tuple[bytes, bytes, bytes]
"""Host, tag and pid: what serves one client at a time (smtpd), or is one for all (postscreen, qmgr)."""

_SEVERITIES: Mapping[bytes, Severity] = {
    b"warning": "warning",
    b"error": "error",
    b"fatal": "fatal",
    b"panic": "panic",
}
_TRUNCATED = 2000
"""Bytes of a body at which Postfix cuts (MSG_SYSLOG_RECLEN)."""
_TAGS = 1024
_NEVER_POSTFIX_COMMAND = frozenset((b"connect", b"disconnect", b"statistics", b"daemon"))
"""First words of daemons; under the bare tag `postfix` they tell that the tag was cut."""


class Listener(Protocol):
    """Whoever follows the lines: `sessions.Sessions`."""

    watch: set[Process]
    """Processes whose next line, whatever it is, must be announced."""
    notes: dict[str, Callable[[Process, re.Match[bytes]], None]]
    """For the lines of rules with `notes`; called after `told` where the line is an event, too."""

    def spoke(self, process: Process, body: bytes) -> None:
        """A watched process wrote another line; called before anything else is made of the line."""

    def told(self, event: Event, process: Process) -> Event:
        """An event, in the order of the log. Returns it with what earlier lines know of it."""


class _Program(NamedTuple):
    """What a tag stands for."""

    tag: Tag
    rules: dict[bytes, tuple[Rule, ...]]


class _Last(NamedTuple):
    """The record that a `last message repeated` speaks of."""

    tag: bytes
    pid: bytes
    body: bytes
    queue_id: bytes
    word: bytes


class Scanner:
    """Reads one source. Sources are scanned apart, because their lines interleave."""

    def __init__(self, listener: Listener, times: TimeReader, *, every_event: bool = False) -> None:
        """Tell `listener` what happens; with `every_event`, tell it every line and count none."""
        self.tally = Tally()
        self.last_time = b""
        self._listener = listener
        self._times = times
        self._every_event = every_event
        self._form = "bsd"
        self._patterns: dict[str, re.Pattern[bytes]] = {}
        self._programs: dict[bytes, _Program | None] = {}
        self._hosts: dict[bytes, str] = {}
        self._tables: dict[str, dict[bytes, tuple[Rule, ...]]] = {}
        self._last: _Last | None = None

    def take(self) -> Tally:
        """The counts so far; counting begins anew."""
        tally, self.tally = self.tally, Tally()
        return tally

    def newest(self) -> float | None:
        """The time of the latest record, seconds since the epoch; None before the first."""
        moment = self._times.read(self.last_time) if self.last_time else None
        return moment.at if moment else None

    def state(self) -> bytes:
        """What a restart must know of the lines before, encoded."""
        return msgspec.msgpack.encode((self._last, self.last_time))

    def restore(self, saved: bytes) -> None:
        """Go on behind the lines that `state` speaks of."""
        self._last, self.last_time = msgspec.msgpack.decode(saved, type=tuple[_Last | None, bytes])

    def scan(self, block: bytes, reference: float) -> None:
        """Read whole lines; `reference` is the newest moment that a record in them can have."""
        if not block:
            return
        if b"\r\n" in block:
            block = block.replace(b"\r\n", b"\n")
        self._times.expect(reference)
        rows = self._pattern(self._form).findall(b"\n" + block[:-1])
        self.tally.total += len(rows)
        self._read(rows)
        self._remember(rows)

    def _read(self, rows: list[tuple[bytes, ...]]) -> None:  # noqa: C901 - the hot loop: a call per line would cost a third
        tally, listener = self.tally, self._listener
        counts, watch, programs, notes = tally.counts, listener.watch, self._programs, listener.notes
        every_event = self._every_event
        tallied = 0
        iterator = iter(rows)
        for row in iterator:
            _, host, tag, pid, body, _, word, _ = row
            try:
                program = programs[tag]
            except KeyError:
                program = self._program(tag)
            if program is None or not pid:
                self._no_postfix(rows, len(rows) - length_hint(iterator) - 1)
                continue
            if watch and (host, tag, pid) in watch:
                listener.spoke((host, tag, pid), body)
            for rule in program.rules.get(word) or program.rules.get(ANY_WORD, ()):
                if rule.counted is not None and not every_event:
                    found = rule.counted.match(body)
                    if found is not None and (rule.is_event is None or rule.is_event(body) is None):
                        key = (rule, tag, found.group(*rule.tally) if rule.tally else None)
                        counts[key] = counts.get(key, 0) + 1
                        tallied += 1
                        if rule.notes is not None:
                            notes[rule.notes]((host, tag, pid), found)
                        break
                    if rule.tally_pattern is None:
                        continue
                found = rule.compiled.match(body)
                if found is not None:
                    self._event(rule, found, row, program.tag, 1)
                    break
            else:
                self._without_rule(Row._make(row), program.tag, 1)
        tally.tallied += tallied

    def _row(self, row: Row, weight: int) -> None:
        """One record that stands for `weight` more of it."""
        program = self._program(row.tag)
        if program is None or not row.pid:
            self._unread(row, "foreign", weight)
            return
        for rule in program.rules.get(row.word) or program.rules.get(ANY_WORD, ()):
            found = rule.counted.match(row.body) if rule.counted is not None and not self._every_event else None
            if found is not None and (rule.is_event is None or rule.is_event(row.body) is None):
                key = (rule, row.tag, found.group(*rule.tally) if rule.tally else None)
                self.tally.counts[key] = self.tally.counts.get(key, 0) + weight
                self.tally.tallied += 1
                if rule.notes is not None:
                    self._listener.notes[rule.notes]((row.host, row.tag, row.pid), found)
                return
            found = rule.compiled.match(row.body)
            if found is not None:
                self._event(rule, found, row, program.tag, weight)
                return
        self._without_rule(row, program.tag, weight)

    def _event(self, rule: Rule, found: re.Match[bytes], row: tuple[bytes, ...], tag: Tag, weight: int) -> None:
        """Build the event of a line and tell it."""
        envelope = self._envelope(row, tag, weight, rule.name)
        if envelope is None:
            self._unread(Row._make(row), "malformed", weight)
            return
        process = (row[1], row[2], row[3])
        told = self._listener.told(rule.build(envelope, found), process)
        if rule.notes is not None:
            self._listener.notes[rule.notes](process, found)
        if told.envelope.part_of is None:
            self.tally.events += 1
        else:
            self.tally.parts += 1

    def _envelope(self, row: tuple[bytes, ...], tag: Tag | None, weight: int, rule: str | None) -> Envelope | None:
        time, host, tag_text, pid, body, queue_id, word, _ = row
        moment = self._times.read(time)
        if moment is None:
            return None
        severity: Severity = "info"
        if not queue_id and tag is not None and word in _SEVERITIES and body.startswith(b": ", len(word)):
            severity = _SEVERITIES[word]
        try:
            host_name = self._hosts[host]
        except KeyError:
            if len(self._hosts) >= _TAGS:
                self._hosts.clear()
            host_name = self._hosts[host] = host.decode("utf-8", "backslashreplace")
        service, daemon = tag or (None, tag_text.decode("utf-8", "backslashreplace"))
        return Envelope(
            moment.at,
            moment.stamp,
            host_name,
            service,
            daemon,
            int(pid[:18]) if pid else None,
            severity,
            weight,
            len(body) >= _TRUNCATED,
            rule,
            None,
            False,
            row[:5],
        )

    def _without_rule(self, row: Row, tag: Tag, weight: int) -> None:
        """A line of Postfix that no rule of its daemon and first word fits."""
        if row.word == b"message" and weight == 1:
            repeated = REPEATED.fullmatch(row.body)
            if repeated:
                inner = BODY.match(repeated[2])
                if inner:
                    times = min(int(repeated[1]), MOST_REPEATS)
                    body, queue_id, word = inner.groups(b"")
                    self._row(row._replace(body=body, queue_id=queue_id, word=word), times)
                    return
        if tag.daemon == "postfix" and (row.queue_id or row.word in _NEVER_POSTFIX_COMMAND):
            self.tally.misnamed += 1
        self._unread(row, "unsupported", weight)

    def _no_postfix(self, rows: list[tuple[bytes, ...]], index: int) -> None:
        """A line of another program, of no program, in another form, or one that repeats the line before it."""
        row = Row(*rows[index])
        if row.time:
            self._unread(row, "foreign", 1)
            return
        repeated = LAST_REPEATED.fullmatch(row.other)
        if repeated:
            last = self._before(rows, index)
            if last is None:
                self._unread(row, "malformed", 1)
            else:
                time, host, times = repeated.groups(b"")
                self._row(Row(time, host, *last, b""), min(int(times), MOST_REPEATS))
            return
        for form in FORMS:
            other = self._pattern(form).fullmatch(b"\n" + row.other)
            if other and other[1]:
                rows[index] = other.groups(b"")
                self._form = form  # the next block is cut by the form that was seen last
                self._read(rows[index : index + 1])
                return
        self._unread(row, "malformed", 1)

    def _before(self, rows: list[tuple[bytes, ...]], index: int) -> _Last | None:
        """The record that the row at `index` repeats."""
        for row in reversed(rows[:index]):
            if row[1]:
                return _Last(*row[2:7])
            if not LAST_REPEATED.fullmatch(row[7]):
                return None
        return self._last

    def _unread(self, row: Row, fate: str, weight: int) -> None:
        tally = self.tally
        tag = (self._programs.get(row.tag) or _NOBODYS).tag if fate == "unsupported" else None
        setattr(tally, fate, getattr(tally, fate) + 1)
        if fate == "unsupported":
            severity = _SEVERITIES.get(row.word, "info") if not row.queue_id else "info"
            tally.unread[row.tag, severity] = tally.unread.get((row.tag, severity), 0) + weight
        if not self._every_event:
            return
        envelope = self._envelope(row, tag, weight, None) if fate != "malformed" else None
        if envelope is None:
            envelope = Envelope(0.0, "", "", None, None, None, "info", weight, False, None)
        kind = {"foreign": Foreign, "unsupported": Unsupported, "malformed": Malformed}[fate]
        self._listener.told(kind(envelope, untrusted(row.other or row.body)), (row.host, row.tag, row.pid))

    def _program(self, tag: bytes) -> _Program | None:
        if tag in self._programs:
            return self._programs[tag]
        if len(self._programs) >= _TAGS:  # tags are written by local programs; a hostile one could make many
            self._programs.clear()
        known = postfix_tag(tag) if tag else None
        program = None
        if known:
            if known.daemon not in self._tables:
                self._tables[known.daemon] = rules_by_word(known.daemon)
            program = _Program(known, self._tables[known.daemon])
        self._programs[tag] = program
        return program

    def _pattern(self, form: str) -> re.Pattern[bytes]:
        if form not in self._patterns:
            self._patterns[form] = compile_form(form)
        return self._patterns[form]

    def _remember(self, rows: list[tuple[bytes, ...]]) -> None:
        """Keep what the next block may need: the latest time, and the record that may be repeated."""
        self._last = self._before(rows, len(rows))
        for row in reversed(rows):
            if row[0]:
                self.last_time = row[0]
                break


_NOBODYS = _Program(Tag("", ""), {})
