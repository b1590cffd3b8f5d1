"""The scanner: a block of whole lines in, tallies and events out.

Enters: blocks of bytes that end at a line end, cut anywhere else. Leaves: through the listener, one event or hit for
every line that is more than a count; in `Tally`, the counts, and what became of each line. The result does not depend
on where blocks are cut.
This file must never know what a session is, nor what any wording means: one pattern (`parsing.block`) cuts a block and
tells the heads of plain lines, `parsing.readings` counts them; for any other record it finds the rules of its daemon
and first word, and lets the first that fits have it.

Speed is the product here: nine lines of ten are plain, cost one match of the block's pattern, and leave a number in a
dictionary. What happens once in a hundred lines lives in a method of its own.
"""

import re
from operator import length_hint
from typing import Any, NamedTuple

import msgspec

from pfwatch.events import Envelope, Event, Foreign, Malformed, Severity, Unsupported
from pfwatch.parsing.block import Pieces, cut_pattern
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.hits import SEVERITIES, TRUNCATED
from pfwatch.parsing.listener import Listener
from pfwatch.parsing.programs import Programs
from pfwatch.parsing.readings import Reading, reading_of
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.tally import Tally
from pfwatch.records.header import (
    BODY,
    FIRST_WORD,
    FORMS,
    LAST_REPEATED,
    MOST_REPEATS,
    REPEATED,
    Row,
    Tag,
    compile_form,
    row_of,
)
from pfwatch.records.time import TimeReader

_BY_WORD = {word.encode(): severity for word, severity in SEVERITIES.items()}
_TAGS = 1024
_HEADS = 256
"""Heads of one origin: Postfix's own words with an SMTP command in them, of which it knows some thirty."""
_MOST_LINES = 50_000
"""Plain lines whose counts are gathered at the latest."""
_NOT = (None, None)
_NEVER_POSTFIX_COMMAND = frozenset((b"connect", b"disconnect", b"statistics", b"daemon"))
"""First words of daemons; under the bare tag `postfix` they tell that the tag was cut."""


class _Last(NamedTuple):
    """The record that a `last message repeated` speaks of."""

    tag: bytes
    pid: bytes
    body: bytes
    queue_id: bytes
    word: bytes


FOREIGN = False
Readings = dict[bytes, dict[bytes, Reading | bool | None]]
"""Origin -> head -> what to do with such lines; None: they are not plain, FOREIGN: they are nobody's who is read."""


