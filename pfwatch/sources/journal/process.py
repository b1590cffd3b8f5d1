"""Reads a finished journal in a process of its own, beside the one that parses.

Enters: the settings. Leaves: the blocks of `read_journal`, in the same order. This file must never know how a journal
is read. Reading a journal takes as long as parsing it: with a second core it costs no time.
"""

import os
import signal
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from pfwatch.position import Block
from pfwatch.sources.errors import SourceError
from pfwatch.sources.journal.finished import read_journal
from pfwatch.sources.settings import SourceSettings

_LENGTH = struct.Struct("<I")


class _Read(msgspec.Struct, tag="block"):
    block: Block


class _Said(msgspec.Struct, tag="said"):
    text: str


class _Failed(msgspec.Struct, tag="failed"):
    path: str
    message: str


class _Done(msgspec.Struct, tag="done"):
    """Without it the process was killed, and what came is not everything."""


def read_journal_beside(
    settings: SourceSettings, say: Callable[[str], None], *, cores: int | None = None
) -> Iterator[Block]:
    """As `read_journal`, which it is where there is one core only; `cores`: None for those this process may use."""
    if (len(os.sched_getaffinity(0)) if cores is None else cores) < 2:
        yield from read_journal(settings, say)
        return
    outlet, inlet = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(outlet)
        _write_all(settings, inlet)
    os.close(inlet)
    try:
        with os.fdopen(outlet, "rb") as stream:
            yield from _received(stream, settings.journal.name, say)
    finally:
        os.kill(child, signal.SIGKILL)  # it has nothing to lose, and may be in the middle of a block
        os.waitpid(child, 0)


def _received(stream: BinaryIO, name: str, say: Callable[[str], None]) -> Iterator[Block]:
    decoder = msgspec.msgpack.Decoder(_Read | _Said | _Failed | _Done)
    while head := stream.read(_LENGTH.size):
        match decoder.decode(stream.read(*_LENGTH.unpack(head))):
            case _Read(block):
                yield block
            case _Said(text):
                say(text)
            case _Failed(path, message):
                raise SourceError(path, message)
            case _:
                return
    raise SourceError(name, "the process that read it ended before the journal did")


def _write_all(settings: SourceSettings, inlet: int) -> None:
    """The child's whole life. It leaves without a word and without what its parent would do at its end."""
    encode = msgspec.msgpack.encode

    def tell(what: _Read | _Said | _Failed | _Done) -> None:
        data = encode(what)
        stream.write(_LENGTH.pack(len(data)) + data)
        stream.flush()

    try:
        with os.fdopen(inlet, "wb") as stream:
            try:
                for block in read_journal(settings, lambda text: tell(_Said(text))):
                    tell(_Read(block))
                tell(_Done())
            except SourceError as error:
                tell(_Failed(error.path, error.message))
    finally:
        os._exit(0)
