"""Follows the systemd journal over rotations, restarts of journald and of pfwatch.

Enters: the settings and the position up to which it was read. Leaves: blocks with positions, `problem` while the
journal cannot be read, what of it was lost, and how many entries were forged. This file must never know what a line
means or how a position is kept.
"""

import asyncio
import errno
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from pfwatch.position import Block, JournalPosition
from pfwatch.sources.errors import SourceError
from pfwatch.sources.journal.cursor import is_same_entry, position_at
from pfwatch.sources.journal.library import LibraryReader, stops_early
from pfwatch.sources.journal.loss import (
    damaged_entry,
    damaged_files,
    damaged_inside,
    dropped_behind,
    forgery_note,
    not_there,
)
from pfwatch.sources.journal.place import JournalPlace, find_journal, modified
from pfwatch.sources.journal.reader import JournalReader, line_maker, open_reader
from pfwatch.sources.journal.waiting import Waiting
from pfwatch.sources.settings import JournalSettings, SourceSettings
from pfwatch.sources.source import Loss

_AT_ONCE = 1024
"""Entries between two turns of the other tasks: some 5 ms, some 200 KiB of lines."""
_RETRY = 8
"""A journal that cannot be read is tried again after this many times the usual interval."""
_MICROSECONDS = 1_000_000


