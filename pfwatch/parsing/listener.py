"""Whoever follows the lines that the scanner reads, as the scanner sees him.

Enters: nothing. Leaves: the protocol that `sessions` fulfils. This file must never know what is made of a line.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from pfwatch.events import Event

Process = tuple[bytes, bytes, bytes]
"""Host, tag and pid: what serves one client at a time (smtpd), or is one for all (postscreen, qmgr)."""


class Listener(Protocol):
    """Whoever follows the lines: `sessions.Sessions`."""

    watch: set[Process]
    """Processes whose next line, whatever it is, must be announced."""
    notes: Mapping[str, Callable[..., None]]
    """For the lines of rules with `notes`, with the groups that the rule names in `noted`; called after `told` where
    the line is an event, too."""
    asks: Mapping[str, Callable[..., bool]]
    """For the lines of rules with `asks`, with the same groups: whether a line that could be counted is an event."""

    def spoke(self, process: Process, body: bytes) -> None:
        """A watched process wrote another line; called before anything else is made of the line."""

    def told(self, event: Event, process: Process) -> Event:
        """An event, in the order of the log. Returns it with what earlier lines know of it."""
