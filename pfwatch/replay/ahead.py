"""One large file, read by several processes: the others read stretches ahead of this one, which lets them happen.

Enters: a path and a pipeline. Leaves: what came of each stretch, in their order: the same as if one process had read
it. Only `replay` imports this; it must never know what a line says.

The others are forked, read the file themselves and send back what a stretch brings about, a tenth of its size. Where
they are behind, this process reads a stretch itself.
"""

import contextlib
import fcntl
import os
import select
import signal
import struct
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, TypeVar

import msgspec

from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.stretch import Counts, Stretch, StretchReader
from pfwatch.pipeline import Outcome, Pipeline, Settings
from pfwatch.sources.errors import SourceError
from pfwatch.sources.ranges import Range, RangedFile, is_large_plain_file
from pfwatch.sources.settings import SourceSettings

LEAST = 4 << 20
"""Bytes of a file for which another process is worth its start."""
STRETCH = 512 << 10
"""Bytes of a stretch, so that what several bring about finds room in a pipe."""
_MOST_OTHERS = 3
"""This process has nearly half of the work, however many help."""
_AHEAD = 4
"""Stretches that a process is told of before it has read the first of them."""
_PIPE = 1 << 20
"""Bytes that a pipe is to hold: what everybody may ask for."""
_ORDER = struct.Struct("<QQ")
_LENGTH = struct.Struct("<I")
_COUNT = Range(0, 0)
"""Asks for the counts."""


class _Came(msgspec.Struct, tag="came"):
    stretch: Stretch
    size: int


class _Counted(msgspec.Struct, tag="counted"):
    every: list[Counts]


class _Failed(msgspec.Struct, tag="failed"):
    path: str
    message: str


_Answer = _Came | _Counted | _Failed
A = TypeVar("A", _Came, _Counted)


def is_worth_it(path: str) -> bool:
    """Whether a file is read sooner by several processes, as far as there are cores for them."""
    return BUILT and _cores() > 1 and is_large_plain_file(path, LEAST)


def read_ahead(
    path: str, pipeline: Pipeline, settings: Settings, source: SourceSettings
) -> Iterator[tuple[Outcome, int]]:
    """What came of each stretch of a file, and its bytes. Raises SourceError."""
    with contextlib.ExitStack() as open_ones:
        file = open_ones.enter_context(contextlib.closing(RangedFile(path, source)))
        others: list[_Other] = []
        again = StretchReader(settings.zone, settings.year, dovecot=settings.dovecot)
        with contextlib.suppress(OSError):  # so many processes are not allowed: it takes longer
            for _ in range(min(_cores() - 1, _MOST_OTHERS)):
                reader = StretchReader(settings.zone, settings.year, dovecot=settings.dovecot)
                others.append(open_ones.enter_context(contextlib.closing(_Other(file, reader))))
        end = 0
        for part, other in _shared_out(file.ranges(STRETCH), others):
            end = part.end
            came = other.answer(_Came) if other else None
            if came and pipeline.has_room(came.stretch):
                yield pipeline.follow(came.stretch, path, file.reference), came.size
                continue
            lines = file.read(part)
            if came:  # count as the other process has counted them
                again.read(lines, file.reference)
            yield pipeline.feed(lines, path, file.reference), len(lines)
        for other in others:
            other.order(_COUNT)
        counts = [one for other in others for one in other.answer(_Counted).every]
        pipeline.add(path, counts, but=again.counts())
        for block in file.rest(end):
            yield pipeline.feed(block.data, path, block.reference), len(block.data)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _shared_out(ranges: Iterator[Range], others: "list[_Other]") -> "Iterator[tuple[Range, _Other | None]]":
    """Every range in its turn and who reads it, None: this process. The others were told of theirs before."""
    coming: deque[tuple[Range, _Other | None]] = deque()
    coming.extend((part, None) for part in islice(ranges, 1))  # the others begin meanwhile
    while True:
        for other in sorted(others, key=lambda one: one.told):
            for part in islice(ranges, _AHEAD - other.told):
                other.order(part)
                coming.append((part, other))
        if not others:
            coming.extend((part, None) for part in islice(ranges, 1))
        if not coming:
            return
        part, who = coming.popleft()
        if who is not None and not who.has_answered():  # they are behind
            coming.extend((own, None) for own in islice(ranges, 1))
        yield part, who


class _Other:
    """Another process, which reads the ranges that it is told of."""

    def __init__(self, file: RangedFile, reader: StretchReader) -> None:
        self._name = file.name
        self.told = 0
        """Ranges that it was told of and has not answered."""
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        with contextlib.suppress(OSError):  # it waits more often then
            fcntl.fcntl(answers, fcntl.F_SETPIPE_SZ, _PIPE)
        try:
            self._child = os.fork()
        except OSError:
            for end in (orders, self._orders, self._answers, answers):
                os.close(end)
            raise
        if self._child == 0:
            os.close(self._orders)
            os.close(self._answers)
            _work(file, reader, orders, answers)
        os.close(orders)
        os.close(answers)
        self._stream: BinaryIO = os.fdopen(self._answers, "rb")
        self._decode = msgspec.msgpack.Decoder(_Answer).decode

    def order(self, part: Range) -> None:
        """Let it read a range, or give its counts."""
        self.told += 1
        with contextlib.suppress(BrokenPipeError):  # whoever waits for its answer says so
            os.write(self._orders, _ORDER.pack(*part))

    def has_answered(self) -> bool:
        """Whether there is something of an answer."""
        return bool(select.select([self._stream], [], [], 0)[0])

    def answer(self, kind: type[A]) -> A:
        """The next answer. Raises SourceError."""
        self.told -= 1
        head = self._stream.read(_LENGTH.size)
        data = self._stream.read(*_LENGTH.unpack(head)) if len(head) == _LENGTH.size else b""
        if len(head) < _LENGTH.size or len(data) < _LENGTH.unpack(head)[0]:
            raise SourceError(self._name, "a process that read it was killed; everything up to there was read")
        answer = self._decode(data)
        if isinstance(answer, _Failed):
            raise SourceError(answer.path, answer.message)
        if not isinstance(answer, kind):
            raise TypeError(f"{answer!r} is no {kind.__name__}")
        return answer

    def close(self) -> None:
        """End it: it has nothing to lose."""
        os.close(self._orders)
        self._stream.close()
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)


def _work(file: RangedFile, reader: StretchReader, orders: int, answers: int) -> None:
    """The other process's whole life. It leaves without a word and without what its parent would do at its end."""
    encode = msgspec.msgpack.encode

    def tell(answer: _Answer) -> None:
        data = encode(answer)
        stream.write(_LENGTH.pack(len(data)) + data)
        stream.flush()

    try:
        with os.fdopen(orders, "rb") as told, os.fdopen(answers, "wb") as stream:
            try:
                while order := told.read(_ORDER.size):
                    part = Range(*_ORDER.unpack(order))
                    if part == _COUNT:
                        tell(_Counted(reader.counts()))
                        continue
                    lines = file.read(part)
                    tell(_Came(reader.read(lines, file.reference), len(lines)))
            except SourceError as error:
                tell(_Failed(error.path, error.message))
    finally:
        os._exit(0)