class JournalSource:
    """One journal. `poll` is one step and never waits; `blocks` is `poll` with the waiting around it."""

    def __init__(
        self,
        settings: SourceSettings,
        *,
        position: JournalPosition | None = None,
        now: Callable[[], float] = time.time,
        library: bool | None = None,
        find: Callable[[JournalSettings], JournalPlace] = find_journal,
    ) -> None:
        """`library` decides how it is read, None: by the library where it is there."""
        self.name = settings.journal.name
        self.problem: str | None = None
        """Why the journal cannot be read at present."""
        self.notes: list[str] = []
        """What an administrator should know, oldest first; whoever says it clears it."""
        self.losses: list[Loss] = []
        self.at_end = False
        """The last `poll` left nothing unread."""
        self.caught_up = asyncio.Event()
        """Set by `blocks` whenever nothing is left unread, be there ever a line or not."""
        self._settings = settings
        self._position = position
        self._now = now
        self._library = library
        self._find = find
        self._lines = line_maker(settings)
        self._reader: JournalReader | None = None
        self._waiting: Waiting | None = None
        self._place: JournalPlace | None = None
        self._began = 0.0
        """The time at which this run began to read."""
        self._looked_inside = False
        self._idle = False
        self._at_once = _AT_ONCE
        self._told_forgery = False
        self._damaged: set[Path] = set()
        self._bad: tuple[str, int] | None = None
        self._measured: JournalPosition | None = None
        """Behind this, what was dropped is reported."""

    def take_forged(self) -> int:
        """Entries that only claimed to be Postfix's, since the last call."""
        forged, self._lines.forged = self._lines.forged, 0
        return forged

    def close(self) -> None:
        """Let go of the journal; `poll` would open it again at the last block's end."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def blocks(self) -> AsyncGenerator[Block, None]:
        """Blocks for ever. Close it (contextlib.aclosing) to let go of the journal."""
        interval = self._settings.poll_interval
        try:
            while True:
                block = self.poll()
                if self.at_end:
                    self.caught_up.set()
                else:
                    self.caught_up.clear()
                if block is not None:
                    yield block
                if self.at_end and not self._looked_inside:
                    self._looked_inside = True
                    # It reads what was read once more, though much faster: not while others wait.
                    self.losses += await asyncio.to_thread(self.look_inside)
                if self._reader is None or self._waiting is None:
                    await asyncio.sleep(interval * _RETRY)
                elif self._idle:
                    await self._waiting.wait(interval)
                else:  # other tasks get their turn between two blocks
                    await asyncio.sleep(0)
        finally:
            self.close()

    def poll(self) -> Block | None:
        """Read at most one block. None: nothing of ours in this step; whether more is to be read, `at_end` says.

        A block without a line stands for forged entries alone: they must not be met again after a restart.
        """
        was_at_end, self.at_end = self.at_end, False
        reader = self._reader or self._open()
        if reader is None:
            self.at_end = self._idle = True
            return None
        if reader.files_changed:
            reader.files_changed = False
            self._look_at_files(None if was_at_end else self._position)
        before = self._lines.forged
        pulled = 0
        try:
            pulled = reader.pull(self._lines, self._at_once)
            place = reader.place() if pulled else None
            self._idle, self._at_once = pulled < self._at_once, _AT_ONCE
        except OSError as error:
            place, self._idle = self._cannot(reader, error, pulled), False
        self.at_end = self._idle and reader.settled
        data = self._lines.take()
        if self._lines.forgery and not self._told_forgery:
            self._told_forgery = True
            self.notes.append(forgery_note(self._lines.forged, self._lines.forgery))
        if place is None:  # what was read is read again
            self._lines.forged = before
        if place is None or not (data or self._lines.forged > before):
            return None
        self._position = position_at(*place)
        return Block(self.name, data, self._now(), self._position, caught_up=self.at_end)

    def _open(self) -> JournalReader | None:
        try:
            self._place = self._find(self._settings.journal)
            self._reader = open_reader(self._place, follow=True, library=self._library)
            self._waiting = Waiting(self._reader)
            self._look_at_files(None)
            self._begin(self._reader, self._place)
        except (SourceError, OSError) as error:
            self.close()
            self.problem = f"cannot be read: {error}"
            return None
        self.problem = None
        return self._reader

    def _begin(self, reader: JournalReader, place: JournalPlace) -> None:
        position = self._position
        if position is None:
            self._began = max(self._now() - self._settings.first_read, 0)
            reader.seek_time(int(self._began * _MICROSECONDS))
            return
        self._began = position.realtime / _MICROSECONDS
        found = reader.seek_cursor(position.cursor)
        if found is not None and is_same_entry(found[0], position.cursor):
            return
        # A cursor that is not there does not fail: libsystemd goes to whatever fits a part of it.
        if dropped := dropped_behind(place, position):
            self.losses.append(dropped)
        else:
            self.notes.append(not_there(self.name, position))
        reader.seek_time(position.realtime + 1)

    def _cannot(self, reader: JournalReader, error: OSError, pulled: int) -> tuple[str, int] | None:
        """Reading failed: up to where it came, None where that is unknown. The lines until there are good."""
        if pulled:
            # libsystemd let go of a damaged file, and of the place in it: read as far once more, and not one step on.
            self._at_once = pulled
            self.close()
            return None
        try:
            place = reader.place()
        except OSError:
            place = None
        if error.errno == errno.EBADMSG and place is not None and place != self._bad:
            self._bad = place
            self.losses.append(damaged_entry(self.name, place[1], error.strerror or str(error)))
            return place
        self.close()
        self.problem = f"could not be read on: {error.strerror or error}; it is opened again"
        return place if place and place[0] else None

    def look_inside(self) -> list[Loss]:
        """What was not read of the files that were read in this run and are not written to any more."""
        if self._place is None or not isinstance(self._reader, LibraryReader):
            return []
        losses = []
        for path in self._place.files():
            if "@" not in path.name or path in self._damaged or modified(path) < self._began:
                continue
            if found := stops_early(path):
                losses.append(damaged_inside(path, *found))
        return losses

    def _look_at_files(self, unread_behind: JournalPosition | None) -> None:
        """Which files are damaged, and whether some are gone behind the place where reading is."""
        if self._place is None:
            return
        for path, loss in damaged_files(self._place):
            if path not in self._damaged:
                self._damaged.add(path)
                self.losses.append(loss)
        if unread_behind is None or unread_behind == self._measured:
            return
        if dropped := dropped_behind(self._place, unread_behind):
            self._measured = unread_behind
            self.losses.append(dropped)
