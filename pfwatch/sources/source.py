"""What every kind of source is to the daemon, whatever it reads.

Enters: nothing. Leaves: the `Source` that the wiring drives. This file must never know which kinds there are.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from pfwatch.loss import Loss, LossReason
from pfwatch.position import Block

__all__ = ["Loss", "LossReason", "Source"]


class Source(Protocol):
    """A stream of blocks with positions. One task drives `blocks`; everything else is looked at between its blocks.

    A loss is committed together with the position of the block behind which it was found, so that a restart does not
    find it again. A source that passes a gap and has no line to give yet therefore gives an empty block.
    """

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
