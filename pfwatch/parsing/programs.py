"""What a tag stands for: a program of Postfix and its rules, Dovecot where it is asked for, or somebody else.

Enters: tags. Leaves: programs. Only the scanner imports this; it must never know a line.
"""

from itertools import chain

from pfwatch.parsing.block import Form, plain_forms
from pfwatch.parsing.dovecot import RULES as DOVECOT
from pfwatch.parsing.grammar import ANY_WORD, rules_by_word
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.tls import LIBRARY
from pfwatch.parsing.wanted import Wanted
from pfwatch.records.header import Tag, postfix_tag
from pfwatch.records.losses import tells_losses

MOST_TAGS = 1024
"""Hosts and tags that are remembered: local programs write them, and a hostile one could make many."""
_LOOK = 5
"""Bytes behind the first word that choose among the rules of that word: `: ` and three letters."""
_CHOICES = 4096
_DOVECOT_BY_WORD = {
    word.encode(): tuple(rule for rule in DOVECOT if word in rule.words) for one in DOVECOT for word in one.words
}


class Program:
    """One program of Postfix, or Dovecot."""

    def __init__(self, tag: Tag | None, rules: dict[bytes, tuple[Rule, ...]], wanted: Wanted | None = None) -> None:
        """Take its rules by the first word of a body. Dovecot has no `tag`, often no pid, and lines without a rule."""
        self.tag = tag
        self._rules = rules
        self._wanted = wanted
        self.needed = wanted is None or any(map(wanted.needs, self._every_rule()))
        """Whether any of its lines matters."""
        self._chosen: dict[bytes, tuple[Rule, ...]] = {}

    def forms(self) -> tuple[Form, ...]:
        """Its plain forms."""
        if self.tag is None:
            return ()
        return self._wanted.forms(self.tag.daemon) if self._wanted else plain_forms(self.tag.daemon)

    def passes(self, rule: Rule) -> bool:
        """Whether lines that this rule reads do not matter."""
        return self._wanted is not None and not self._wanted.needs(rule)

    def has_words(self) -> bool:
        """Whether it gives the TLS library's words in lines of their own: a failed handshake may wait for one."""
        return any(LIBRARY in rules for rules in self._rules.values())

    def begins(self) -> bytes | None:
        """Which bytes a body that matters can begin with, as `Wanted` tells; None: any."""
        return self._wanted.begins(self._every_rule()) if self._wanted and self.tag else None

    def _every_rule(self) -> set[Rule]:
        return set(chain.from_iterable(self._rules.values()))

    def rules(self, word: bytes, body: bytes) -> tuple[Rule, ...]:
        """The rules that may read a body with this first word, in their order.

        Under `warning` alone smtpd has some eighty: those that begin with other text are not asked.
        """
        if self.tag is None:
            word = word.partition(b"(")[0]  # `auth-worker(4321)`, `auth(carol,192.0.2.7,sasl`
        if not body.startswith(word):  # behind a queue id the word tells enough
            return self._rules.get(word) or self._rules.get(ANY_WORD, ())
        begin = body[: len(word) + _LOOK]
        try:
            return self._chosen[begin]
        except KeyError:
            pass
        if len(self._chosen) >= _CHOICES:
            self._chosen.clear()
        rules = self._rules.get(word) or self._rules.get(ANY_WORD, ())
        chosen = tuple(rule for rule in rules if rule.prefix.startswith(begin) or begin.startswith(rule.prefix))
        self._chosen[begin] = chosen
        return chosen


class Programs:
    """Remembers what it found out."""

    def __init__(self, most: int, *, dovecot: bool = False, wanted: Wanted | None = None) -> None:
        """Remember so many tags: they are written by local programs, and a hostile one could make many.

        With `dovecot`, Dovecot is a program, too. Without `wanted`, every line of each matters.
        """
        self.tell_losses = False
        """One of them may have said that messages were dropped."""
        self._most = most
        self._known: dict[bytes, Program | None] = {}
        self._tables: dict[str, dict[bytes, tuple[Rule, ...]]] = {}
        self._wanted = wanted
        self._dovecot = Program(None, _DOVECOT_BY_WORD, wanted) if dovecot else None

    def of(self, tag: bytes) -> Program | None:
        """The program of a tag; None where it is nobody's who is read."""
        try:
            return self._known[tag]
        except KeyError:
            pass
        if len(self._known) >= self._most:
            self._known.clear()
        known = postfix_tag(tag) if tag else None
        program = self._dovecot if tag == b"dovecot" else None
        if known:
            if known.daemon not in self._tables:
                self._tables[known.daemon] = rules_by_word(known.daemon)
            program = Program(known, self._tables[known.daemon], self._wanted)
        self.tell_losses = self.tell_losses or tells_losses(tag)
        self._known[tag] = program
        return program
