"""Follows a log that grows and rotates, line by line, over restarts.

Enters: the path of a log and the position up to which it was read. Leaves: blocks with positions, `problem` while the
log cannot be read, `notes` about what was found, `losses` of what nobody can read any more. This file must never know
what a line means or how a position is kept.
"""

import asyncio
import errno
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import BinaryIO

from pfwatch.loss import Loss
from pfwatch.position import Block, FilePosition
from pfwatch.sources import gaps
from pfwatch.sources.doorbell import Doorbells
from pfwatch.sources.errors import explain
from pfwatch.sources.identity import FINGERPRINT_BYTES, length_of
from pfwatch.sources.openlog import CompressedLog, OpenLog, ReplacedError, open_log
from pfwatch.sources.rotated import Rest, open_earlier, open_rest
from pfwatch.sources.settings import SourceSettings

_HOT = 5
"""A busy log is looked at this many times as often as a quiet one."""
_COOLING = 1.5
"""How much longer the wait gets with each look that finds nothing."""


class FileFollower:
    """One log. `poll` is one step and never waits; `blocks` is `poll` with the waiting around it.

    What counts is what a look at the files shows, each time: the path's file, the open file's size and beginning. A
    file is left for the next one once that one has content and this one has had nothing more since: until then its
    writer may not have noticed the rotation.
    """

    def __init__(
        self,
        path: str,
        settings: SourceSettings,
        *,
        position: FilePosition | None = None,
        start_at: Callable[[BinaryIO], int] | None = None,
        now: Callable[[], float] = time.time,
        doorbells: Doorbells | None = None,
    ) -> None:
        """`start_at` finds the offset of the line to begin with when there is no position; without it, the first.

        Logs that share `doorbells` share the watch on their directory.
        """
        self.name = path
        self.problem: str | None = None
        """Why the log cannot be read at present."""
        self.notes: list[str] = []
        """What an administrator should know, oldest first; whoever says it clears it."""
        self.losses: list[Loss] = []
        """What was lost, oldest first; whoever counts it clears it. A block follows each, if only an empty one."""
        self.at_end = False
        """The last `poll` left nothing unread."""
        self.caught_up = asyncio.Event()
        """Set by `blocks` whenever nothing is left unread, be there ever a line or not."""
        self._settings = settings
        self._position = position
        self._quiet = False
        """The last `poll` found the end of the path's file."""
        self._last_note = ""
        self._truncated = False
        """The file in which the position is was seen to lose its content."""
        self._gaps: list[Loss] = []
        """Lost before the file that will come after those that are open."""
        self._start_at = start_at
        self._now = now
        self._doorbells = doorbells or Doorbells()
        self._logs: deque[OpenLog] = deque()
        """The file being read, then those that come after it."""

    @property
    def position(self) -> FilePosition | None:
        """Behind the last block."""
        return self._position

    def files(self) -> set[tuple[int, int]]:
        """Device and inode of each file that is open."""
        return {(log.device, log.inode) for log in self._logs}

    def close(self) -> None:
        """Let go of the files; `poll` would open them again at the last block's end."""
        for log in self._logs:
            log.close()
        self._logs.clear()
        self._gaps.clear()  # they are found again

    async def blocks(self) -> AsyncGenerator[Block, None]:
        """Blocks for ever. Close it (contextlib.aclosing) to let go of the files and of the watch on the directory."""
        interval = self._settings.poll_interval
        try:
            with self._doorbells.bell(str(Path(self.name).parent)) as bell:
                if bell.problem:
                    self.notes.append(bell.problem)
                while True:
                    block = self.poll()
                    if self.at_end:
                        self.caught_up.set()
                    else:
                        self.caught_up.clear()
                    if block is not None:
                        interval = self._settings.poll_interval / _HOT
                        yield block
                    # Also when more is there: other tasks get their turn between two blocks.
                    await bell.wait(interval) if self.at_end else await asyncio.sleep(0)
                    if block is None:
                        interval = min(interval * _COOLING, self._settings.poll_interval)
        finally:
            self.close()

    def poll(self) -> Block | None:
        """Read at most one block. None: no whole line in this step; whether more is to be read, `at_end` says."""
        newest = self._look()
        if self._quiet and newest and self._is_as_it_was(newest):
            return None
        self.at_end = self._quiet = False
        if not self._logs and not self._begin():
            self.at_end = True
            return None
        log = self._logs[0]
        try:
            lines = log.read()
        except ReplacedError:
            self._begin_again(log)
            return None
        except OSError as error:
            self._unreadable(log, error, self._is_another(newest))
            return None
        more = len(self._logs) > 1 or self._is_another(newest)
        if not lines and log.at_end and more:
            return self._leave(log)
        self.at_end = self._quiet = log.at_end and not more
        # Before the first line, too, the place is told: a rotation while pfwatch is down would else be a first start.
        return self._block(log, lines) if lines or log.gaps or self._position is None else None

    def _block(self, log: OpenLog, lines: bytes) -> Block:
        self._position = log.position()
        self.losses += log.gaps
        log.gaps = []
        reference = log.modified if len(self._logs) > 1 else self._now()
        return Block(self.name, lines, reference, self._position, caught_up=self.at_end)

    def _look(self) -> os.stat_result | None:
        """What is at the path now; None, and a problem, when nothing is."""
        try:
            status = os.stat(self.name)  # noqa: PTH116 - the fewest steps, many times a second
        except OSError as error:
            self.problem = explain(self.name, error)
            return None
        self.problem = None
        return status

    def _is_as_it_was(self, newest: os.stat_result) -> bool:
        """Whether the open file still is at the path, untouched: most looks end here, for a third of the cost."""
        log = self._logs[0] if self._logs else None
        return (
            log is not None
            and newest.st_ino == log.inode
            and newest.st_size == log.seen
            and newest.st_mtime == log.modified
            and newest.st_dev == log.device
        )

    def _is_another(self, newest: os.stat_result | None) -> bool:
        """Whether the path is another file now, and its writer there already."""
        log = self._logs[0]
        return newest is not None and newest.st_size > 0 and (newest.st_dev, newest.st_ino) != (log.device, log.inode)

    def _begin(self) -> bool:
        """Open the file in which the position is and all that came after it; False when there is nothing to read."""
        newest = None
        try:
            newest = open_log(self.name, Path(self.name), self._settings)
        except FileNotFoundError:
            pass  # moved away while pfwatch was down, perhaps, and the new one is not there yet
        except OSError as error:
            self.problem = explain(self.name, error)
            return False  # perhaps the very file of the position: wait until it can be compared
        try:
            if newest and self._position is None:
                offset = self._first_offset(newest)
                newest.go_to(offset)
                if self._start_at and not offset:  # what is to be read may begin before the last rotation
                    self._logs.extend(open_earlier(self.name, self._settings, self._start_at))
            elif self._position:
                self._find_place(self._position, newest)
        except FileNotFoundError:  # its rotated files are being renamed: look again when they stand still
            if newest:
                newest.close()
            return False
        if newest:
            # An empty one after a rotated one waits: the writer may still be in the rotated one.
            self._append(newest) if newest.size() > 0 or not self._logs else newest.close()
        self._truncated = self._truncated and not self._logs
        return bool(self._logs)

    def _find_place(self, position: FilePosition, newest: OpenLog | None) -> None:
        known = length_of(position.fingerprint) > 0
        if newest and known and newest.is_file_of(position):
            self._go_on(newest, position)
            return
        rest = open_rest(position, self._settings)
        # It may be restored or copied from elsewhere. The inode of a file that was empty tells little: what was written
        # to it since may have been copied away before it was emptied again.
        if newest and not rest.found and newest.holds(position) and (known or not rest.logs):
            rest.close()
            self._go_on(newest, position)
            return
        if not newest and not rest.logs:
            return  # wait until there is something to compare
        logs = rest.without_copies_of(newest)
        unreadable = self._tell_unreadable(rest, logs, position, held=False)
        if rest.found:
            self._tell_short_copy(logs, position)
        elif not unreadable:
            self._lose(gaps.gone(position, truncated=self._truncated), logs[0] if logs else None)
        self._logs.extend(logs)

    def _begin_again(self, log: OpenLog) -> None:
        """The file was truncated: what of it was unread may be in a copy beside it."""
        self._position = log.position()
        self._truncated = True
        self.close()

    def _leave(self, log: OpenLog) -> Block | None:
        """Go over to the next file. Gives the half line at the end of this one: nobody completes it any more."""
        if len(self._logs) == 1 and not self._find_next(log):
            self.at_end = True
            return None
        lines = log.finish()
        block = self._block(log, lines) if lines else None
        self._logs.popleft().close()
        return block

    def _find_next(self, log: OpenLog) -> bool:
        try:
            newest = open_log(self.name, Path(self.name), self._settings)
        except OSError as error:
            self.problem = explain(self.name, error)
            return False
        position = log.position()
        if not log.has_a_name() and length_of(position.fingerprint) == FINGERPRINT_BYTES and newest.holds(position):
            self._note(f"{self.name} was written anew with the same beginning; reading goes on where it was")
            self._go_on(newest, position)
        else:  # more than one rotation since the last look leaves files between
            try:
                rest = open_rest(position, self._settings)
            except FileNotFoundError:  # as above
                newest.close()
                return False
            between = rest.without_copies_of(newest)
            self._tell_unreadable(rest, between, position, held=True)
            if rest.found:
                between.pop(0).close()
            self._logs.extend(between)
            if between and newest.size() == 0:  # its writer may still be in the one before
                newest.close()
                return True
        self._append(newest)
        return True

    def _first_offset(self, log: OpenLog) -> int:
        if self._start_at is None:
            return 0
        with log.duplicate() as file:
            return self._start_at(file)

    def _go_on(self, log: OpenLog, position: FilePosition) -> None:
        size = log.size()
        if size < position.offset:
            self._lose(gaps.cut_off(position, size), log)
        log.go_to(min(size, position.offset))

    def _append(self, newest: OpenLog) -> None:
        newest.gaps += self._gaps
        self._gaps.clear()
        self._logs.append(newest)

    def _tell_short_copy(self, logs: list[OpenLog], position: FilePosition) -> None:
        unread = logs[0].unread()
        if unread is not None and logs[0].inode != position.inode:
            self._lose(gaps.short_copy(position, unread), logs[1] if len(logs) > 1 else None)

    def _tell_unreadable(self, rest: Rest, logs: list[OpenLog], position: FilePosition, *, held: bool) -> bool:
        """Rotated files that hold what was not read, and cannot be opened; whether there are any."""
        found = False
        for path, error, follower in rest.unreadable:
            loss = gaps.unreadable(position, path, error, found=rest.found, held=held)
            self._lose(loss, follower if follower in logs else None)
            found = found or loss is not None
        return found

    def _unreadable(self, log: OpenLog, error: OSError, is_another: bool) -> None:
        if isinstance(log, CompressedLog):
            self._lose(gaps.damaged(error), self._following())
        elif error.errno == errno.ESTALE:  # a network file system says so of a file that another machine replaced
            self._position = log.position()
            self.close()
        elif is_another or len(self._logs) > 1:
            loss = gaps.given_up(error, log.unread())
            if len(self._logs) > 1 or self._find_next(log):
                self._lose(loss, self._following())
                self._logs.popleft().close()
        else:
            self.problem = explain(self.name, error)
            self.at_end = True

    def _following(self) -> OpenLog | None:
        return self._logs[1] if len(self._logs) > 1 else None

    def _lose(self, loss: Loss | None, before: OpenLog | None) -> None:
        """Something was lost before this file; None: before the one that is not open yet."""
        if loss:
            (before.gaps if before else self._gaps).append(loss)

    def _note(self, text: str) -> None:
        if text != self._last_note:  # what is tried again and again is said once
            self.notes.append(text)
            self._last_note = text
