"""Waits until a journal is written to.

Enters: an open reader. Leaves: the moment to pull from it again. Only the source that follows a journal imports this;
who reads a finished one needs no event loop.
"""

import asyncio
import contextlib

from pfwatch.sources.journal.reader import JournalReader


class Waiting:
    """Hears what a reader's descriptor says, from the first `wait` until the reader lets go of it."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._rung = asyncio.Event()
        self._heard: tuple[asyncio.AbstractEventLoop, int] | None = None
        reader.leave = self._leave

    async def wait(self, seconds: float) -> None:
        """Until something was written, or for so long."""
        descriptor = self._reader.fileno()
        if self._heard is None and descriptor is not None:
            self._heard = asyncio.get_running_loop(), descriptor
            self._heard[0].add_reader(descriptor, self._hear)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        if not self._rung.is_set():
            self._reader.waited_in_vain()
        self._rung.clear()

    def _hear(self) -> None:
        if self._reader.hear():
            self._rung.set()

    def _leave(self) -> None:
        if self._heard is not None and not self._heard[0].is_closed():
            self._heard[0].remove_reader(self._heard[1])
        self._heard = None
