"""The ledger of losses: what of the sources was never read.

Enters: a connection and rows. Leaves: rows, the newest first. This file must never know how a loss is found or told.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, cast

from pfwatch.loss import LossReason
from pfwatch.store.changes import LossRow

KEEP_LOSSES: Final = 90 * 86_400
"""Seconds that an entry is kept."""
MOST_LOSSES: Final = 1000
"""Entries that are kept: a syslog daemon at its limit tells of a new one every few seconds."""


def write_losses(database: sqlite3.Connection, losses: Sequence[LossRow], now: float) -> None:
    """Add entries and drop those that are too old or too many; part of the caller's transaction."""
    if not losses:
        return
    database.executemany(
        "INSERT INTO losses (at, source, reason, lines, bytes, text) VALUES (?, ?, ?, ?, ?, ?)",
        [(one.at, one.source, one.reason, one.lines, one.size, one.text) for one in losses],
    )
    database.execute("DELETE FROM losses WHERE at < ?", (now - KEEP_LOSSES,))
    database.execute(
        "DELETE FROM losses WHERE number <= (SELECT number FROM losses ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MOST_LOSSES,),
    )


def read_losses(database: sqlite3.Connection, since: float = 0.0) -> list[LossRow]:
    """The entries of the time from `since` (seconds since the epoch), the newest first. Raises sqlite3.Error.

    Works on any connection to the state database, also on one that may only read.
    """
    query = "SELECT at, source, reason, text, lines, bytes FROM losses WHERE at >= ? ORDER BY at DESC, number DESC"
    return [
        LossRow(at, source, cast("LossReason", reason), text, lines, size)
        for at, source, reason, text, lines, size in database.execute(query, (since,))
    ]
