"""The state database: read at the start, then moved forward by one transaction at a time.

Enters: `Changes`, and what became of the notifications. Leaves: the state at the last commit. This file must never know
what the values mean or when a commit is due.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pfwatch.alerting.notification import Notification
from pfwatch.position import Position
from pfwatch.store.changes import Changes, LossRow, OutboxRow, Result, Saved
from pfwatch.store.errors import StateError
from pfwatch.store.explain import explain
from pfwatch.store.lock import StateLock
from pfwatch.store.losses import read_losses, write_losses
from pfwatch.store.opening import check_file, make_folder, open_database

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
            raise explain(path, "kept", error) from error
        try:
            self._database = open_database(path, self.notes)
        except BaseException:
            self._lock.release()
            raise
        self._names = str(path), f"{path}-wal"
        self._identities: dict[str, tuple[int, int]] = {}
        self._left_as = self._look()
        self.is_there()

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

    def is_there(self) -> bool:
        """Whether the files still have their names: what is written to a deleted file is gone with the process."""
        for name in self._names:
            try:
                status = os.stat(name)  # noqa: PTH116 - the fewest steps, every second
            except FileNotFoundError:
                if name in self._identities:
                    return False
                continue  # there is no write-ahead log before the first commit
            if self._identities.setdefault(name, (status.st_dev, status.st_ino)) != (status.st_dev, status.st_ino):
                return False
        return True

    def check(self) -> None:
        """See whether the file is sound, if somebody else wrote to it: what is in memory would hide the damage until
        the next start. Raises StateError.
        """
        if self._look() != self._left_as:
            with self._telling("read"):
                check_file(self.path)
            self._left_as = self._look()

    def try_to_begin(self) -> None:
        """Find out whether a commit could begin now. Raises StateError."""
        with self._telling("written"), self._transaction():
            pass

    def knows(self, id: str) -> bool:  # noqa: A002
        """Whether a notification is or was in the outbox. Raises StateError."""
        with self._telling("read"):
            return self._database.execute("SELECT 1 FROM outbox WHERE id = ?", (id,)).fetchone() is not None

    def commit(self, changes: Changes, results: Mapping[str, Result] | None = None) -> None:
        """Take one step forward: all of it, or nothing and StateError. `results`: of notifications, by id."""
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
                if changes.whole:
                    self._database.execute("DELETE FROM kept WHERE part = ?", (part,))
                gone = [(part, key) for key, value in rows.items() if value is None]
                write("DELETE FROM kept WHERE part = ? AND key = ?", gone)
                there = [(part, key, value) for key, value in rows.items() if value is not None]
                write("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", there)
            write(
                "INSERT OR IGNORE INTO outbox (id, notification) VALUES (?, ?)",
                [(notification.id, _encode(notification)) for notification in changes.outbox],
            )
            for id_, result in (results or {}).items():
                self._note(id_, result)
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
        self.commit(Changes(), {id: Result(channel, done_at=at)})

    def failed(self, id: str, channel: str, error: str, next_try: float | None) -> None:  # noqa: A002
        """Say that an attempt failed and when the next one is due; None gives it up. Raises StateError."""
        done_at = time.time() if next_try is None else None
        self.commit(Changes(), {id: Result(channel, 1, error, next_try, done_at)})

    def close(self) -> None:
        """Let go of the database and of the lock."""
        self._database.close()
        self._lock.release()

    def _look(self) -> tuple[int, int]:
        """How the file itself is; it is written to at a checkpoint only, which is part of a commit."""
        status = os.stat(self.path)  # noqa: PTH116
        return status.st_mtime_ns, status.st_size

    def _note(self, id_: str, result: Result) -> None:
        self._database.execute(
            "UPDATE outbox SET attempts = attempts + ?, channel = ?, error = ?, next_try = coalesce(?, next_try), "
            "done_at = ? WHERE id = ?",
            (result.failed, result.channel, result.error, result.next_try, result.done_at, id_),
        )
        if result.done_at is not None and result.error is None:
            self._database.execute("DELETE FROM outbox WHERE done_at < ?", (result.done_at - KEEP_SENT,))

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
        finally:
            with suppress(OSError):
                self._left_as = self._look()

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explain(self.path, what, error) from error
        except msgspec.DecodeError as error:
            raise StateError(
                f"the state database {self.path} holds what this pfwatch does not understand ({error}): install the "
                "version that wrote it, or move it away to begin anew"
            ) from error
