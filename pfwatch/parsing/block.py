"""The pattern that cuts whole blocks, made of a header's form and the plain forms of the rules.

Enters: the form of a header and the rule tables. Leaves: one compiled pattern, and what each of its alternatives
stands for. Only the scanner imports this; it must never know what a rule means.

Every alternative ends in an empty group of its own: `Match.lastindex` then tells which one fitted, and nothing is taken
out of a match that nobody asks for.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from pfwatch.parsing.fragments import PLAIN_ID
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.rule import Plain, Rule
from pfwatch.records.header import FORMS, QUEUE_ID, any_record

_GROUP = re.compile(r"\(\?P<([a-z_]+)>")


class Alternative(NamedTuple):
    """One alternative. Numbers are groups of the block pattern."""

    rule: Rule
    is_event: bool
    process: tuple[int, int, int]
    """Host, tag and pid."""
    key: tuple[int, ...]
    """The tag and what the rule's tally wants."""
    noted: tuple[int, ...]
    header: tuple[int, int, int, int]
    """Time, host, tag and pid."""
    body: int
    """An empty group where the body begins."""
    plain: Plain
    fields: tuple[int, ...]
    """What the event is built of."""

    def body_of(self, found: re.Match[bytes]) -> bytes:
        """The body of a match."""
        return found.string[found.start(self.body) : found.end()]


class BlockPattern(NamedTuple):
    """A compiled pattern and what the `lastindex` of its matches means."""

    pattern: re.Pattern[bytes]
    hot: tuple[Alternative | None, ...]
    """By `lastindex`; None: the line is any record, or no record."""
    row: tuple[int, ...]
    """The groups of a `records.header.Row`."""


@lru_cache(maxsize=16)
def block_pattern(form: str, *, plain: bool) -> BlockPattern:
    """The pattern of blocks whose headers have this form; with `plain`, the rules' plain forms are part of it."""
    building = _Building(form)
    if plain:
        for daemons, rules in _plain_rules().items():
            building.add(daemons, rules)
    return building.finish()


def _plain_rules() -> dict[tuple[str, ...], list[Rule]]:
    """Daemons -> the rules with plain forms that all of them have; daemons with the same rules share alternatives."""
    shared: dict[tuple[Rule, ...], list[str]] = {}
    for daemon, rules in GRAMMAR.items():
        plain = tuple(rule for rule in rules if rule.plain)
        if plain:
            shared.setdefault(plain, []).append(daemon)
    hottest = {"smtpd": 0, "smtp": 1, "qmgr": 2, "cleanup": 3}
    ordered = sorted(shared.items(), key=lambda one: min(hottest.get(daemon, 9) for daemon in one[1]))
    return {tuple(daemons): list(rules) for rules, daemons in ordered}


class _Building:
    """A block pattern that grows, and counts its groups."""

    def __init__(self, form: str) -> None:
        self._form = FORMS[form]
        self._any = any_record(form)
        self._groups = 2  # time and host
        self._tag = 0
        self._alternatives: list[str] = []
        self._hot: dict[int, Alternative] = {}

    def add(self, daemons: tuple[str, ...], rules: list[Rule]) -> None:
        """Add the plain forms of some daemons: tag, pid, an empty group where the body begins, and the forms."""
        self._tag = self._groups + 1
        self._groups += 3
        behind_id = f"{PLAIN_ID}: "
        forms = [(rule, plain) for rule in rules for plain in rule.plain]
        without = [self._form_of(*form, 0) for form in forms if not form[1].pattern.startswith(behind_id)]
        with_id = [form for form in forms if form[1].pattern.startswith(behind_id)]
        if with_id:
            self._groups += 1
            queue_id = self._groups
            without.append(f"({QUEUE_ID}): (?:{'|'.join(self._form_of(*form, queue_id) for form in with_id)})")
        tag = rf"([^ \n\[:]*/(?:{'|'.join(daemons)}))"
        self._alternatives.append(f"{tag}{self._form.open}([0-9]++){self._form.close}()(?:{'|'.join(without)})")

    def _form_of(self, rule: Rule, plain: Plain, queue_id: int) -> str:
        """The alternative of one plain form, without the queue id that it shares with others."""
        names = [*plain.fields, *rule.noted, *(rule.tally or () if plain.counts else ())]
        pattern = plain.pattern.removeprefix(f"{PLAIN_ID}: ").replace("[^", r"[^\n")
        pattern = _GROUP.sub(lambda group: group[0] if group[1] in names else "(?:", pattern)
        named = re.compile(pattern)
        tag = self._tag
        number = {"host": 2, "tag": tag, "pid": tag + 1, "queue_id": queue_id}
        number |= {name: self._groups + group for name, group in named.groupindex.items()}
        self._groups += named.groups + 1
        self._hot[self._groups] = Alternative(
            rule=rule,
            is_event=not plain.counts,
            process=(2, tag, tag + 1),
            key=(tag, *(number[name] for name in (rule.tally or () if plain.counts else ()))),
            noted=tuple(number[name] for name in (rule.noted if plain.counts else ())),
            header=(1, 2, tag, tag + 1),
            body=tag + 2,
            plain=plain,
            fields=tuple(number[name] for name in plain.fields),
        )
        return rf"{_GROUP.sub('(', pattern)}(?=\n|\Z)()"

    def finish(self) -> BlockPattern:
        """Compile it. Last come any record, and a line that is no record."""
        first = self._groups + 1
        self._alternatives.append(self._any)
        row = (1, 2, *range(first, first + 6))
        pattern = rf"\n(?:{self._form.begin}(?:{'|'.join(self._alternatives)})|([^\n]*+))"
        hot = tuple(self._hot.get(number) for number in range(row[-1] + 1))
        return BlockPattern(re.compile(as_branches(pattern).encode("latin-1")), hot, row)


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:P<\w+>|[:=!]))?|\)\?(?![?+])|.", re.DOTALL)


def as_branches(pattern: str) -> str:
    """The same pattern with `(?:…|)` for every `(?:…)?`: `re` runs a branch without the bookkeeping of a repetition,
    which copies every group taken so far.
    """
    opened: list[str] = []
    written: list[str] = []
    for piece in _TOKEN.findall(pattern):
        if piece.startswith("("):
            opened.append(piece)
        elif piece.startswith(")"):
            optional = opened.pop() == "(?:" and piece == ")?"
            written.append("|)" if optional else piece)
            continue
        written.append(piece)
    return "".join(written)
