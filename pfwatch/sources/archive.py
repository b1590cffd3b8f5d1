"""Finished logs: files, compressed or not, and standard input.

Enters: a path or a stream. Leaves: blocks without positions, for a finished log is read from its beginning each time.
This file must never know of logs that still grow.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pfwatch.position import Block
from pfwatch.sources.compression import LONGEST_MAGIC, DamagedError, Readable, is_compressed, plain_pieces
from pfwatch.sources.errors import SourceError, explain
from pfwatch.sources.lines import LineCutter
from pfwatch.sources.settings import SourceSettings

_LOOK = 2048
"""Bytes in which a line ends: Postfix writes no more."""
_READ_TO_THERE = "; everything up to there was read"


def read_file(
    path: str | os.PathLike[str], settings: SourceSettings, now: Callable[[], float] = time.time
) -> Iterator[Block]:
    """The blocks of a finished file, the last one `caught_up`; none for an empty file. `position` is None.

    A device or a named pipe is read to its end like a file. Raises SourceError: before the first block when the file
    cannot be opened, after all that could be read when it is damaged.
    """
    name = os.fspath(path)
    with open_log(name) as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            yield from rest_of(name, _ByLines(file), status.st_mtime, settings)
        else:
            yield from rest_of(name, file, now(), settings)


class _ByLines:
    """A file in pieces that end where a line does, wherever one ends in their last bytes: nothing is to be cut off and
    copied.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._number, self._place = file, file.fileno(), 0

    def read(self, size: int, /) -> bytes:
        """The next piece, of at most so many bytes; none at the end."""
        before = max(size - _LOOK, 0)
        try:
            end = os.pread(self._number, size - before, self._place + before).rfind(b"\n") + 1
        except OSError:
            end = 0  # what stands before the damage is read all the same
        piece = self._file.read(before + end if end else size)
        self._place += len(piece)
        return piece


def rest_of(name: str, file: Readable, reference: float, settings: SourceSettings) -> Iterator[Block]:
    """The blocks of a finished file from where it is read on."""
    held: bytes | None = None  # until it is known whether it is the last one
    try:
        for lines in _whole_lines(name, file, settings):
            if held is not None:
                yield Block(name, held, reference, None)
            held = lines
    except SourceError:
        if held is not None:
            yield Block(name, held, reference, None)
        raise
    if held is not None:
        yield Block(name, held, reference, None, caught_up=True)


def is_compressed_file(path: str | os.PathLike[str]) -> bool:
    """Whether it takes work to read a file; a pipe is left as it is, and whoever reads it tells what is wrong."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - the path stays as it was given
            return False
        with open_log(os.fspath(path)) as file:
            return is_compressed(file.read(LONGEST_MAGIC))
    except (SourceError, OSError, ValueError):
        return False


def read_stream(
    stream: BinaryIO, settings: SourceSettings, *, reference: float, name: str = "stdin"
) -> Iterator[Block]:
    """The blocks of a stream, each as soon as it is there; so none of them is known to be the last (`caught_up`)."""
    for lines in _whole_lines(name, stream, settings):
        yield Block(name, lines, reference, None)


def open_log(name: str) -> BinaryIO:
    """A file to read. Raises SourceError."""
    try:
        return open(name, "rb", buffering=0)  # noqa: PTH123 - the path stays as it was given
    except OSError as error:
        raise SourceError(name, explain(name, error)) from error
    except ValueError as error:
        raise SourceError(repr(name), "is no path: it has a NUL character in it") from error


def _whole_lines(name: str, stream: Readable, settings: SourceSettings) -> Iterator[bytes]:
    cutter = LineCutter(settings.max_line)
    try:
        for piece in plain_pieces(stream, settings.block_size):
            if lines := cutter.feed(piece):
                yield lines
    except DamagedError as error:
        # The half line before the damage is no line: half an address is another address.
        raise SourceError(name, f"{error}{_READ_TO_THERE}") from error
    except OSError as error:
        raise SourceError(name, f"{explain(name, error)}{_READ_TO_THERE}") from error
    if lines := cutter.finish():
        yield lines
