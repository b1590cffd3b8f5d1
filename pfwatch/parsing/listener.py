"""Whoever follows the lines that the scanner reads, as the scanner sees him.

Enters: nothing. Leaves: the protocol that `sessions` fulfils. This file must never know what is made of a line.
"""

from collections.abc import Callable, Container, Mapping
from typing import Protocol

from pfwatch.events import Event
from pfwatch.parsing.hits import Hit
from pfwatch.table import Table

Process = tuple[bytes, bytes, bytes]
"""Host, tag and pid: what serves one client at a time (smtpd), or is one for all (postscreen, qmgr)."""
MessageKey = tuple[bytes, bytes]
"""Host and queue id."""
Brought = tuple[bytes | None, bytes | None, bool]
"""Who brought a message and under which account, as Postfix wrote it, and whether it was in the active queue."""


class Listener(Protocol):
    """Whoever follows the lines: `sessions.Sessions`.

    Most lines only begin or end something. For these the scanner keeps the tables of what is open by itself.
    """

    clients: Table[Process, bytes]
    """Processes of smtpd that serve a client, as Postfix wrote him."""
    failures: Table[Process, int]
    """How many AUTH commands of the client that a process serves failed, by lines of their own."""
    messages: Table[MessageKey, Brought]
    """Messages between `client=` and `removed`."""
    reused: Container[MessageKey]
    """Messages whose queue id, when it is given to another one, must be announced."""
    watch: set[Process]
    """Processes whose next line, whatever it is, must be announced."""
    finished: list[Event | Hit]
    """What is complete, in order; the scanner puts hits here."""
    notes: Mapping[str, Callable[..., None]]
    """For the lines of rules with `notes` that are not plain, with the groups that the rule names in `noted`; called
    after `told` where the line is an event, too."""
    asks: Mapping[str, Callable[..., bool]]
    """For the lines of rules with `asks`, with the same groups: whether a line that could be counted is an event."""

    def spoke(self, process: Process, body: bytes) -> None:
        """A watched process wrote another line; called before anything else is made of the line."""

    def told(self, event: Event, process: Process) -> Event:
        """An event, in the order of the log. Returns it with what earlier lines know of it."""

    def failed(self, hit: Hit, process: Process) -> None:
        """A hit that is not complete before it is known what the library says; called after `tick`."""

    def explained(self, process: Process, words: bytes) -> bool:
        """The library said this; tells whether it is about a failure that waits. Called after `tick`."""

    def tick(self, now: float) -> None:
        """A hit of this time stands next in the log: close what waited long enough."""

    def accepted(self, key: MessageKey) -> None:
        """A queue id out of `reused` was given to another message."""
