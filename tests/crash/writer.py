"""A log as a syslog daemon and logrotate make it: it grows by pieces of any size and is rotated in every usual way.

Enters: a finished text of whole lines, and how far to write it. Leaves: a growing log with its rotated files beside it.
This file must never know pfwatch. What was written and what is in the files is the same to the byte: a rotation that
cuts something off (copytruncate) happens while nothing is written.
"""

import asyncio
import bz2
import gzip
import lzma
import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO, Literal

Names = Literal["counted", "dated"]
Way = Literal["create", "late", "copytruncate"]
WAYS: tuple[Way, ...] = ("create", "late", "copytruncate")
"""logrotate's `create`; the same where the syslog daemon writes a while longer to the old file; `copytruncate`."""
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, 1), ".bz2": bz2.compress, ".xz": lambda data: lzma.compress(data, preset=0),
}  # fmt: skip
LARGEST_PIECE = 64 * 1024


class Writer:
    """Writes `text` to `log` up to `allowed` bytes, and rotates at the given places, which are ends of lines."""

    def __init__(self, log: Path, text: bytes, rotations: list[int], dice: random.Random, pause: float) -> None:
        self.log = log
        self.allowed = 0
        self.written = 0
        self.ways: Counter[str] = Counter()
        self.names: Names = "counted"
        self._text = text
        self._rotations = sorted(rotations, reverse=True)
        self._dice = dice
        self._pause = pause
        self._file: BinaryIO = log.open("ab", buffering=0)
        self._rotated: list[Path] = []
        """The newest first."""
        self._day = date(2026, 1, 1)
        self._ways: list[Way] = []

    @property
    def done(self) -> bool:
        return self.written == len(self._text) and not self._rotations

    @property
    def due(self) -> bool:
        """A rotation is to come before the next byte."""
        return bool(self._rotations) and self._rotations[-1] <= self.written

    async def work(self) -> None:
        """Until everything is written."""
        while not self.done:
            if self.due:
                await self._rotate(self._next_way())
                self._rotations.pop()
            elif self.written < self.allowed:
                self._write(self._dice.randint(1, LARGEST_PIECE))
            await asyncio.sleep(self._dice.random() * self._pause)

    def allow(self, size: int) -> None:
        """Write up to here, and on to the end of that line."""
        self.allowed = self._text.find(b"\n", min(size, len(self._text)) - 1) + 1

    async def until_written(self) -> None:
        """Until all that is allowed is written, and rotated where that is due."""
        while self.written < self.allowed or self.due:  # noqa: ASYNC110 - it takes milliseconds
            await asyncio.sleep(0.001)

    def close(self) -> None:
        self._file.close()

    def _write(self, size: int) -> None:
        """A piece that ends anywhere, even within a line, but not behind the next place of rotation."""
        end = min(self.written + size, self.allowed, *self._rotations[-1:])
        self._file.write(self._text[self.written : end])
        self.written = end

    def _next_way(self) -> Way:
        """In any order, but each once before one comes again: few rotations, too, meet every way."""
        if not self._ways:
            self._ways = self._dice.sample(WAYS, len(WAYS))
        return self._ways.pop()

    async def _rotate(self, way: Way) -> None:
        self.ways[f"{self.names} {way}"] += 1
        name = self._next_name()
        if way == "copytruncate":
            name.write_bytes(self.log.read_bytes())
            await asyncio.sleep(self._dice.random() * self._pause)  # a reader may meet both
            os.truncate(self.log, 0)
        else:
            self.log.rename(name)
            await asyncio.sleep(self._dice.random() * self._pause)
            if way == "late":
                self._write_line_ends(self._dice.randint(1, LARGEST_PIECE))
            self._file.close()
            self._file = self.log.open("ab", buffering=0)
        await self._compress_older()

    def _next_name(self) -> Path:
        """Where the log goes; with numbers every older file moves on, as logrotate does it."""
        if self.names == "dated":
            self._day += timedelta(days=1)
            self._rotated.insert(0, self.log.with_name(f"{self.log.name}-{self._day:%Y%m%d}"))
            return self._rotated[0]
        for index in range(len(self._rotated) - 1, -1, -1):
            old = self._rotated[index]
            compression = old.suffix if old.suffix in COMPRESSORS else ""
            self._rotated[index] = old.rename(self.log.with_name(f"{self.log.name}.{index + 2}{compression}"))
        self._rotated.insert(0, self.log.with_name(f"{self.log.name}.1"))
        return self._rotated[0]

    def _write_line_ends(self, size: int) -> None:
        """What still goes to the renamed file; a syslog daemon changes files between two lines."""
        limit = min([len(self._text), *self._rotations[-2:-1]])
        end = self._text.rfind(b"\n", self.written, min(self.written + size, limit)) + 1
        if end > self.written:
            self._file.write(self._text[self.written : end])
            self.written = end

    async def _compress_older(self) -> None:
        """delaycompress: everything but the newest, the plain file goes once the compressed one is whole."""
        for index, plain in enumerate(self._rotated[1:], 1):
            if plain.suffix in COMPRESSORS:
                continue
            suffix, compress = self._dice.choice(list(COMPRESSORS.items()))
            packed = plain.with_name(plain.name + suffix)
            await asyncio.to_thread(lambda: packed.write_bytes(compress(plain.read_bytes())))  # noqa: B023 - awaited
            plain.unlink()
            self._rotated[index] = packed

    def begin_dated_names(self) -> None:
        """From now on `-YYYYMMDD`; only when everything before was read, as nobody changes this in the middle."""
        self.names = "dated"
        self._rotated = []
