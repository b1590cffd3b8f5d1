"""Compressed logs as plain bytes: gzip, bzip2, xz and Zstandard, known by how they begin, not by their names.

Enters: pieces of a file or a stream. Leaves: pieces of its plain content. This file must never know of lines or paths.
"""

import re
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Protocol

STEP = 16 * 1024
"""Bytes asked of a decompressor at once: what it had made in the call that meets damage is lost, so it is little."""
_MEMORY_LIMIT = 128 * 1024 * 1024
"""For xz, whose file says how much memory reading it takes; `xz -9` says 65 MiB."""


class DamagedError(Exception):
    """A compressed input that is corrupt or ends too early. Its text continues a sentence about the input."""


class Readable(Protocol):
    """A file or a stream."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


_Maker = tuple[Callable[[], _Decompressor], type[Exception]]
"""What makes a decompressor, and what it raises beside OSError and ValueError. Nearly every log is plain, and does not
wait for these modules to be loaded.
"""


def _gzip() -> _Maker:
    import zlib

    class Decompressor:
        """The decompressor of zlib in the shape of the other three."""

        def __init__(self) -> None:
            self._member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

        @property
        def eof(self) -> bool:
            return self._member.eof

        @property
        def needs_input(self) -> bool:
            return not self._member.unconsumed_tail

        @property
        def unused_data(self) -> bytes:
            return self._member.unused_data

        def decompress(self, data: bytes, max_length: int) -> bytes:
            return self._member.decompress(self._member.unconsumed_tail + data, max_length)

    return Decompressor, zlib.error


def _bzip2() -> _Maker:
    import bz2

    return bz2.BZ2Decompressor, OSError


def _xz() -> _Maker:
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT), lzma.LZMAError


def _zstd() -> _Maker:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor, zstd.ZstdError


_FORMATS: tuple[tuple[str, re.Pattern[bytes], Callable[[], _Maker]], ...] = (
    ("gzip", re.compile(rb"\x1f\x8b"), _gzip),
    ("bzip2", re.compile(rb"BZh[1-9]"), _bzip2),
    ("xz", re.compile(rb"\xfd7zXZ\0"), _xz),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd"), _zstd),
)
LONGEST_MAGIC = 6


def is_compressed(beginning: bytes) -> bool:
    """Whether an input that begins like this is in one of the four formats."""
    return any(magic.match(beginning) for _, magic, _ in _FORMATS)


def plain_pieces(stream: Readable, size: int) -> Iterator[bytes]:
    """The plain content of a stream in pieces of at most about `size` bytes. Raises OSError and DamagedError."""
    # read1 gives what a pipe holds; read would wait until it held as much as was asked for.
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    first = read(STEP)
    while len(first) < LONGEST_MAGIC and (more := read(STEP)):
        first += more
    for name, magic, maker in _FORMATS:
        if magic.match(first):
            return _gathered(_decompressed(chain((first,), iter(lambda: read(STEP), b"")), name, maker), size)
    return chain((first,) if first else (), iter(lambda: read(size), b""))


def _decompressed(pieces: Iterator[bytes], name: str, maker: Callable[[], _Maker]) -> Iterator[bytes]:
    decompressor, damage = maker()
    member = decompressor()
    for piece in chain(pieces, (b"",)):  # the empty one brings out what the decompressor still holds
        data = piece
        while True:
            if member.eof:  # another member may follow, after padding
                data = data.lstrip(b"\0")
                if not data:
                    break
                member = decompressor()
            try:
                plain = member.decompress(data, STEP)
            except (damage, OSError, ValueError) as error:
                raise DamagedError(f"is damaged {name} data ({error})") from error
            if plain:
                yield plain
            data = member.unused_data if member.eof else b""
            if not plain and not member.eof and member.needs_input:
                break
    if not member.eof:
        raise DamagedError(f"is {name} data that ends too early")


def _gathered(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    gathered: list[bytes] = []
    length = 0
    try:
        for piece in pieces:
            gathered.append(piece)
            length += len(piece)
            if length >= size:
                yield b"".join(gathered)
                gathered, length = [], 0
    except DamagedError:
        if gathered:
            yield b"".join(gathered)
        raise
    if gathered:
        yield b"".join(gathered)
