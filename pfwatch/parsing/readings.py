"""What the scanner does with the plain lines of one origin and head, and their counts so far.

Enters: heads and tails as the block's pattern cut them. Leaves: whether a line is plain, and counts for the `Tally`.
Only the scanner imports this; it must never know what a session is.

A connect, a disconnect or a TLS summary has the same few texts behind the client all day: each is read once by its
rule's form, and then found in a dictionary. Refusals and deliveries differ: each is matched.
"""

import re
from collections import Counter
from operator import itemgetter
from typing import Any, NamedTuple

from pfwatch.parsing.block import ANY_TAIL, Form, in_order, tail_pattern
from pfwatch.parsing.hits import Hits
from pfwatch.parsing.programs import Program, Programs
from pfwatch.parsing.tally import Key, Tally

FOREIGN = False
Row = tuple[bytes | None, ...]
MOST_ORIGINS = 1024
"""Hosts and tags that are kept apart; beyond, all are forgotten and learnt again."""
MOST_HEADS = 256
"""Heads of one origin: Postfix's own words with an SMTP command in them, of which it knows some thirty."""
MOST_TEXTS = 4096
"""Texts that are remembered per origin and head; beyond, all are forgotten and read again."""
LONGEST_KEY = 1000
"""Bytes of the groups that a line is counted by; with more, a line that may be a hit is an event. Memory is bounded."""


class Recurring(dict[bytes, int]):
    """Tail -> how many lines had it since `gather`. A tail of no plain form raises KeyError."""

    def __init__(self, forms: tuple[Form, ...], head: bytes, tag: bytes) -> None:
        super().__init__()
        self.noted: dict[bytes, Any] = {}
        """Tail -> what is remembered of it."""
        self._forms = [(form, re.compile(form.tail.encode() + rb"\Z"), _fields_of(form, head)) for form in forms]
        self._tag = tag
        self._keys: dict[bytes, tuple[Form, tuple[bytes | None, ...]]] = {}

    def __missing__(self, tail: bytes) -> int:
        for form, pattern, fields in self._forms:
            found = pattern.match(tail)
            if found:
                named = fields | found.groupdict()
                rule = form.rule
                self._keys[tail] = form, (self._tag, *(named[name] for name in rule.tally or ()))
                if rule.notes is not None:
                    noted = named.get(rule.noted[-1])
                    self.noted[tail] = rule.measure(noted) if rule.measure else noted
                return 0
        raise KeyError(tail)

    def gather(self, tally: Tally) -> None:
        """Move the counts into a tally."""
        for tail, lines in self.items():
            if lines:
                form, key = self._keys[tail]
                tally.add(form.rule, form.rule.kind, {key: lines})
        if len(self) > MOST_TEXTS:
            self.clear()
            self.noted.clear()
            self._keys.clear()
        else:
            self.update(dict.fromkeys(self, 0))


class Varied:
    """Lines of one form that differ behind the client. `rows` has, for each of them, the groups that count; `judged`
    counts those of which some are hits. Where any tail fits and none counts, `match` is None and `lines` their number.
    """

    __slots__ = ("_form", "_key", "hits", "judged", "lines", "match", "rows")

    def __init__(self, form: Form, head: bytes, tag: bytes, hits: Hits | None) -> None:
        self._form, self.hits = form, hits
        fields, key = _fields_of(form, head), (*key_of(form), *form.rule.spread)
        behind = in_order(form, key)
        before = tuple(name for name in key if name not in behind)
        pieces = ("tag", *before, *behind)
        self._key = _Key((tag, *(fields[name] for name in before)), tuple(pieces.index(name) for name in ("tag", *key)))
        self.match = None if form.tail == ANY_TAIL and not key else tail_pattern(form, behind).match
        self.lines = 0
        self.rows: list[Row] = []
        self.judged = Judged(self)

    def judge(self, row: Row) -> bool | None:
        """Whether a line with these groups is a hit, or only counted; None: it is read as an event."""
        judge, key = self._form.plain.judge, self._key(row)[1:]
        if sum(len(group) for group in key if group) > LONGEST_KEY:
            return None
        return judge is None or judge(*key)

    def gather(self, tally: Tally) -> None:
        """Move the counts into a tally."""
        rule, hit, key = self._form.rule, self._form.plain.hit, self._key
        if self.rows:
            together = len(key_of(self._form)) + 1
            sorts: dict[Key, list[Key]] = {}
            for row in map(key, self.rows):
                sorts.setdefault(row[:together], []).append(row[together:])
            for sort, rows in sorts.items():
                tally.add(rule, rule.kind, {sort: len(rows)})
                if rule.spread:
                    tally.add_spread(rule, rule.kind, sort, tuple(map(Counter, zip(*rows, strict=True))))
            self.rows.clear()
        if self.lines:
            tally.add(rule, rule.kind, {key(()): self.lines})
            self.lines = 0
        for row, judged in self.judged.items():
            lines, is_hit = judged
            if lines:
                tally.add(rule, hit if is_hit else rule.kind, {key(row): lines})
                judged[0] = 0
        if len(self.judged) > MOST_TEXTS:
            self.judged.clear()


