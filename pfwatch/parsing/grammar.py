"""The whole grammar: which daemon says what.

Enters: the rule tables of this package. Leaves: the rules of each daemon by first word. This file must never know how
a line is cut.
"""

from collections.abc import Mapping
from typing import Final

from pfwatch.parsing import (
    agents,
    anvil,
    attempt,
    bounce,
    certificate,
    content,
    delivery,
    health,
    master,
    postscreen,
    postsuper,
    protocol,
    queue,
    smtpd,
    smtpd_notes,
    tls,
    tlsproxy,
    verbose,
)
from pfwatch.parsing.rule import Rule
from pfwatch.records.header import PROGRAMS

_CLIENT_SIDE = (
    *delivery.RULES,
    *tls.OUTBOUND,
    tls.LIBRARY,
    *attempt.RULES,
    *certificate.OUTBOUND,
    *certificate.SETTINGS,
    *certificate.NAMED,
    *content.SMTP,
    *verbose.SMTP,
    *verbose.RESOLVER,
)
_AGENT = (*delivery.RULES, *agents.RULES, *verbose.MAILBOX)
_QMGR = (*queue.QMGR, *delivery.RULES, *verbose.QMGR, *verbose.RECORDS)

_OWN: Final[Mapping[str, tuple[Rule, ...]]] = {
    "smtpd": (
        *smtpd.RULES,
        *protocol.RULES,
        *smtpd_notes.NAMED,
        *certificate.INBOUND,
        *certificate.SETTINGS,
        *certificate.NAMED,
    ),
    "cleanup": (*queue.CLEANUP, *content.CLEANUP, *delivery.RULES, *verbose.CHECKS),
    "qmgr": _QMGR,
    "oqmgr": _QMGR,
    "nqmgr": _QMGR,
    "pickup": (*queue.PICKUP, *verbose.RECORDS),
    "postsuper": postsuper.POSTSUPER,
    "postdrop": (*master.COMMANDS, *verbose.RECORDS),
    "showq": (*postsuper.SHOWQ, *master.COMMANDS),
    "qmqpd": (*protocol.QMQPD, *protocol.QMQPD_NAMED),
    "smtp": _CLIENT_SIDE,
    "lmtp": _CLIENT_SIDE,
    "local": _AGENT,
    "virtual": _AGENT,
    "pipe": _AGENT,
    "error": _AGENT,
    "discard": _AGENT,
    "bounce": bounce.BOUNCE,
    "verify": bounce.VERIFY,
    "scache": bounce.SCACHE,
    "postscreen": postscreen.POSTSCREEN,
    "dnsblog": (*postscreen.DNSBLOG, *verbose.RESOLVER),
    "tlsproxy": (*tlsproxy.TLSPROXY, *certificate.PROXIED, *certificate.SETTINGS, *certificate.NAMED),
    "tlsmgr": (*tlsproxy.TLSMGR, *verbose.TLSMGR),
    "anvil": anvil.ANVIL,
    "master": master.MASTER,
    "postfix": (*master.POSTFIX, *verbose.SCRIPT),
    "postfix-script": (*master.POSTFIX, *verbose.SCRIPT),
}

GRAMMAR: Final[Mapping[str, tuple[Rule, ...]]] = {
    daemon: (*_OWN.get(daemon, master.COMMANDS), *(health.COMMAND if daemon == "postfix" else health.EVERYWHERE))
    for daemon in sorted(PROGRAMS)
}
"""Daemon -> its rules, the hottest first."""


ANY_WORD: Final = b""
"""The word of rules whose bodies begin with a name or a number: asked after those of the body's own word."""


def rules_by_word(daemon: str) -> dict[bytes, tuple[Rule, ...]]:
    """The rules of a daemon by the first word of the body."""
    table: dict[bytes, list[Rule]] = {}
    for rule in GRAMMAR.get(daemon, ()):
        for first in rule.words:
            table.setdefault(first.encode(), []).append(rule)
    anywhere = table.get(ANY_WORD, [])
    return {first: (*rules, *(anywhere if first != ANY_WORD else ())) for first, rules in table.items()}


def every_rule() -> dict[str, tuple[Rule, tuple[str, ...]]]:
    """Name -> the rule and the daemons that it stands for."""
    found: dict[str, tuple[Rule, tuple[str, ...]]] = {}
    for daemon, rules in GRAMMAR.items():
        for rule in rules:
            _, daemons = found.get(rule.name, (rule, ()))
            found[rule.name] = (rule, (*daemons, daemon))
    return found
