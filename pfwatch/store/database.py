"""The state database: read at the start, then moved forward by one transaction at a time.

Enters: `Changes`, and what became of the notifications. Leaves: the state at the last commit. This file must never know
what the values mean or when a commit is due.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pfwatch.alerting.notification import Notification
from pfwatch.position import Position
from pfwatch.store.changes import Changes, LossRow, OutboxRow, Saved
from pfwatch.store.errors import StateError
from pfwatch.store.lock import StateLock
from pfwatch.store.losses import read_losses, write_losses
from pfwatch.store.opening import make_folder, open_database

KEEP_SENT = 30 * 86_400
"""Seconds that a notification is remembered after it was sent: one with the same id is not sent again."""

_POSITION = msgspec.json.Decoder[Position](Position)
_LABELS = msgspec.json.Decoder(tuple[str, ...])
_NOTIFICATION = msgspec.json.Decoder(Notification)
_encode = msgspec.json.Encoder().encode


class Store:
    """The state of one pfwatch process. Opened, used and closed in one and the same thread."""

    def __init__(self, path: Path) -> None:
        """Open the database, make it if there is none. Raises StateError."""
        self.path = path
        self.notes: list[str] = []
        """What an administrator should know about the opening."""
        make_folder(path.parent)
        try:
            self._lock = StateLock(path)
        except OSError as error:
            raise StateError(
                f"the state cannot be kept in {path}: {error.strerror}. Run pfwatch as a service, or name a place that "
                "it may write to: [state] path, or --state"
            ) from error
        try:
            self._database = open_database(path, self.notes)
        except BaseException:
            self._lock.release()
            raise

    def load(self) -> Saved:
        """Everything at the last commit. Raises StateError."""
        with self._telling("read"):
            rows = self._database.execute
            kept: dict[str, dict[bytes, bytes]] = {}
            for part, key, value in rows("SELECT part, key, value FROM kept"):
                kept.setdefault(part, {})[key] = value
            return Saved(
                {source: _POSITION.decode(text) for source, text in rows("SELECT source, position FROM positions")},
                {
                    (metric, _LABELS.decode(labels)): value
                    for metric, labels, value in rows("SELECT metric, labels, value FROM counters")
                },
                kept,
                [row.notification for row in self.pending()],
            )

    def commit(self, changes: Changes) -> None:
        """Take one step forward: all of it, or nothing and StateError."""
        with self._telling("written"), self._transaction():
            write = self._database.executemany
            write(
                "INSERT OR REPLACE INTO positions VALUES (?, ?)",
                [(source, _encode(position)) for source, position in changes.positions.items() if position],
            )
            forgotten = [(source,) for source, position in changes.positions.items() if position is None]
            write("DELETE FROM positions WHERE source = ?", forgotten)
            write(
                "INSERT OR REPLACE INTO counters VALUES (?, ?, ?)",
                [(name, _encode(labels), value) for (name, labels), value in changes.counters.items()],
            )
            for part, rows in changes.kept.items():
                gone = [(part, key) for key, value in rows.items() if value is None]
                write("DELETE FROM kept WHERE part = ? AND key = ?", gone)
                there = [(part, key, value) for key, value in rows.items() if value is not None]
                write("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", there)
            write(
                "INSERT OR IGNORE INTO outbox (id, notification) VALUES (?, ?)",
                [(notification.id, _encode(notification)) for notification in changes.outbox],
            )
            write_losses(self._database, changes.losses, time.time())

    def losses(self, since: float = 0.0) -> list[LossRow]:
        """The ledger of losses from a moment on, the newest first. Raises StateError."""
        with self._telling("read"):
            return read_losses(self._database, since)

    def pending(self) -> list[OutboxRow]:
        """What is still to be sent, oldest first. Raises StateError."""
        with self._telling("read"):
            return [
                OutboxRow(_NOTIFICATION.decode(text), attempts, next_try)
                for text, attempts, next_try in self._database.execute(
                    "SELECT notification, attempts, next_try FROM outbox WHERE done_at IS NULL ORDER BY number"
                )
            ]

    def sent(self, id: str, channel: str, at: float) -> None:  # noqa: A002 - the word of the outbox
        """Say that a notification was delivered at a moment; forgets those delivered long before. Raises StateError."""
        with self._telling("written"), self._transaction():
            self._database.execute(
                "UPDATE outbox SET channel = ?, error = NULL, done_at = ? WHERE id = ?", (channel, at, id)
            )
            self._database.execute("DELETE FROM outbox WHERE done_at < ?", (at - KEEP_SENT,))

    def failed(self, id: str, channel: str, error: str, next_try: float | None) -> None:  # noqa: A002
        """Say that an attempt failed and when the next one is due; None gives it up. Raises StateError."""
        with self._telling("written"), self._transaction():
            self._database.execute(
                "UPDATE outbox SET attempts = attempts + 1, channel = ?, error = ?, next_try = coalesce(?, next_try), "
                "done_at = ? WHERE id = ?",
                (channel, error, next_try, time.time() if next_try is None else None, id),
            )

    def close(self) -> None:
        """Let go of the database and of the lock."""
        self._database.close()
        self._lock.release()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # SQLite itself rolls back when the disk is full
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(f"the state database {self.path} cannot be {what}: {error}") from error
        except msgspec.DecodeError as error:
            raise StateError(
                f"the state database {self.path} holds what this pfwatch does not understand ({error}): install the "
                "version that wrote it, or move it away to begin anew"
            ) from error
