"""Reads in a process of its own, beside the one that parses.

Enters: whatever makes blocks. Leaves: the same blocks, in the same order; and how any such process lives
(`live_apart`). This file must never know where blocks come from.

Reading a journal, or decompressing a log, takes as long as parsing it: with a second core it costs no time.
"""

import os
import signal
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NoReturn

import msgspec

from pfwatch.position import Block
from pfwatch.sources.errors import SourceError

LENGTH = struct.Struct("<I")
"""Of what a process tells."""


class _Read(msgspec.Struct, tag="block"):
    block: Block


class _Said(msgspec.Struct, tag="said"):
    text: str


class Failed(msgspec.Struct, tag="failed"):
    """Reading failed there."""

    path: str
    message: str


class _Done(msgspec.Struct, tag="done"):
    """Without it the process was killed, and what came is not everything."""


Say = Callable[[str], None]
Tell = Callable[[msgspec.Struct], None]


def read_beside(
    read: Callable[[Say], Iterator[Block]], name: str, say: Say, *, cores: int | None = None
) -> Iterator[Block]:
    """The blocks that `read` gives, in this process where there is one core only; `cores`: None for those that it may
    use. `say` hears what `read` says. Raises SourceError; `name` is the source's, should the other process be killed.
    """
    if (len(os.sched_getaffinity(0)) if cores is None else cores) < 2:
        yield from read(say)
        return
    outlet, inlet = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(outlet)
        _write_all(read, inlet)
    os.close(inlet)
    try:
        with os.fdopen(outlet, "rb") as stream:
            yield from _received(stream, name, say)
    finally:
        os.kill(child, signal.SIGKILL)  # it has nothing to lose, and may be in the middle of a block
        os.waitpid(child, 0)


def _received(stream: BinaryIO, name: str, say: Say) -> Iterator[Block]:
    decoder = msgspec.msgpack.Decoder(_Read | _Said | Failed | _Done)
    while head := stream.read(LENGTH.size):
        match decoder.decode(stream.read(*LENGTH.unpack(head))):
            case _Read(block):
                yield block
            case _Said(text):
                say(text)
            case Failed(path, message):
                raise SourceError(path, message)
            case _:
                return
    raise SourceError(name, "the process that read it was killed; everything up to there was read")


def _write_all(read: Callable[[Say], Iterator[Block]], inlet: int) -> NoReturn:
    def work(tell: Tell) -> None:
        for block in read(lambda text: tell(_Said(text))):
            tell(_Read(block))
        tell(_Done())

    live_apart(work, inlet)


def live_apart(work: Callable[[Tell], None], inlet: int) -> NoReturn:
    """The whole life of a forked process. What it tells goes into a pipe, each behind its length; a SourceError as
    `Failed`. It leaves without a word and without what its parent would do at its end.
    """

    def tell(what: msgspec.Struct) -> None:
        data = msgspec.msgpack.encode(what)
        stream.write(LENGTH.pack(len(data)) + data)
        stream.flush()

    try:
        with os.fdopen(inlet, "wb") as stream:
            try:
                work(tell)
            except SourceError as error:
                tell(Failed(error.path, error.message))
    finally:
        os._exit(0)
