"""What every kind of source is to the daemon, whatever it reads.

Enters: nothing. Leaves: the `Source` that the wiring drives, and the `Loss` it may report. This file must never know
which kinds there are.
"""

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

import msgspec

from pfwatch.position import Block

LossReason = Literal[
    "rotated_away",
    "truncated",
    "unreadable",
    "vacuumed",
    "corrupt",
    "rate_limited",
    "overflow",
]
"""rotated_away: a file was deleted, or not found beside its successor, before its end was read. truncated: cut off
below what was read, or overwritten. unreadable: a rotated file that could not be opened or decompressed to its end.
vacuumed: the journal dropped entries that were not read. corrupt: a damaged part of a journal. rate_limited: the
syslog daemon or the journal says that it dropped messages. overflow: a receiver's own bound."""


class Loss(msgspec.Struct, frozen=True):
    """Something of the log that can never be read."""

    reason: LossReason
    text: str
    """A sentence for the administrator: what is lost, of when, and why."""
    lines: int | None = None
    """How many, where that is known."""
    size: int | None = None
    """Bytes, where that is known."""


class Source(Protocol):
    """A stream of blocks with positions. One task drives `blocks`; everything else is looked at between its blocks."""

    @property
    def name(self) -> str:
        """As metrics, positions and messages show it: a path, `journal`, `syslog`. The `source` of its blocks."""

    @property
    def problem(self) -> str | None:
        """Why it cannot be read at present; continues a sentence that begins with the name."""

    @property
    def at_end(self) -> bool:
        """Nothing is left unread at present."""

    @property
    def notes(self) -> list[str]:
        """What an administrator should know, oldest first; whoever says it clears it."""

    @property
    def losses(self) -> list[Loss]:
        """What was lost, oldest first; whoever counts it clears it."""

    def blocks(self) -> AsyncGenerator[Block, None]:
        """Blocks for ever; closing it lets go of everything that is open."""
