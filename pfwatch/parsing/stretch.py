"""A stretch of a log, read apart from what lies before it: so that two processes can read one log.

Enters: whole lines, and nothing of the log around them. Leaves: a `Stretch`, which a `LogReader` makes its own once it
has read everything before; and the counts of all stretches that were read. It must never know where lines come from.

Nearly all of reading is to tell what a line says, and needs no other line. What does need others is written down in
the lines' order: that a client was connected, a login failed, a message removed; and whole lines, which are read when
their turn comes. So the result is the one of reading in order, whatever the log holds.
"""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Literal

import msgspec

from pfwatch import events
from pfwatch.loss import Loss
from pfwatch.parsing.dovecot import RULES as DOVECOT
from pfwatch.parsing.fast import FastReader
from pfwatch.parsing.grammar import every_rule
from pfwatch.parsing.latest import Latest
from pfwatch.parsing.programs import MOST_TAGS, Programs
from pfwatch.parsing.tally import Key, Spread, Tally
from pfwatch.records.container import ContainerLog
from pfwatch.records.folds import Folds
from pfwatch.records.header import FORMS, compile_form, last_repeated
from pfwatch.records.losses import read_losses
from pfwatch.records.time import TimeReader


class Stretch(msgspec.Struct, array_like=True):
    """A stretch that was read. Its numbers are those of lines that nobody has to read again."""

    effects: bytes
    """What its lines bring about, for `FastReader.apply`."""
    tallied: int = 0
    events: int = 0
    foreign: int = 0
    latest: bytes = b""
    """State of `Latest` behind it."""
    losses: list[Loss] = []
    rest: bytes = b""
    """Its last lines, where these can only be read by whoever knows the lines before."""
    passing: int = 0
    """Connections, messages and failed logins that begin in it, at most. Of those that end in it, too, nothing is told:
    where so many more find no room, older ones would have had to go, and such a stretch is to be read in order."""


class Counts(msgspec.Struct, array_like=True):
    """How often lines of a rule were seen that are events of one kind."""

    rule: str
    kind: str | None
    keys: list[tuple[Key, int]]
    spreads: list[tuple[Key, Spread]]


class StretchReader:
    """Reads stretches of one log, in any order. Only where lines are read by compiled code."""

    def __init__(self, zone: tzinfo | None, year: int | None, *, dovecot: bool) -> None:
        """Take what the `LogReader` has taken who lets happen what is read here."""
        self._times = TimeReader(zone, year)
        self._folds = Folds(self._times, zone)
        self._programs = Programs(MOST_TAGS, dovecot=dovecot)
        self._tally = Tally()
        self._fast = FastReader(self._programs, self._times, None, lambda: self._tally, bare=True, picky=False)
        self._recording = self._fast.recording(stands_alone)
        self._form = next(iter(FORMS))

    def read(self, lines: bytes, reference: float) -> Stretch:
        """Read whole lines, each with its line feed; `reference` is the newest moment that a record can have."""
        container = ContainerLog()
        if (
            not lines
            or container.unwrap(lines) is not lines
            or container.state()
            or self._folds.any_in(lines, reference)
        ):
            return Stretch(b"", rest=lines)
        if b"\r" in lines:
            lines = lines.replace(b"\r\n", b"\n")
        self._times.expect(reference)
        self._form = _form_of(lines, self._form)
        read = self._fast.record(lines, self._form, self._recording)
        if read is None:
            return Stretch(b"", rest=lines)
        number, hits, foreign, others, _ = read
        rest = b""
        if self._recording.stopped_at >= 0:
            lines, rest = lines[: self._recording.stopped_at], lines[self._recording.stopped_at :]
        latest = Latest()
        latest.remember(lines)
        losses = read_losses(lines, self._times) if foreign and self._programs.tell_losses else []
        tallied = number - hits - foreign - others
        state = latest.state() if lines else b""
        effects, passing = self._recording.take(), self._recording.passing
        return Stretch(effects, tallied, hits, foreign, state, losses, rest, passing)

    def counts(self) -> list[Counts]:
        """What was counted in all of them; gives it once."""
        self._fast.gather(self._tally)
        tally, self._tally = self._tally, Tally()
        return [
            Counts(
                rule.name,
                kind.__name__ if kind else None,
                list(keys.items()),
                list(tally.spread.get((rule, kind), {}).items()),
            )
            for (rule, kind), keys in tally.counts.items()
        ]


def stands_alone(line: bytes) -> bool:
    """Whether a line that has not its block's header means the same whatever stands before it: nothing."""
    return last_repeated(line) is None and _form_of(line, "") == ""


def add_counts(tally: Tally, every: Sequence[Counts], times: Literal[1, -1] = 1) -> None:
    """Add what was counted elsewhere, or take it back out of what was added."""
    rules = {name: rule for name, (rule, _) in every_rule().items()} | {rule.name: rule for rule in DOVECOT}
    for one in every:
        rule, kind = rules[one.rule], getattr(events, one.kind) if one.kind else None
        tally.add(rule, kind, {key: times * lines for key, lines in one.keys})
        for key, spread in one.spreads:
            tally.add_spread(rule, kind, key, tuple({t: times * n for t, n in column.items()} for column in spread))
    if times < 0:
        tally.counts = {
            counted: left for counted, keys in tally.counts.items() if (left := {k: n for k, n in keys.items() if n})
        }


def _form_of(lines: bytes, form: str) -> str:
    """The form of the first line's header: this one, unless it is surely another."""
    line = b"\n" + lines[: lines.find(b"\n")] if b"\n" in lines else b"\n" + lines
    for name in (form, *FORMS) if form else FORMS:
        found = compile_form(name).fullmatch(line)
        if found and found[1]:
            return name
    return form
