"""The state through all troubles: on a disk that is full or read-only, locked, damaged, or with its file gone.

Enters: `Changes`, and what became of the notifications. Leaves: commits, errors in words, and the notifications that
are to be sent, also those that no database has taken yet. This file must never know what the values mean or when a
commit is due. Opened, used and closed in one and the same thread.

What could not be committed is not queued: the next commit brings everything anew (`wants_whole`). Only notifications
and what became of them wait here, because they must not wait for the disk.
"""

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from pfwatch.alerting.notification import Notification
from pfwatch.store.changes import Changes, OutboxRow, Result, Saved
from pfwatch.store.database import Store
from pfwatch.store.errors import DamagedError, OlderError, PassingError, StaleError, StateError
from pfwatch.store.explain import full, is_full
from pfwatch.store.opening import set_aside
from pfwatch.store.unwritable import read_beside

_MOST_HELD = 1_000
"""Notifications that wait for the disk. At the daily budget of 50 that is twenty days without disk and mail server."""


class Unwritten(msgspec.Struct):
    """What no database has taken yet; it goes on to the next run after a reload."""

    held: dict[str, Notification] = {}
    """By id. Of one that was sent only what the database needs to know it again."""
    results: dict[str, Result] = {}
    """By id, of held ones and of others."""


class State:
    """The state of one pfwatch process."""

    def __init__(self, path: Path, unwritten: Unwritten) -> None:
        """Open it, or where that may pass begin without. Raises StateError."""
        self._path = path
        self._unwritten = unwritten
        self._store: Store | None = None
        self._damage: DamagedError | None = None
        self._failing = False
        self._began_empty = False
        """There was no database that could have been gone on with."""
        self._rows: list[OutboxRow] = []
        """What waited in the database when it was last looked at."""
        self.notes: list[str] = []
        """What an administrator should know; whoever says it clears it."""
        self.problem: str | None = None
        """Why it began without a database."""
        self.wants_whole = False
        """The next commit has to bring everything."""
        try:
            self._store = Store(path)
        except PassingError as error:
            self._saved = read_beside(path, self.notes)
            self._began_empty = not self._saved.positions
            self._rows = [OutboxRow(notification, 0, 0.0) for notification in self._saved.outbox]
            self._failing = self.wants_whole = True
            self.problem = str(error)
        else:
            self.notes += [f"{note}; counters, open incidents and the place in the log begin anew" for note in
                           self._store.notes]  # fmt: skip

    def load(self) -> Saved:
        """Everything at the last commit. Raises StateError."""
        return self._saved if self._store is None else self._store.load()

    def try_to_begin(self) -> None:
        """Find out whether a commit could succeed now. Raises StateError."""
        if is_full(self._path):
            raise full(self._path, f"the state database {self._path} cannot be written: ")
        self._ready().try_to_begin()

    def commit(self, changes: Changes) -> None:
        """Take one step forward, or hold the notifications and raise StateError.

        StaleError: the database is a new one; the same again, but everything. OlderError: begin again with `load`.
        """
        try:
            self._commit(changes)
        except StateError as error:
            self._failing = True
            self.hold(changes.outbox)
            if not isinstance(error, DamagedError):
                raise
            self._damage = error
            self._ready()
            raise StaleError(str(error)) from error
        self._failing = self.wants_whole = False

    def hold(self, notifications: list[Notification]) -> None:
        """These are to be sent although no database has them."""
        for notification in notifications:
            self._hold(notification)

    def pending(self) -> list[OutboxRow]:
        """What is still to be sent, oldest first; as far as it is known where the database cannot be read."""
        if self._store is not None:
            try:
                self._rows = self._store.pending()
            except DamagedError as error:
                self._damage = error  # the next commit mends it
            except StateError:
                pass
        rows = {row.notification.id: row for row in self._rows}
        rows |= {id_: OutboxRow(one, 0, 0.0) for id_, one in self._unwritten.held.items() if id_ not in rows}
        return [row for row in map(self._as_noted, rows.values()) if row is not None]

    def sent(self, id: str, channel: str, at: float) -> None:  # noqa: A002 - the word of the outbox
        """Say that a notification was delivered at a moment."""
        self._note(id, Result(channel, done_at=at))
        if id in self._unwritten.held:
            self._unwritten.held[id] = msgspec.structs.replace(self._unwritten.held[id], incidents=[])

    def failed(self, id: str, channel: str, error: str, next_try: float | None) -> None:  # noqa: A002
        """Say that an attempt failed and when the next one is due; None gives it up."""
        before = self._unwritten.results.get(id)
        attempts = (before.failed if before else 0) + 1
        self._note(id, Result(channel, attempts, error, next_try, time.time() if next_try is None else None))

    def close(self) -> None:
        """Let go of the database and of the lock."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _commit(self, changes: Changes) -> None:
        store = self._ready()
        if self.wants_whole and not changes.whole:
            raise StaleError(f"the state database {self._path} is a new one")
        unwritten = self._unwritten
        outbox = [*unwritten.held.values(), *changes.outbox]
        store.commit(msgspec.structs.replace(changes, outbox=outbox), unwritten.results)
        unwritten.held.clear()
        unwritten.results.clear()

    def _ready(self) -> Store:
        """The database, opened again where that is necessary. Raises StateError."""
        if self._store is not None:
            self._look_after(self._store)
        if self._store is None:
            store = Store(self._path)
            if self._began_empty and store.load().positions:
                store.close()
                raise OlderError(f"the state database {self._path} is there now: pfwatch goes on from what is in it")
            self._store, self._damage, self._began_empty = store, None, False
            for note in store.notes:
                self._say_anew(note)
        return self._store

    def _look_after(self, store: Store) -> None:
        """Let go of a database that was deleted or damaged meanwhile. Raises StateError."""
        if not store.is_there():
            self._let_go()
            self._say_anew(f"the state database {self._path} was deleted or replaced while pfwatch was running")
            return
        try:
            if self._damage is None:
                store.check()
        except DamagedError as error:
            self._damage = error
        if self._damage is not None:
            self._let_go()
            try:
                self._say_anew(set_aside(self._path, str(self._damage)))
            except OSError as error:
                words = f"the state database {self._path} is damaged and cannot be renamed: {error.strerror}"
                raise StateError(words) from error

    def _let_go(self) -> None:
        """Close a database that goes on without its file; what waits in it to be sent comes along."""
        for row in self.pending():
            id_ = row.notification.id
            self._unwritten.held.setdefault(id_, row.notification)
            if row.attempts:
                before = self._unwritten.results.get(id_, Result("", error="not delivered"))
                self._unwritten.results[id_] = Result(before.channel, row.attempts, before.error, row.next_try)
        self._rows = []
        self.wants_whole = True
        self.close()

    def _say_anew(self, what: str) -> None:
        self.notes.append(f"{what}; a new one is written from memory, and nothing is lost")

    def _hold(self, notification: Notification) -> None:
        held = self._unwritten.held
        if notification.id in held or notification.id in self._unwritten.results:
            return
        if self._store is not None:
            with suppress(StateError):
                if self._store.knows(notification.id):
                    return
        held[notification.id] = notification
        if len(held) > _MOST_HELD:
            oldest = next(iter(held))
            del held[oldest]
            if self._unwritten.results.pop(oldest, Result("")).done_at is None:
                self.notes.append(f"more than {_MOST_HELD} notifications wait for the disk; {oldest} was given up")

    def _note(self, id_: str, result: Result) -> None:
        unwritten = self._unwritten
        unwritten.results[id_] = result
        if self._failing or self._store is None:
            return  # the next commit brings it
        with suppress(StateError):
            self._store.commit(
                Changes(), {one: of for one, of in unwritten.results.items() if one not in unwritten.held}
            )
            unwritten.results = {one: of for one, of in unwritten.results.items() if one in unwritten.held}

    def _as_noted(self, row: OutboxRow) -> OutboxRow | None:
        """The row with what the database has not been told; None where nothing is left to send."""
        result = self._unwritten.results.get(row.notification.id)
        if result is None:
            return row
        if result.done_at is not None:
            return None
        next_try = row.next_try if result.next_try is None else result.next_try
        return OutboxRow(row.notification, row.attempts + result.failed, next_try)
