"""One large file, read by several processes: the others read stretches ahead of this one, which lets them happen.

Enters: a path and a pipeline. Leaves: what came of each stretch, in their order: the same as if one process had read
it. Only `replay` imports this; it must never know what a line says.

The others are forked, read the file themselves and send back what a stretch brings about, a tenth of its size. All take
their stretches from one queue. Where this process would have to wait it takes one, too, and reads it in its turn.
"""

import contextlib
import fcntl
import os
import select
import signal
import struct
from collections.abc import Iterator, Sequence
from io import FileIO
from itertools import islice
from typing import NoReturn

import msgspec

from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.stretch import Counts, Stretch, StretchReader
from pfwatch.pipeline import Outcome, Pipeline, Settings
from pfwatch.sources.beside import LENGTH, Failed, Tell, live_apart
from pfwatch.sources.errors import SourceError
from pfwatch.sources.ranges import Range, RangedFile, is_large_plain_file
from pfwatch.sources.settings import SourceSettings

LEAST = 4 << 20
"""Bytes of a file for which another process, and tables of its own, are worth their start."""
STRETCH = 512 << 10
"""Bytes of a stretch, so that what several bring about finds room in a pipe."""
_MOST_OTHERS = 3
"""This process has nearly half of the work, however many help."""
_PIPE = 1 << 20
"""Bytes that a pipe is to hold: what everybody may ask for. So far may each of the others be ahead."""
_TASK = struct.Struct("<QII")
"""In the queue: where a range begins, its bytes, and its number. The size divides that of a page, so that none is ever
cut in two.
"""


class _Came(msgspec.Struct, tag="came"):
    number: int
    stretch: Stretch
    size: int


class _Counted(msgspec.Struct, tag="counted"):
    every: list[Counts]


_Answer = _Came | _Counted | Failed


def is_worth_it(path: str) -> bool:
    """Whether a file is read sooner in stretches: also by one process, to which most connections are nothing then."""
    return BUILT and is_large_plain_file(path, LEAST)


def read_ahead(
    path: str, pipeline: Pipeline, settings: Settings, source: SourceSettings
) -> Iterator[tuple[Outcome, int]]:
    """What came of each stretch of a file, and its bytes. Raises SourceError."""

    def reader() -> StretchReader:
        return StretchReader(settings.zone, settings.year, dovecot=settings.dovecot)

    with contextlib.ExitStack() as open_ones:
        file = open_ones.enter_context(contextlib.closing(RangedFile(path, source)))
        queue = open_ones.enter_context(contextlib.closing(_Queue(file.ranges(STRETCH))))
        queue.take()  # this process begins while the others start
        others: list[_Other] = []
        with contextlib.suppress(OSError):  # so many processes are not allowed: it takes longer
            for _ in range(min(_cores() - 1, _MOST_OTHERS)):
                other = open_ones.enter_context(contextlib.closing(_Other(file, queue, reader())))
                others.append(other)
        own, again, end = reader(), reader(), 0
        answers = _Answers(path, others, queue)
        for number, part in queue.all():
            end = part.end
            came = answers.wait_for(number)
            lines = b"" if came else file.read(part)
            stretch = came.stretch if came else own.read(lines, file.reference)
            size = came.size if came else len(lines)
            if pipeline.has_room(stretch):
                yield pipeline.follow(stretch, path, file.reference), size
            else:  # read in order, and not counted twice
                lines = lines or file.read(part)
                again.read(lines, file.reference)
                yield pipeline.feed(lines, path, file.reference), size
        pipeline.add(path, [*own.counts(), *answers.counts()], but=again.counts())
        for block in file.rest(end):
            yield pipeline.feed(block.data, path, block.reference), len(block.data)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


