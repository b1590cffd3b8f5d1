"""What the scanner does with the plain lines of one origin and head, and their counts so far.

Enters: heads and tails as the block's pattern cut them. Leaves: whether a line is plain, and counts for the `Tally`.
Only the scanner imports this; it must never know what a session is.

A connect, a disconnect or a TLS summary has the same few texts behind the client all day: each is read once by its
rule's form, and then found in a dictionary. Refusals and deliveries differ: each is matched.
"""

import re
from collections import Counter
from typing import Any, NamedTuple

from pfwatch.parsing.block import Form, in_order, plain_forms, tail_pattern
from pfwatch.parsing.hits import Hits
from pfwatch.parsing.tally import Key, Tally
from pfwatch.records.header import Tag

Row = tuple[bytes | None, ...]
MOST_TEXTS = 4096
"""Texts that are remembered per origin and head; beyond, all are forgotten and read again."""


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
    counts those of which some are hits.
    """

    __slots__ = ("_before", "_order", "form", "hits", "judged", "match", "rows")

    def __init__(self, form: Form, head: bytes, tag: bytes, hits: Hits | None) -> None:
        self.form, self.hits = form, hits
        fields, key = _fields_of(form, head), key_of(form)
        behind = in_order(form, key)
        before = [name for name in key if name not in behind]
        self.match = tail_pattern(form, behind).match
        self._before = (tag, *(fields[name] for name in before))
        self._order = (0, *(1 + [*before, *behind].index(name) for name in key))
        self.rows: list[Row] = []
        self.judged = Judged(self)

    def judge(self, row: Row) -> bool | None:
        """Whether a line with these groups is a hit, or only counted; None: it is read as an event."""
        judge = self.form.plain.judge
        return judge is None or judge(*self._key(row)[1:])

    def gather(self, tally: Tally) -> None:
        """Move the counts into a tally."""
        rule, hit = self.form.rule, self.form.plain.hit
        if self.rows:
            tally.add(rule, rule.kind, {self._key(row): lines for row, lines in Counter(self.rows).items()})
            self.rows.clear()
        for row, judged in self.judged.items():
            lines, is_hit = judged
            if lines:
                tally.add(rule, hit if is_hit else rule.kind, {self._key(row): lines})
                judged[0] = 0
        if len(self.judged) > MOST_TEXTS:
            self.judged.clear()

    def _key(self, row: Row) -> Key:
        pieces = (*self._before, *row)
        return tuple(pieces[place] for place in self._order)


class Judged(dict[Row, list[Any]]):
    """Groups of a line that may be a hit -> how many such lines there were since `gather`, and the verdict."""

    def __init__(self, varied: Varied) -> None:
        super().__init__()
        self._varied = varied

    def __missing__(self, row: Row) -> list[Any]:
        judged = self[row] = [0, self._varied.judge(row)]
        return judged


class Reading(NamedTuple):
    """What to do with lines of one origin and head."""

    counts: Any
    """`Recurring` for lines that recur, `Judged` for lines of which some are hits, None for others that vary."""
    note: str | None
    """What is remembered of them: a `Note`, or `failed` where hits are failed logins."""
    varied: Varied | None
    """None: the lines recur."""
    origin: tuple[bytes, bytes]
    """Host and tag."""

    def gather(self, tally: Tally) -> None:
        """Move the counts into a tally."""
        if isinstance(self.counts, Recurring):
            self.counts.gather(tally)
        if self.varied is not None:
            self.varied.gather(tally)


def key_of(form: Form) -> tuple[str, ...]:
    """The groups that lines are counted by."""
    return form.rule.tally or () if form.plain.key is None else form.plain.key


def reading_of(host: bytes, tag: bytes, program: Tag, head: bytes, *, with_id: bool) -> Reading | None:
    """The reading of a head; None where no plain form of the program begins so."""
    if not head:
        return None
    forms = tuple(
        form
        for form in plain_forms(program.daemon)
        if form.with_id is with_id and re.fullmatch(form.head.encode(), head)
    )
    if not forms:
        return None
    first, *others = forms
    if not first.plain.varied:
        return Reading(Recurring(forms, head, tag), first.rule.notes, None, (host, tag))
    if others:
        raise AssertionError(f"{first.rule.name} varies and has a head with {others[0].rule.name} in common")
    hits = Hits(first, host, tag, program.service, program.daemon, head) if first.plain.hit else None
    varied = Varied(first, head, tag, hits)
    note = "failed" if first.plain.failed_login else None
    return Reading(varied.judged if hits else None, note, varied, (host, tag))


def _fields_of(form: Form, head: bytes) -> dict[str, bytes | None]:
    """What the head says of the lines."""
    found = re.fullmatch(form.head.encode(), head)
    return found.groupdict() if found else {}
