"""One task for each source, as sources come and go.

Enters: the sources that are there, and how one is read. Leaves: running tasks. This file must never know what is read.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from pfwatch.sources.source import Source


class Readers:
    """Belongs to one event loop."""

    def __init__(self, read: Callable[[Source], Coroutine[Any, Any, None]]) -> None:
        """`read` reads one source for ever."""
        self._read = read
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def match(self, sources: Iterable[Source]) -> None:
        """Read these: begin with those that are new, end those that are not among them."""
        there = {source.name: source for source in sources}
        for name in self._running.keys() - there.keys():
            task = self._running.pop(name)
            self._ending.add(task)
            task.cancel()
        for name in there.keys() - self._running.keys():
            task = self._running[name] = asyncio.create_task(self._read(there[name]), name=name)
            task.add_done_callback(self._done)

    def tasks(self) -> list[asyncio.Task[None]]:
        """All that run."""
        return [*self._running.values(), *self._ending]

    async def failure(self) -> None:
        """Wait for ever; raise what ended a source that was not ended by `match`."""
        await self._failed

    def _done(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not self._failed.done():
            self._failed.set_exception(error)