class _Queue:
    """Ranges that nobody has taken yet, for whoever is free. No process has to be woken for each."""

    def __init__(self, ranges: Iterator[Range]) -> None:
        self._ranges = ranges
        self._parts: list[Range] = []
        """Every range that was put in."""
        self.mine: set[int] = set()
        """The numbers of those that this process has taken."""
        outlet, inlet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._outlet, self._inlet = FileIO(outlet), FileIO(inlet, "w")
        self._unsent = b""
        self._fill()

    def all(self) -> Iterator[tuple[int, Range]]:
        """Every range with its number."""
        number = 0
        while number < len(self._parts):
            yield number, self._parts[number]
            number += 1
            self._fill()

    def take(self) -> bool:
        """Take the next range for this process, if there is one."""
        task = self._outlet.read(_TASK.size)
        if task:
            self.mine.add(_TASK.unpack(task)[2])
        return bool(task)

    def wait_for(self) -> tuple[Range, int] | None:
        """In another process: the next range and its number, as soon as there is one; None at the end."""
        while (task := self._outlet.read(_TASK.size)) is None:  # somebody else was sooner
            select.select([self._outlet], [], [])
        if not task:
            return None
        begin, size, number = _TASK.unpack(task)
        return Range(begin, begin + size), number

    def close(self) -> None:
        """Close it in this process."""
        self._inlet.close()
        self._outlet.close()

    def close_inlet(self) -> None:
        """In another process: or it would never see that the queue has an end."""
        self._inlet.close()

    def _fill(self) -> None:
        """Put in as many as there is room for; behind the last one comes the end."""
        while not self._inlet.closed:
            if not self._unsent:
                parts = list(islice(self._ranges, 256))
                if not parts:
                    self._inlet.close()
                    return
                first = len(self._parts)
                self._parts += parts
                self._unsent = b"".join(
                    _TASK.pack(part.begin, part.end - part.begin, first + number) for number, part in enumerate(parts)
                )
            written = self._inlet.write(self._unsent)
            if written is None:
                return
            self._unsent = self._unsent[written:]


class _Answers:
    """What the others have read, by number."""

    def __init__(self, name: str, others: "Sequence[_Other]", queue: _Queue) -> None:
        self._name, self._queue = name, queue
        self._streams = [other.stream for other in others]
        self._decode = msgspec.msgpack.Decoder(_Answer).decode
        self._came: dict[int, _Came] = {}
        self._counts: list[Counts] = []

    def wait_for(self, number: int) -> _Came | None:
        """What came of the range with this number; None where this process has taken it. Raises SourceError."""
        may_take = True
        while number not in self._came:
            if number in self._queue.mine:
                return None
            ready = select.select(self._streams, [], [], 0)[0]
            if not ready and may_take:  # they are behind
                may_take = self._queue.take() and not self._streams
                continue
            for stream in ready or select.select(self._streams, [], [])[0]:
                self._read(stream)
        return self._came.pop(number)

    def counts(self) -> list[Counts]:
        """What all of them have counted, behind the last range. Raises SourceError."""
        while self._streams:
            for stream in select.select(self._streams, [], [])[0]:
                self._read(stream)
        return self._counts

    def _read(self, stream: FileIO) -> None:
        (size,) = LENGTH.unpack(self._exactly(stream, LENGTH.size))
        match self._decode(self._exactly(stream, size)):
            case _Came() as came:
                self._came[came.number] = came
            case _Counted(every):
                self._counts += every
                self._streams.remove(stream)
            case Failed(path, message):
                raise SourceError(path, message)

    def _exactly(self, stream: FileIO, size: int) -> bytes:
        pieces = []
        while size:
            piece = stream.read(size)
            if not piece:
                raise SourceError(self._name, "a process that read it was killed; everything up to there was read")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


class _Other:
    """Another process, which reads ranges from the queue until it is at its end."""

    def __init__(self, file: RangedFile, queue: _Queue, reader: StretchReader) -> None:
        outlet, inlet = os.pipe()
        with contextlib.suppress(OSError):  # it waits more often then
            fcntl.fcntl(inlet, fcntl.F_SETPIPE_SZ, _PIPE)
        try:
            self._child = os.fork()
        except OSError:
            os.close(outlet)
            os.close(inlet)
            raise
        if self._child == 0:
            os.close(outlet)
            queue.close_inlet()
            _work(file, queue, reader, inlet)
        os.close(inlet)
        self.stream = FileIO(outlet)  # whatever is there is to be seen by `select`

    def close(self) -> None:
        """End it: it has nothing to lose."""
        self.stream.close()
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)


def _work(file: RangedFile, queue: _Queue, reader: StretchReader, inlet: int) -> NoReturn:
    def work(tell: Tell) -> None:
        while task := queue.wait_for():
            part, number = task
            lines = file.read(part)
            tell(_Came(number, reader.read(lines, file.reference), len(lines)))
        tell(_Counted(reader.counts()))

    live_apart(work, inlet)
