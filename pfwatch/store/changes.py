"""What is committed together, and what comes back after a restart.

Enters: nothing. Leaves: plain values. This file must never know how they are stored.
"""

from collections.abc import Mapping

import msgspec

from pfwatch.alerting.notification import Notification
from pfwatch.loss import LossReason
from pfwatch.position import Position

CounterKey = tuple[str, tuple[str, ...]]
"""Metric name and label values in the metric's order."""


class LossRow(msgspec.Struct, frozen=True):
    """Something of a source that was never read."""

    at: float
    """When it happened, or was found where that is not known; seconds since the epoch."""
    source: str
    reason: LossReason
    text: str
    """A sentence for the administrator."""
    lines: int | None = None
    """How many, where that is known."""
    size: int | None = None
    """Bytes, where that is known."""


class Changes(msgspec.Struct):
    """One step forward: all of it becomes durable, or nothing."""

    positions: Mapping[str, Position | None] = {}
    """By source; None deletes."""
    counters: dict[CounterKey, float] = {}
    """Absolute values of those that changed."""
    kept: dict[str, dict[bytes, bytes | None]] = {}
    """What parts of pfwatch keep, in their own form: part, key, value; None deletes."""
    outbox: list[Notification] = []
    """New notifications. One whose id has been there in the last 30 days is not sent again."""
    losses: list[LossRow] = []
    """New entries of the ledger of losses."""
    whole: bool = False
    """It is everything: rows of the parts in `kept` that are not in it go."""


class Saved(msgspec.Struct):
    """The state at the last commit."""

    positions: dict[str, Position]
    counters: dict[CounterKey, float]
    kept: dict[str, dict[bytes, bytes]]
    outbox: list[Notification]
    """Still to be sent, oldest first."""


class OutboxRow(msgspec.Struct, frozen=True):
    """A notification that is still to be sent."""

    notification: Notification
    attempts: int
    """Failed ones so far."""
    next_try: float
    """Seconds since the epoch."""


class Result(msgspec.Struct):
    """What became of a notification since the database last took a word about it."""

    channel: str
    failed: int = 0
    """Attempts that failed."""
    error: str | None = None
    """Of the latest attempt, if it failed."""
    next_try: float | None = None
    """Seconds since the epoch; None where nothing new is known."""
    done_at: float | None = None
    """Sent, or given up; seconds since the epoch."""
