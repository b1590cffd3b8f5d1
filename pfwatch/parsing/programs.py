"""What a tag stands for: a program of Postfix and its rules, or somebody else.

Enters: tags. Leaves: programs. Only the scanner imports this; it must never know a line.
"""

from typing import NamedTuple

from pfwatch.parsing.grammar import rules_by_word
from pfwatch.parsing.rule import Rule
from pfwatch.records.header import Tag, postfix_tag


class Program(NamedTuple):
    """One program of Postfix."""

    tag: Tag
    rules: dict[bytes, tuple[Rule, ...]]
    """By the first word of a body."""


class Programs:
    """Remembers what it found out."""

    def __init__(self, most: int) -> None:
        """Remember so many tags: they are written by local programs, and a hostile one could make many."""
        self._most = most
        self._known: dict[bytes, Program | None] = {}
        self._tables: dict[str, dict[bytes, tuple[Rule, ...]]] = {}

    def of(self, tag: bytes) -> Program | None:
        """The program of a tag; None where it is not Postfix's."""
        try:
            return self._known[tag]
        except KeyError:
            pass
        if len(self._known) >= self._most:
            self._known.clear()
        known = postfix_tag(tag) if tag else None
        program = None
        if known:
            if known.daemon not in self._tables:
                self._tables[known.daemon] = rules_by_word(known.daemon)
            program = Program(known, self._tables[known.daemon])
        self._known[tag] = program
        return program