class _Key:
    """Makes the key of a tally: the tag, and what the rule counts by, in its order."""

    def __init__(self, before: tuple[bytes | None, ...], order: tuple[int, ...]) -> None:
        self._before = before
        self._pick = itemgetter(*order) if len(order) > 1 else tuple
        """Of one alone itemgetter makes no tuple."""

    def __call__(self, row: Row) -> Key:
        picked: Key = self._pick((*self._before, *row))
        return picked


class Judged(dict[Row, list[Any]]):
    """Groups of a line that may be a hit -> how many such lines there were since `gather`, and the verdict."""

    def __init__(self, varied: Varied) -> None:
        super().__init__()
        self._varied = varied

    def __missing__(self, row: Row) -> list[Any]:
        judged = [0, self._varied.judge(row)]
        if judged[1] is not None:
            self[row] = judged
        return judged


class Reading(NamedTuple):
    """What to do with lines of one origin and head."""

    counts: Any
    """`Recurring` for lines that recur, `Judged` for lines of which some are hits, None for others that vary."""
    note: str | None
    """What is remembered of them: a `Note`, or `failed` where hits are failed logins."""
    varied: Varied | None
    """None: the lines recur."""
    host: bytes
    tag: bytes

    def gather(self, tally: Tally) -> None:
        """Move the counts into a tally."""
        if isinstance(self.counts, Recurring):
            self.counts.gather(tally)
        if self.varied is not None:
            self.varied.gather(tally)


class Readings:
    """The readings of every origin and head, of bodies that begin with a queue id (`identified`) and of others.

    None stands for lines that are not plain, FOREIGN for those of nobody who is read, or whose lines do not matter.
    """

    def __init__(self, programs: Programs) -> None:
        self.identified: dict[bytes, dict[bytes, Reading | bool | None]] = {}
        self.anonymous: dict[bytes, dict[bytes, Reading | bool | None]] = {}
        self._programs = programs

    def learn(self, origin: bytes, head: bytes, tally: Tally, *, with_id: bool) -> Reading | bool | None:
        """What to do with lines of an origin and head that were not seen before."""
        host, _, tag = origin.partition(b" ")
        if not tag:  # no record
            return None
        readings = self.identified if with_id else self.anonymous
        heads = readings.get(origin)
        if heads is None:
            if len(readings) >= MOST_ORIGINS:
                self.gather(tally)
                readings.clear()
            heads = readings[origin] = {}
        if len(heads) >= MOST_HEADS:
            return None
        program = self._programs.of(tag)
        reading: Reading | bool | None = FOREIGN
        if program is not None and program.needed:
            reading = reading_of(host, tag, program, head, with_id=with_id)
        heads[head] = reading
        return reading

    def gather(self, tally: Tally) -> None:
        """Move all counts into a tally."""
        for readings in (self.identified, self.anonymous):
            for heads in readings.values():
                for reading in heads.values():
                    if isinstance(reading, Reading):
                        reading.gather(tally)


def key_of(form: Form) -> tuple[str, ...]:
    """The groups that lines are counted by."""
    return form.rule.tally or () if form.plain.key is None else form.plain.key


def noted_of(form: Form) -> str | None:
    """The group that is remembered of a line, or given to whoever waits for it."""
    if form.plain.explains:
        return "reason"
    return form.rule.noted[-1] if form.rule.notes else None


def reading_of(host: bytes, tag: bytes, program: Program, head: bytes, *, with_id: bool) -> Reading | None:
    """The reading of a head; None where no plain form of the program begins so."""
    if not head or program.tag is None:
        return None
    forms = tuple(
        form
        for form in program.forms()
        if form.with_id is with_id and not form.plain.rare and re.fullmatch(form.head.encode(), head)
    )
    if not forms:
        return None
    first, *others = forms
    if not first.plain.varied:
        return Reading(Recurring(forms, head, tag), first.rule.notes, None, host, tag)
    if others:
        raise AssertionError(f"{first.rule.name} varies and has a head with {others[0].rule.name} in common")
    hits = Hits(first, host, tag, *program.tag, head) if first.plain.hit else None
    varied = Varied(first, head, tag, hits)
    note = "failed" if first.plain.failed_login else None
    return Reading(varied.judged if hits else None, note, varied, host, tag)


def _fields_of(form: Form, head: bytes) -> dict[str, bytes | None]:
    """What the head says of the lines."""
    found = re.fullmatch(form.head.encode(), head)
    return found.groupdict() if found else {}
