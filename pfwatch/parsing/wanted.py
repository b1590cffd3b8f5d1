"""What is wanted of a log of which not every line is: kinds of event, and what has to be remembered for them.

Enters: kinds and notes. Leaves: which rules matter, and the plain forms as a reader then needs them. This file must
never know which kinds need which: `sessions/` does.
"""

from collections.abc import Iterable
from itertools import chain

from msgspec.structs import replace

from pfwatch.events import Event
from pfwatch.parsing.block import Form, plain_forms
from pfwatch.parsing.grammar import ANY_WORD
from pfwatch.parsing.rule import Judge, Note, Plain, Rule
from pfwatch.records.header import REPEATED_WORD


class Wanted:
    """Lines that can only make other kinds, and of which nothing is to be remembered, are passed over."""

    def __init__(self, kinds: frozenset[type[Event]], notes: frozenset[Note]) -> None:
        """Take the kinds that have to be built, and the notes that have to be taken."""
        self.kinds, self.notes = kinds, notes

    def needs(self, rule: Rule) -> bool:
        """Whether a line that this rule reads matters."""
        return rule.notes in self.notes or not self.kinds.isdisjoint(rule.makes)

    def begins(self, rules: Iterable[Rule]) -> bytes:
        """Which bytes a body that matters can begin with, behind its queue id: 1 for each that can, of 256."""
        words = set(chain.from_iterable(rule.words for rule in rules if self.needs(rule)))
        if ANY_WORD.decode() in words:
            return b"\1" * 256
        first = {word.encode()[0] for word in words} | {REPEATED_WORD[0]}
        return bytes(byte in first for byte in range(256))

    def forms(self, daemon: str) -> tuple[Form, ...]:
        """The plain forms of a daemon: without those whose lines are to be built, and without hits of other kinds."""
        return tuple(
            form._replace(plain=self._hits_of(form.rule, form.plain)) if form.plain.hit else form
            for form in plain_forms(daemon)
            if form.plain.hit or form.rule.kind not in self.kinds
        )

    def _hits_of(self, rule: Rule, plain: Plain) -> Plain:
        """Of lines of which some are hits: other kinds are no hits, and lines that are no hits may be events."""
        judge, hit, counted = plain.judge, plain.hit in self.kinds, rule.kind not in self.kinds
        if not hit or not counted:
            judge = _judge(judge, hit=hit, counted=counted)
        return replace(plain, judge=judge, failed_login=plain.failed_login and "disconnect" in self.notes)


def _judge(judge: Judge | None, *, hit: bool, counted: bool) -> Judge:
    def wanted(*fields: bytes | None) -> bool | None:
        verdict = judge is None or judge(*fields)
        if verdict is None:
            return None
        if verdict:
            return hit
        return False if counted else None

    return wanted
