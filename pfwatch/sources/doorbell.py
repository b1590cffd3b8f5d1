"""Wakes a waiting reader when files in a directory come, go or get another name.

Enters: a directory. Leaves: an early end of `wait`. It is a hint only: a symbolic link's target, a network file system
or a full queue of the kernel ring nothing, so whoever waits looks for himself. This file must never know what changed.
"""

import asyncio
from types import TracebackType
from typing import Self

from watchdog.events import FileCreatedEvent, FileDeletedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver


class Doorbell(FileSystemEventHandler):
    """A context manager. Where the kernel refuses to watch, `problem` says so and `wait` waits its full time."""

    def __init__(self, directory: str) -> None:
        self.problem: str | None = None
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._observer: BaseObserver | None = None

    def __enter__(self) -> Self:
        # Without writes: an event for each of them would cost fifty times what looking four times a second costs.
        events: list[type[FileSystemEvent]] = [FileMovedEvent, FileCreatedEvent, FileDeletedEvent]
        try:
            self._observer = Observer()
            self._observer.schedule(self, self._directory, event_filter=events)
            self._observer.start()
        except OSError as error:
            self.problem = f"no notice of rotations in {self._directory} ({error.strerror}); looking regularly instead"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._observer and self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - whatever it was, somebody has to look
        """Called in the observer's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> None:
        """Return after this time, or as soon as something happened since the last call."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()
