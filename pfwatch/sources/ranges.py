"""A finished file in ranges of whole lines, which can be read in any order and by several processes.

Enters: a path. Leaves: ranges, and their lines, the same that `archive` reads. This file must never know who reads.
"""

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from pfwatch.position import Block
from pfwatch.sources.archive import open_log, rest_of
from pfwatch.sources.compression import LONGEST_MAGIC, is_compressed
from pfwatch.sources.errors import SourceError, explain
from pfwatch.sources.lines import LineCutter
from pfwatch.sources.settings import SourceSettings

_LOOK = 4096
"""Bytes in which the end of a line is looked for; nearly every one is shorter."""
_LONGEST_LOOK = 1 << 20
"""Bytes behind which no end of a line is looked for any more: the rest of the file is one range then."""


class Range(NamedTuple):
    """Bytes of a file, from the beginning of a line to that of another."""

    begin: int
    end: int


class RangedFile:
    """A plain file, open. Raises SourceError."""

    def __init__(self, path: str, settings: SourceSettings) -> None:
        self.name = path
        self._settings = settings
        self._file = open_log(path)
        status = os.fstat(self._file.fileno())
        self.size = status.st_size
        self.reference = status.st_mtime
        """The newest moment that a record can have, seconds since the epoch."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def ranges(self, size: int) -> Iterator[Range]:
        """The file in ranges of so many bytes, or of a line more; behind the last one `rest` goes on."""
        begin = 0
        while begin + size < self.size:
            end = self._line_end(begin + size)
            if end is None:
                return
            yield Range(begin, end)
            begin = end

    def read(self, part: Range) -> bytes:
        """The lines of a range; fewer where the file was cut off meanwhile."""
        try:
            pieces, at = [], part.begin
            while at < part.end and (piece := os.pread(self._file.fileno(), part.end - at, at)):
                pieces.append(piece)
                at += len(piece)
        except OSError as error:
            raise SourceError(self.name, f"{explain(self.name, error)}; everything up to there was read") from error
        return LineCutter(self._settings.max_line).feed(b"".join(pieces))

    def rest(self, begin: int) -> Iterator[Block]:
        """What stands behind the last range, the last block `caught_up`."""
        self._file.seek(begin)
        return rest_of(self.name, self._file, self.reference, self._settings)

    def _line_end(self, at: int) -> int | None:
        """The end of the line that the byte before this place is in, with its line feed."""
        look = _LOOK
        while look <= _LONGEST_LOOK:
            try:
                found = os.pread(self._file.fileno(), look, at - 1).find(b"\n")
            except OSError:  # whoever reads there says it
                return None
            if found >= 0:
                return at + found
            look *= 16
        return None


def is_large_plain_file(path: str, least: int) -> bool:
    """Whether it is an uncompressed file with so many bytes at least."""
    try:
        status = os.stat(path)  # noqa: PTH116 - the path stays as it was given
        if not stat.S_ISREG(status.st_mode) or status.st_size < least:
            return False
        with open_log(path) as file:
            return not is_compressed(file.read(LONGEST_MAGIC))
    except (SourceError, OSError, ValueError):
        return False
