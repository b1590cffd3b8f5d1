"""The pattern that cuts whole blocks, made of a header's form and the plain forms of the rules.

Enters: the form of a header and the rule tables. Leaves: one compiled pattern, and the plain forms of each daemon in
the pieces that it cuts. Only the scanner imports this; it must never know what a rule means.

A match pays for every group of its pattern, so there are eight for all rules: what stands before the client is one of
the `head`s, which are Postfix's own few words, and tells which plain forms to try on the `tail` behind him.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from pfwatch.parsing.fragments import CLIENT, PEER, PLAIN_ID
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.rule import NO_QUEUE, Plain, Rule, literal_prefix
from pfwatch.records.header import FORMS, QUEUE_ID

_GROUP = re.compile(r"\(\?P<([a-z_]+)>")
_HOTTEST = ("smtpd", "smtp", "qmgr", "cleanup")
ANY_TAIL = ".*+"
_BEHIND_ID = f"{PLAIN_ID}: "


Pieces = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""One line of a block as the pattern cuts it: time, origin (host and tag), pid, queue id, head, client, tail, and the
whole line where it is no record, else nothing. Without a known head, all behind the queue id but what looks like a
client at its beginning is tail.
"""


class Form(NamedTuple):
    """A plain form in these pieces; patterns with the rule's own groups."""

    rule: Rule
    plain: Plain
    with_id: bool
    head: str
    with_client: bool
    tail: str


@lru_cache(maxsize=16)
def cut_pattern(form: str) -> re.Pattern[bytes]:
    """The pattern of blocks whose headers have this form; its groups are `Pieces`."""
    begin, tag, end = FORMS[form]
    daemons = sorted(GRAMMAR, key=lambda one: _HOTTEST.index(one) if one in _HOTTEST else len(_HOTTEST))
    heads = dict.fromkeys(
        # Behind these a name follows: else a line without a client could be taken for one with an empty one.
        _without_groups(one.head) + (r"(?=[A-Za-z0-9._-])" if one.with_client else "")
        for daemon in daemons
        for one in plain_forms(daemon)
        if not one.plain.rare
    )
    pattern = (
        rf"\n(?:{begin}([^ \n]++ {tag}){end}(?:({QUEUE_ID}): )?"
        rf"({'|'.join(heads)}|)({_without_groups(CLIENT)}|)([^\n]*+)|([^\n]*+))"
    )
    return re.compile(as_branches(pattern).encode("latin-1"))


@lru_cache(maxsize=64)
def plain_forms(daemon: str) -> tuple[Form, ...]:
    """The plain forms of a daemon's rules, in the order of the rules; those that are rare have a tail alone."""
    return tuple(_pieces(rule, plain) for rule in GRAMMAR.get(daemon, ()) for plain in rule.plain)


def _pieces(rule: Rule, plain: Plain) -> Form:
    with_id = plain.queue_id is not None or plain.pattern.startswith(_BEHIND_ID)
    pattern = plain.pattern.removeprefix(_BEHIND_ID).removeprefix(NO_QUEUE)
    if plain.rare:
        return Form(rule, plain, with_id, "", False, pattern)
    for client in (CLIENT, PEER):  # of the lines that are plain, both fit the same
        head, found, tail = pattern.partition(client)
        if found:
            return Form(rule, plain, with_id, head, True, tail)
    head = literal_prefix(pattern)
    return Form(rule, plain, with_id, head, False, pattern[len(head) :])


def header_patterns(form: str) -> tuple[str, str, str]:
    """The parts of a header of this form: what stands before the host, with the time as its group; host and tag, as one
    group; and what stands before the body, with pid and queue id.
    """
    begin, tag, end = FORMS[form]
    return begin, rf"([^ \n]++ {tag})", rf"{end}(?:({QUEUE_ID}): )?"


def body_pattern(form: Form) -> str:
    """The pattern of a whole body of this form, without its queue id."""
    head = form.head if form.with_client else re.escape(form.head)
    return rf"{head}{CLIENT if form.with_client else ''}{form.tail}\Z"


@lru_cache(maxsize=64)
def tail_pattern(form: Form, names: tuple[str, ...]) -> re.Pattern[bytes]:
    """The pattern of the tails of a form, with these of its groups."""
    tail = _GROUP.sub(lambda group: "(" if group[1] in names else "(?:", form.tail)
    return re.compile(as_branches(rf"{tail}\Z").encode("latin-1"))


@lru_cache(maxsize=64)
def tails_pattern(form: Form, names: tuple[str, ...]) -> re.Pattern[bytes]:
    """The pattern of many tails of one form at once, each behind a line feed."""
    tail = _GROUP.sub(lambda group: "(" if group[1] in names else "(?:", form.tail).replace("[^", r"[^\n")
    return re.compile(as_branches(rf"\n{tail}(?=\n|\Z)").encode("latin-1"))


def fits_head(form: Form, head: bytes) -> bool:
    """Whether lines of a form can begin so."""
    return re.fullmatch(form.head.encode(), head) is not None


def in_order(form: Form, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the names that are groups of the form's tail, as they follow each other there."""
    return tuple(name for name in _GROUP.findall(form.tail) if name in names)


def _without_groups(pattern: str) -> str:
    return _GROUP.sub("(?:", pattern)


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
