"""The whole grammar: which daemon says what.

Enters: the rule tables of this package. Leaves: the rules of each daemon by first word. This file must never know how
a line is cut.
"""

from collections.abc import Mapping
from typing import Final

from pfwatch.parsing import delivery, queue, smtpd, tls
from pfwatch.parsing.rule import Rule

_CLIENT_SIDE = (*delivery.RULES, *tls.OUTBOUND, tls.LIBRARY)

GRAMMAR: Final[Mapping[str, tuple[Rule, ...]]] = {
    "smtpd": smtpd.RULES,
    "cleanup": queue.CLEANUP,
    "qmgr": queue.QMGR,
    "oqmgr": queue.QMGR,
    "nqmgr": queue.QMGR,
    "pickup": queue.PICKUP,
    "postsuper": queue.POSTSUPER,
    "smtp": _CLIENT_SIDE,
    "lmtp": _CLIENT_SIDE,
    "local": delivery.RULES,
    "virtual": delivery.RULES,
    "pipe": delivery.RULES,
    "error": delivery.RULES,
    "discard": delivery.RULES,
}
"""Daemon -> its rules, the hottest first."""


def rules_by_word(daemon: str) -> dict[bytes, tuple[Rule, ...]]:
    """The rules of a daemon by the first word of the body."""
    table: dict[bytes, list[Rule]] = {}
    for rule in GRAMMAR.get(daemon, ()):
        for first in rule.words:
            table.setdefault(first.encode(), []).append(rule)
    return {first: tuple(rules) for first, rules in table.items()}


def every_rule() -> dict[str, tuple[Rule, tuple[str, ...]]]:
    """Name -> the rule and the daemons that it stands for."""
    found: dict[str, tuple[Rule, tuple[str, ...]]] = {}
    for daemon, rules in GRAMMAR.items():
        for rule in rules:
            _, daemons = found.get(rule.name, (rule, ()))
            found[rule.name] = (rule, (*daemons, daemon))
    return found
