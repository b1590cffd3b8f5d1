"""Trouble that a process says twice: it tries again, or another of its layers complains of the same table.

Enters: the `service_health` events of a process. Leaves: whether one only repeats the one before. This file must never
know what a line says, only the names of the rules.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from pfwatch.events import ServiceHealth
from pfwatch.parsing.listener import Process
from pfwatch.table import Table

FOLLOW_UPS: Final[Mapping[str, frozenset[str]]] = {
    "server-problem": frozenset(("server-problem",)),  # asked twice (smtpd_policy_service_try_limit)
    "table-lookup-error": frozenset(("table-unavailable", "table-error")),
    "table-lookup-problem": frozenset(("table-unavailable", "table-error")),
}
"""Rule -> the rules whose line it only repeats, right behind it, about the same subject."""
FIRST: Final = frozenset().union(*FOLLOW_UPS.values())
MOST_TROUBLED = 5_000
"""Processes that said something within these seconds: far above any process limit."""
SOON = 5.0
"""Seconds; between two tries Postfix waits one."""


class Trouble(msgspec.Struct):
    """What a process said first, and has not repeated yet."""

    rule: str
    subject: str
    at: float


class Troubles:
    """The latest trouble of each process."""

    def __init__(self, *, keep: bool) -> None:
        self.rows: Table[Process, Trouble] = Table(Process, Trouble, MOST_TROUBLED, keep=keep)

    def repeated(self, event: ServiceHealth, process: Process) -> bool:
        """Whether the event only repeats what its process said just before. A third time is a new beginning."""
        rule, envelope = event.envelope.rule or "", event.envelope
        first = self.rows.get(process) if rule in FOLLOW_UPS else None
        if (
            first is not None
            and first.rule in FOLLOW_UPS[rule]
            and first.subject == event.subject
            and envelope.at - first.at <= SOON
            and envelope.weight == 1
        ):
            self.rows.drop(process)
            return True
        if rule in FIRST:
            self.rows.put(process, Trouble(rule, event.subject, envelope.at))
        return False
