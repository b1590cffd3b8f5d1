"""Records read one by one: whatever is not plain, and everything where every line is to be an event.

Enters: records that the scanner has cut. Leaves: through the listener, an event for each; in the `Tally`, counts, and
what became of it. Only the scanner imports this; it must never know a block, nor what any wording means: the rules of a
record's program and first word are asked, and the first that fits has it.
"""

import re

from pfwatch.events import Envelope, Event, Foreign, Malformed, Severity, Unsupported
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.hits import SEVERITIES, TRUNCATED
from pfwatch.parsing.listener import Listener
from pfwatch.parsing.programs import MOST_TAGS, Programs
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.tally import Tally
from pfwatch.parsing.wanted import Wanted
from pfwatch.records.header import BODY, MOST_REPEATS, REPEATED, REPEATED_WORD, Row, Tag
from pfwatch.records.time import TimeReader

_BY_WORD = {word.encode(): severity for word, severity in SEVERITIES.items()}
_NOT = (None, None)
_NEVER_POSTFIX_COMMAND = frozenset((b"connect", b"disconnect", b"statistics", b"daemon"))
"""First words of daemons; under the bare tag `postfix` they tell that the tag was cut."""


class SingleReader:
    """Reads the records of one source. `tally` is taken and replaced by whoever owns this."""

    def __init__(
        self,
        listener: Listener,
        times: TimeReader,
        *,
        every_event: bool,
        dovecot: bool,
        tell_unread: bool,
        wanted: Wanted | None,
    ) -> None:
        self.tally = Tally()
        self.programs = Programs(MOST_TAGS, dovecot=dovecot, wanted=wanted)
        self._wanted = wanted
        self._listener = listener
        self._times = times
        self._every_event = every_event
        self._tell_unread = tell_unread
        self._hosts: dict[bytes, str] = {}

    def read(self, row: Row, weight: int) -> None:
        """One record that stands for `weight` more of it."""
        if self._wanted is not None and self._listener.watch and (moment := self._times.read(row.time)):
            self._listener.tick(moment.at)  # as if every line were an event
        program = self.programs.of(row.tag)
        if program is None or not (row.pid or program.tag is None):
            self.unread(row, "foreign", weight)
            return
        if self._times.read(row.time) is None:
            self.unread(row, "malformed", weight)
            return
        for rule in program.rules(row.word, row.body):
            if rule.counted and self._may_count(rule) and self._counted(rule, row, weight):
                return
            found = rule.compiled.match(row.body)
            if found is not None:
                self._event(rule, found, row, program.tag, weight)
                return
        self._without_rule(row, program.tag, weight)

    def _may_count(self, rule: Rule) -> bool:
        return not self._every_event and (self._wanted is None or rule.kind not in self._wanted.kinds)

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
        if rule.spread:
            spread = tuple({found[name]: weight} for name in rule.spread)
            self.tally.add_spread(rule, rule.kind, (row.tag, *fields), spread)
        self.tally.tallied += 1
        if rule.notes is not None:
            self._listener.notes[rule.notes](*noted)
        return True

    def _event(self, rule: Rule, found: re.Match[bytes], row: Row, tag: Tag | None, weight: int) -> None:
        """Build the event of a line and tell it."""
        severity = "info" if row.queue_id else _severity(row)
        envelope = self._envelope(row[:5], tag, weight, rule.name, severity)
        if envelope is None:
            self.unread(row, "malformed", weight)
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
            if len(self._hosts) >= MOST_TAGS:
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
        if row.word == REPEATED_WORD and weight == 1:
            repeated = REPEATED.fullmatch(row.body)
            if repeated:
                inner = BODY.match(repeated[2])
                if inner:
                    times = min(int(repeated[1]), MOST_REPEATS)
                    body, queue_id, word = inner.groups(b"")
                    self.read(row._replace(body=body, queue_id=queue_id, word=word), times)
                    return
        if tag is None:  # most that Dovecot says is nothing to us
            self.unread(row, "foreign", weight)
            return
        if tag.daemon == "postfix" and (row.queue_id or row.word in _NEVER_POSTFIX_COMMAND):
            self.tally.misnamed += 1
        self.unread(row, "unsupported", weight)

    def _told(self, event: Event) -> None:
        if event.envelope.part_of is None:
            self.tally.events += 1
        else:
            self.tally.parts += 1

    def unread(self, row: Row, fate: str, weight: int) -> None:
        """A record, or a line that is none (`other`), that nobody reads."""
        tally = self.tally
        program = self.programs.of(row.tag) if fate == "unsupported" else None
        tag = program.tag if program else None
        setattr(tally, fate, getattr(tally, fate) + 1)
        severity: Severity = "info" if row.queue_id or tag is None else _severity(row)
        if fate == "unsupported":
            tally.unread[row.tag, severity] = tally.unread.get((row.tag, severity), 0) + weight
        if not self._every_event and not (self._tell_unread and fate == "unsupported"):
            return
        envelope = self._envelope(row[:5], tag, weight, None, severity) if fate != "malformed" else None
        if envelope is None:
            envelope = Envelope(0.0, "", "", None, None, None, "info", weight, False, None)
        kind = {"foreign": Foreign, "unsupported": Unsupported, "malformed": Malformed}[fate]
        self._listener.told(kind(envelope, untrusted(row.other or row.body)), (row.host, row.tag, row.pid))


def _severity(row: Row) -> Severity:
    """By the word that Postfix puts before whatever is not information."""
    return _BY_WORD.get(row.word, "info") if row.body.startswith(b": ", len(row.word)) else "info"


def _noted(rule: Rule, row: Row, found: re.Match[bytes]) -> tuple[bytes | None, ...]:
    """What the rule's `noted` names."""
    own = {"host": row.host, "tag": row.tag, "pid": row.pid}
    return tuple(own[name] if name in own else found[name] for name in rule.noted)
