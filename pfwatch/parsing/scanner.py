"""The scanner: a block of whole lines in, tallies and events out.

Enters: blocks of bytes that end at a line end, cut anywhere else. Leaves: through the listener, one event for every
line that is more than a count; in `Tally`, the counts, and what became of each line. The result does not depend on
where blocks are cut.
This file must never know what a session is, nor what any wording means: one pattern (`parsing.block`) cuts a block and
recognises the plain forms of lines; for any other record it finds the rules of its daemon and first word, and lets the
first that fits have it.

Speed is the product here: nine lines of ten are of a plain form, cost one match of the block's pattern, and leave a
number in a dictionary. What happens once in a hundred lines lives in a method of its own.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from pfwatch.events import Envelope, Event, Foreign, Malformed, Severity, Unsupported
from pfwatch.parsing.block import Alternative, BlockPattern, block_pattern
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.listener import Listener
from pfwatch.parsing.programs import Programs
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
    row_of,
)
from pfwatch.records.time import TimeReader

SEVERITIES: Mapping[str, Severity] = {"warning": "warning", "error": "error", "fatal": "fatal", "panic": "panic"}
_BY_WORD = {word.encode(): severity for word, severity in SEVERITIES.items()}
_TRUNCATED = 2000
"""Bytes of a body at which Postfix cuts (MSG_SYSLOG_RECLEN)."""
_TAGS = 1024
_NEVER_POSTFIX_COMMAND = frozenset((b"connect", b"disconnect", b"statistics", b"daemon"))
"""First words of daemons; under the bare tag `postfix` they tell that the tag was cut."""


class _Last(NamedTuple):
    """The record that a `last message repeated` speaks of."""

    tag: bytes
    pid: bytes
    body: bytes
    queue_id: bytes
    word: bytes


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
        self._plans: dict[str, list[tuple[Any, ...] | None]] = {}
        self._programs = Programs(_TAGS, dovecot=dovecot)
        self._hosts: dict[bytes, str] = {}
        self._last: _Last | None = None

    def take(self) -> Tally:
        """The counts so far; counting begins anew."""
        tally, self.tally = self.tally, Tally()
        for plans in self._plans.values():
            for plan in filter(None, plans):
                *_, counts, alternative = plan
                if counts:
                    tally.add(alternative.rule, counts)
                    counts.clear()
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
        block = b"\n" + block[:-1]
        self.tally.total += block.count(b"\n")
        self._read(block, self._form)
        self._remember(block)

    def _read(self, block: bytes, form: str) -> None:
        pattern, _, row = self._pattern(form)
        watch, plans = self._listener.watch, self._plans_of(form)
        tallied = 0
        for found in pattern.finditer(block):
            plan = plans[found.lastindex]  # type: ignore[index] # every alternative ends in a group
            if plan is None:
                self._cold(Row._make([text or b"" for text in found.group(*row)]), found)
                continue
            is_event, process, key, noted, ask, note, counts, alternative = plan
            if watch and (speaker := found.group(*process)) in watch:
                self._listener.spoke(speaker, alternative.body_of(found))
            if is_event or (ask is not None and ask(*found.group(*noted))):
                self._hot(alternative, found)
                continue
            counts[found.group(*key)] += 1
            tallied += 1
            if note is not None:
                note(*found.group(*noted))
        self.tally.tallied += tallied

    def _plans_of(self, form: str) -> list[tuple[Any, ...] | None]:
        """What to do with a line, by the `lastindex` of its match: unpacked once for a million lines."""
        plans = self._plans.get(form)
        if plans is None:
            notes, asks = self._listener.notes, self._listener.asks
            plans = self._plans[form] = [
                None
                if one is None
                else (
                    one.is_event, one.process, one.key, one.noted, asks.get(one.rule.asks or ""),
                    notes.get(one.rule.notes or ""), defaultdict[Any, int](int), one,
                )
                for one in self._pattern(form).hot
            ]  # fmt: skip
        return plans

    def _hot(self, alternative: Alternative, found: re.Match[bytes]) -> None:
        """A line of a plain form that is an event."""
        rule, plain = alternative.rule, alternative.plain
        time, host, tag, pid = found.group(*alternative.header)
        body = alternative.body_of(found)
        program = self._programs.of(tag)
        if program is None:  # the pattern knows the daemon, so the tag is Postfix's
            return
        record = (time, host, tag, pid, body)
        envelope = self._envelope(record, program.tag, 1, rule.name, SEVERITIES.get(rule.words[0], "info"))
        if envelope is None:
            self._unread(Row(*record, b"", b"", b""), "malformed", 1)
        elif plain.build is not None:
            self._told(self._listener.told(plain.build(envelope, *found.group(*alternative.fields)), (host, tag, pid)))
        else:
            event = rule.compiled.match(body)
            if event is None:
                self._unread(Row(*record, b"", b"", b""), "unsupported", 1)
                return
            self._told(self._listener.told(rule.build(envelope, event), (host, tag, pid)))
            if rule.notes is not None:
                self._listener.notes[rule.notes](*found.group(*alternative.noted))

    def _told(self, event: Event) -> None:
        if event.envelope.part_of is None:
            self.tally.events += 1
        else:
            self.tally.parts += 1

    def _cold(self, row: Row, found: re.Match[bytes]) -> None:
        """A line of no plain form."""
        if not row.time:
            self._no_record(row, found)
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
        found = next(filter(None, (pattern.match(row.body) for pattern in rule.counted)), None)
        if found is None:
            return False
        noted = _noted(rule, row, found)
        if rule.asks is not None and self._listener.asks[rule.asks](*noted):
            return False
        fields = [found[name] for name in rule.tally or ()]
        self.tally.add(rule, {(row.tag, *fields) if fields else row.tag: weight})
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
            len(body) >= _TRUNCATED,
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

    def _no_record(self, row: Row, found: re.Match[bytes]) -> None:
        """A line in another form, one that repeats the line before it, or nobody's."""
        repeated = LAST_REPEATED.fullmatch(row.other)
        if repeated:
            last = self._before(found.string, found.start())
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
                self._cold(Row._make(other.groups(b"")), found)
                return
        self._unread(row, "malformed", 1)

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

    def _pattern(self, form: str) -> BlockPattern:
        return block_pattern(form, plain=not self._every_event)

    def _remember(self, block: bytes) -> None:
        """Keep what the next block may need: the latest time, and the record that may be repeated."""
        self._last = self._before(block, len(block))
        end = len(block)
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
