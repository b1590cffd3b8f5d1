"""One log file, held open and read line by line from a given place: plain, or compressed after its rotation.

Enters: a path and an offset. Leaves: whole lines and the position behind them. This file must never know of other
files, of what becomes of the name, or of waiting.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

import msgspec

from pfwatch.loss import Loss
from pfwatch.position import FilePosition
from pfwatch.sources.compression import DamagedError, is_compressed, plain_pieces
from pfwatch.sources.identity import FINGERPRINT_BYTES, begins_with, fingerprint_of, length_of
from pfwatch.sources.lines import LineCutter
from pfwatch.sources.settings import SourceSettings


class ReplacedError(Exception):
    """The file was truncated or written anew: what is in it now is not what was being read."""


class OpenLog:
    """A plain log. It knows itself by how it begins, so it notices when other content took its place."""

    def __init__(self, name: str, file: BinaryIO, settings: SourceSettings) -> None:
        status = os.fstat(file.fileno())
        self.name = name
        """The path that is followed, which need not be this file's name any more."""
        self.device, self.inode = status.st_dev, status.st_ino
        self.seen, self.modified = status.st_size, status.st_mtime
        """Size and time of the last write at the last look at which its content was still this."""
        self.at_end = False
        """The last `read` reached the end of the file."""
        self.gaps: list[Loss] = []
        """What was lost before this file; told with its first lines, so that the position is behind it then."""
        self._file = file
        self._settings = settings
        self._start = 0
        self._cutter = LineCutter(settings.max_line)
        self._head = self._read_head()
        self.go_to(0)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def is_file_of(self, position: FilePosition) -> bool:
        """Whether this is the very file of the position, which has only grown since."""
        return (self.device, self.inode) == (position.device, position.inode) and self.holds(position)

    def holds(self, position: FilePosition) -> bool:
        """Whether this has the content in which the position is: the file itself, a copy, a compressed one."""
        if length_of(position.fingerprint) == 0:  # any file begins like an empty one
            return (self.device, self.inode) == (position.device, position.inode)
        return begins_with(self._head, position.fingerprint)

    def go_to(self, offset: int) -> None:
        """Read from here on; must be the beginning of a line. Beyond the end is the end: a copy may be shorter."""
        self._begin_at(min(offset, self.size()))

    def _begin_at(self, offset: int) -> None:
        self._start = offset
        self._cutter = LineCutter(self._settings.max_line)

    def read(self) -> bytes:
        """At most one piece more, as whole lines; empty when none is whole. Raises OSError and ReplacedError."""
        data = os.pread(self._file.fileno(), self._settings.block_size, self._read_so_far())
        self._check(len(data))
        return self._cutter.feed(data)

    def finish(self) -> bytes:
        """The half line at the end, once nobody will complete it."""
        return self._cutter.finish()

    def position(self) -> FilePosition:
        """Behind the last whole line."""
        offset = self._start + self._cutter.consumed
        head = fingerprint_of(self._head)
        return FilePosition(self.name, self.device, self.inode, head, offset, self.seen, self.modified)

    def unread(self) -> int | None:
        """Bytes that are in it and not read; None where they cannot be counted."""
        return max(self.size() - self._start - self._cutter.consumed, 0)

    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._file.fileno()).st_size

    def has_a_name(self) -> bool:
        """Whether it still is in some directory, not deleted or overwritten by another file."""
        return os.fstat(self._file.fileno()).st_nlink > 0

    def duplicate(self) -> BinaryIO:
        """The same file for somebody else to read and close."""
        return os.fdopen(os.dup(self._file.fileno()), "rb")

    def _read_head(self) -> bytes:
        return os.pread(self._file.fileno(), FINGERPRINT_BYTES, 0)

    def _read_so_far(self) -> int:
        return self._start + self._cutter.consumed + self._cutter.pending

    def _check(self, new: int) -> None:
        # After reading, not before: a file that still is what it was had not been replaced when it was read, either.
        head, status, end = self._read_head(), os.fstat(self._file.fileno()), self._read_so_far() + new
        if status.st_size < end or not head.startswith(self._head):
            raise ReplacedError
        self._head, self.seen, self.modified = head, status.st_size, status.st_mtime
        self.at_end = status.st_size == end


class CompressedLog(OpenLog):
    """A rotated log in compressed form. Offset and fingerprint are of its plain content."""

    def go_to(self, offset: int) -> None:
        """Read from here on: everything before it is decompressed and dropped on the way."""
        self._begin_at(offset)
        self._file.seek(0)
        self._pieces = plain_pieces(self._file, self._settings.block_size)
        self._skip = offset

    def read(self) -> bytes:
        """As for a plain log. Raises OSError once where the data is damaged; the next read is at the end."""
        piece = self._next_piece()
        self.at_end = not piece
        skipped = min(self._skip, len(piece))
        self._skip -= skipped
        return self._cutter.feed(piece[skipped:])

    def position(self) -> FilePosition:
        """Behind the last whole line. The size is of the compressed file, which says nothing about the plain one."""
        return msgspec.structs.replace(super().position(), size=0)

    def unread(self) -> int | None:
        """Not to be known without decompressing."""
        return None

    def _next_piece(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except DamagedError as error:
            # The half line before the damage is no line; the next read finds the end.
            self._begin_at(self._start + self._cutter.consumed)
            raise OSError(errno.EBADMSG, f"it {error}") from error

    def _read_head(self) -> bytes:
        self._pieces = plain_pieces(self._file, FINGERPRINT_BYTES)
        return self._next_piece()[:FINGERPRINT_BYTES]


def open_log(name: str, path: Path, settings: SourceSettings) -> OpenLog:
    """Open a file that belongs to the log `name`, at its beginning. Raises OSError."""
    # O_NONBLOCK: a named pipe in the place of a log would otherwise keep everything waiting for its writer.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    try:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "it is not a regular file")
        kind = CompressedLog if is_compressed(os.pread(file.fileno(), FINGERPRINT_BYTES, 0)) else OpenLog
        return kind(name, file, settings)
    except BaseException:
        file.close()
        raise
