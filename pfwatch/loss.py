"""What of a log can never be read, as a value.

Enters: nothing. Leaves: the `Loss` that sources and the core tell of and the store keeps. This file must never know how
a loss is found, counted or kept.
"""

from typing import Final, Literal, get_args

import msgspec

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

LOSS_REASONS: Final[tuple[LossReason, ...]] = get_args(LossReason)


class Loss(msgspec.Struct, frozen=True):
    """Something of the log that can never be read."""

    reason: LossReason
    text: str
    """A sentence for the administrator: what is lost, of when, and why."""
    lines: int | None = None
    """How many, where that is known."""
    size: int | None = None
    """Bytes, where that is known."""
    at: float | None = None
    """When it happened, seconds since the epoch; None: not known, or now."""