class Scanner:
    """Reads one source. Sources are scanned apart, because their lines interleave."""

    def __init__(
        self, listener: Listener, times: TimeReader, *, every_event: bool = False, dovecot: bool = False
    ) -> None:
        """Tell `listener` what happens; with `every_event`, tell it every line and count none; with `dovecot`, read
        Dovecot's lines, too.
        """
        self.tally = Tally()
        self.last_time = b""
        self._listener = listener
        self._times = times
        self._every_event = every_event
        self._form = "bsd"
        self._identified: Readings = {}
        self._anonymous: Readings = {}
        """The same for bodies that begin with a queue id, and for others."""
        self._plain = 0
        """Plain lines whose counts are not gathered yet."""
        self._programs = Programs(_TAGS, dovecot=dovecot)
        self._hosts: dict[bytes, str] = {}
        self._last: _Last | None = None
        self._starts: tuple[bytes, list[int]] = b"", []

    def take(self, *, counts: bool = True) -> Tally:
        """What became of the lines since the last call and, with `counts` or when they are many, their counts."""
        if counts or self._plain >= _MOST_LINES:
            self._gather()
        tally, self.tally = self.tally, Tally()
        return tally

    def _gather(self) -> None:
        """Move the counts of plain lines into the tally."""
        self._plain = 0
        for readings in (self._identified, self._anonymous):
            for heads in readings.values():
                for reading in heads.values():
                    if isinstance(reading, Reading):
                        reading.gather(self.tally)

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
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        self._times.expect(reference)
        block = b"\n" + block
        self.tally.total += self._read_all(block) if self._every_event else self._read(block)
        self._remember(block)

    def _read_all(self, block: bytes) -> int:
        """Read every line by itself; gives their number."""
        rows = compile_form(self._form).findall(block, 0, len(block) - 1)
        steps = iter(rows)
        for row in steps:
            self._cold(Row._make(row), block, len(rows) - length_hint(steps) - 1)
        return len(rows)

    def _read(self, block: bytes) -> int:  # noqa: C901 - a call costs as much as the rest of what a line needs
        """Count what is plain, read the rest one by one, each in its turn; gives the number of lines."""
        rows = cut_pattern(self._form).findall(block, 0, len(block) - 1)
        listener, read_time = self._listener, self._times.read
        watch, reused, finished = listener.watch, listener.reused, listener.finished
        clients, failures, messages = listener.clients, listener.failures, listener.messages
        failed = failures.rows
        identified, anonymous = self._identified, self._anonymous
        hits = others = 0
        moment, moment_of = None, b""
        reading: Any
        steps = iter(rows)
        for cut in steps:
            time, origin, pid, queue_id, head, client, tail, _ = cut
            try:
                reading = (identified if queue_id else anonymous)[origin][head]
            except KeyError:
                reading = self._learn(origin, head, with_id=bool(queue_id))
            if reading and pid:
                counts, note, varied, process = reading
                if watch and (*process, pid) in watch:
                    listener.spoke((*process, pid), head + client + tail)
                if varied is None:
                    try:
                        counts[tail] += 1
                        if note is None:
                            continue
                        if note == "connect":
                            key = (*process, pid)
                            clients.put(key, client)
                            if key in failed:
                                failures.drop(key)
                            continue
                        if note == "disconnect":
                            key = (*process, pid)
                            unspoken = counts.noted[tail]  # AUTH commands that failed
                            if unspoken <= failed.get(key, 0):
                                if unspoken:
                                    failures.drop(key)
                                clients.drop(key)
                                continue
                            counts[tail] -= 1
                        elif note == "client":
                            message = (process[0], queue_id)
                            messages.put(message, (client, counts.noted[tail], False))
                            if message in reused:
                                listener.accepted(message)
                            continue
                        else:
                            messages.drop((process[0], queue_id))
                            continue
                    except KeyError:
                        pass  # not plain
                elif found := varied.match(tail):
                    row = found.groups()
                    if counts is None:
                        varied.rows.append(row)
                        continue
                    judged = counts[row]
                    if judged[1] is False:
                        judged[0] += 1
                        continue
                    if time != moment_of:
                        moment, moment_of = read_time(time), time
                    if judged[1] and moment is not None:
                        judged[0] += 1
                        hits += 1
                        if watch:
                            listener.tick(moment[0])
                        finished.append((varied.hits, moment, moment_of, pid, queue_id, client, tail))
                        if note is not None:
                            key = (*process, pid)
                            failures.put(key, failed.get(key, 0) + 1)
                        continue
            others += 1
            if reading is FOREIGN:
                self.tally.foreign += 1
            else:
                self._not_plain(cut, block, len(rows) - length_hint(steps) - 1)
        tallied = len(rows) - hits - others
        self.tally.tallied += tallied
        self.tally.events += hits
        self._plain += tallied + hits
        return len(rows)

    def _learn(self, origin: bytes, head: bytes, *, with_id: bool) -> Reading | bool | None:
        """What to do with lines of an origin and head that were not seen before."""
        host, _, tag = origin.partition(b" ")
        if not tag:  # no record
            return None
        program = self._programs.of(tag)
        readings = self._identified if with_id else self._anonymous
        heads = readings.get(origin)
        if heads is None:
            if len(readings) >= _TAGS:
                self._gather()
                readings.clear()
            heads = readings[origin] = {}
        if len(heads) >= _HEADS:
            return None
        reading: Reading | bool | None = FOREIGN
        if program is not None:
            reading = reading_of(host, tag, program.tag, head, with_id=with_id) if program.tag else None
        heads[head] = reading
        return reading

    def _not_plain(self, cut: Pieces, block: bytes, number: int) -> None:
        """A line that the block's pattern cut and that no plain form fits."""
        time, origin, pid, queue_id, head, client, tail, other = cut
        host, _, tag = origin.partition(b" ")
        body = head + client + tail
        word = body
        if queue_id:
            body = queue_id + b": " + body
        row = Row(time, host, tag, pid, body, queue_id, FIRST_WORD.match(word)[0], other)  # type: ignore[index] # fits any
        self._cold(row, block, number)

    def _told(self, event: Event) -> None:
        if event.envelope.part_of is None:
            self.tally.events += 1
        else:
            self.tally.parts += 1

    def _cold(self, row: Row, block: bytes, number: int) -> None:
        """The line of a block with this number, read by itself."""
        if not row.time:
            self._no_record(row, block, number)
            return
        if self._listener.watch and (row.host, row.tag, row.pid) in self._listener.watch:
            self._listener.spoke((row.host, row.tag, row.pid), row.body)
        self._row(row, 1)

    def _row(self, row: Row, weight: int) -> None:
        """One record that stands for `weight` more of it."""
        program = self._programs.of(row.tag)
        if program is None or not (row.pid or program.tag is None):
            self._unread(row, "foreign", weight)
            return
        for rule in program.rules(row.word, row.body):
            if rule.counted and not self._every_event and self._counted(rule, row, weight):
                return
            found = rule.compiled.match(row.body)
            if found is not None:
                self._event(rule, found, row, program.tag, weight)
                return
        self._without_rule(row, program.tag, weight)

    def _counted(self, rule: Rule, row: Row, weight: int) -> bool:
        """Whether the line is only counted, and is."""
        found, judge = next(((one, judge) for pattern, judge in rule.counted if (one := pattern.match(row.body))), _NOT)
        if found is None:
            return False
        fields = [found[name] for name in rule.tally or ()]
        if judge is not None and judge(*fields) is not False:
            return False
        noted = _noted(rule, row, found)
        if rule.asks is not None and self._listener.asks[rule.asks](*noted):
            return False
        self.tally.add(rule, rule.kind, {(row.tag, *fields): weight})
        self.tally.tallied += 1
        if rule.notes is not None:
            self._listener.notes[rule.notes](*noted)
        return True

    def _event(self, rule: Rule, found: re.Match[bytes], row: Row, tag: Tag | None, weight: int) -> None:
        """Build the event of a line and tell it."""
        severity = "info" if row.queue_id else _severity(row)
        envelope = self._envelope(row[:5], tag, weight, rule.name, severity)
        if envelope is None:
            self._unread(row, "malformed", weight)
            return
        self._told(self._listener.told(rule.build(envelope, found), (row.host, row.tag, row.pid)))
        if rule.notes is not None:
            self._listener.notes[rule.notes](*_noted(rule, row, found))

    def _envelope(
        self, record: tuple[bytes, ...], tag: Tag | None, weight: int, rule: str | None, severity: Severity
    ) -> Envelope | None:
        time, host, tag_text, pid, body = record
        moment = self._times.read(time)
        if moment is None:
            return None
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
            len(body) >= TRUNCATED,
            rule,
            None,
            False,
            record,
        )

    def _without_rule(self, row: Row, tag: Tag | None, weight: int) -> None:
        """A line that no rule of its program and first word fits."""
        if row.word == b"message" and weight == 1:
            repeated = REPEATED.fullmatch(row.body)
            if repeated:
                inner = BODY.match(repeated[2])
                if inner:
                    times = min(int(repeated[1]), MOST_REPEATS)
                    body, queue_id, word = inner.groups(b"")
                    self._row(row._replace(body=body, queue_id=queue_id, word=word), times)
                    return
        if tag is None:  # most that Dovecot says is nothing to us
            self._unread(row, "foreign", weight)
            return
        if tag.daemon == "postfix" and (row.queue_id or row.word in _NEVER_POSTFIX_COMMAND):
            self.tally.misnamed += 1
        self._unread(row, "unsupported", weight)

    def _no_record(self, row: Row, block: bytes, number: int) -> None:
        """A line in another form, one that repeats the line before it, or nobody's."""
        repeated = LAST_REPEATED.fullmatch(row.other)
        if repeated:
            last = self._before(block, self._start_of(block, number))
            if last is None:
                self._unread(row, "malformed", 1)
            else:
                time, host, times = repeated.groups(b"")
                self._row(Row(time, host, *last, b""), min(int(times), MOST_REPEATS))
            return
        for form in FORMS:
            other = compile_form(form).fullmatch(b"\n" + row.other)
            if other and other[1]:
                self._form = form  # the next block is cut by the form that was seen last
                if self._every_event:
                    self._cold(Row._make(other.groups(b"")), block, number)
                else:
                    self._read(b"\n" + row.other + b"\n")
                return
        self._unread(row, "malformed", 1)

    def _start_of(self, block: bytes, number: int) -> int:
        """Where the line with this number begins; every line of a block is one match of its pattern."""
        if self._starts[0] is not block:
            self._starts = block, [found.start() for found in re.finditer(rb"\n", block)]
        return self._starts[1][number]

    def _before(self, block: bytes, end: int) -> _Last | None:
        """The record that a line repeats which begins at `end`."""
        while (begin := block.rfind(b"\n", 0, end)) >= 0:
            line = block[begin:end]
            if not LAST_REPEATED.fullmatch(line, 1):
                row = row_of(line)
                return _Last(*row[2:7]) if row else None
            end = begin
        return self._last

    def _unread(self, row: Row, fate: str, weight: int) -> None:
        tally = self.tally
        program = self._programs.of(row.tag) if fate == "unsupported" else None
        tag = program.tag if program else None
        setattr(tally, fate, getattr(tally, fate) + 1)
        if fate == "unsupported":
            severity = _BY_WORD.get(row.word, "info") if not row.queue_id else "info"
            tally.unread[row.tag, severity] = tally.unread.get((row.tag, severity), 0) + weight
        if not self._every_event:
            return
        severity = "info" if row.queue_id or tag is None else _severity(row)
        envelope = self._envelope(row[:5], tag, weight, None, severity) if fate != "malformed" else None
        if envelope is None:
            envelope = Envelope(0.0, "", "", None, None, None, "info", weight, False, None)
        kind = {"foreign": Foreign, "unsupported": Unsupported, "malformed": Malformed}[fate]
        self._listener.told(kind(envelope, untrusted(row.other or row.body)), (row.host, row.tag, row.pid))

    def _remember(self, block: bytes) -> None:
        """Keep what the next block may need: the latest time, and the record that may be repeated."""
        end = len(block) - 1
        self._last = self._before(block, end)
        while (begin := block.rfind(b"\n", 0, end)) >= 0:
            row = row_of(block[begin:end])
            if row:
                self.last_time = row.time
                return
            end = begin


def _severity(row: Row) -> Severity:
    """By the word that Postfix puts before whatever is not information."""
    return _BY_WORD.get(row.word, "info") if row.body.startswith(b": ", len(row.word)) else "info"


def _noted(rule: Rule, row: Row, found: re.Match[bytes]) -> tuple[bytes | None, ...]:
    """What the rule's `noted` names."""
    own = {"host": row.host, "tag": row.tag, "pid": row.pid}
    return tuple(own[name] if name in own else found[name] for name in rule.noted)
