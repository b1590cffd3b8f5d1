"""Wakes waiting readers when files in a directory come, go or get another name.

Enters: directories. Leaves: an early end of `wait`. It is a hint only: a symbolic link's target, a network file system
or a full queue of the kernel ring nothing, so whoever waits looks for himself. This file must never know what changed.
"""

import asyncio
from types import TracebackType
from typing import Final, Self

from watchdog.events import FileCreatedEvent, FileDeletedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

MOST_DIRECTORIES: Final = 50
"""Each costs a thread; in more than these rotations are noticed by looking regularly."""
# Without writes: an event for each of them would cost fifty times what looking four times a second costs.
_EVENTS: Final[list[type[FileSystemEvent]]] = [FileMovedEvent, FileCreatedEvent, FileDeletedEvent]


class Doorbells:
    """One watch for each directory, however many logs are in it."""

    def __init__(self) -> None:
        self._observer: BaseObserver | None = None
        self._doors: dict[str, _Door] = {}
        self._refused: set[str] = set()
        """Reasons that were said."""

    def bell(self, directory: str) -> "Bell":
        """A context manager for one who waits for this directory."""
        return Bell(self, directory)

    def hang(self, bell: "Bell", directory: str) -> str | None:
        """Ring this bell from now on. Where that cannot be: why, if it was not said yet."""
        door = self._doors.get(directory)
        if door is None:
            try:
                door = self._doors[directory] = self._watch(directory)
            except OSError as error:
                self._end_if_unused()
                return self._refuse(directory, error.strerror or str(error))
        door.bells.add(bell)
        return None

    def take_down(self, bell: "Bell", directory: str) -> None:
        """Ring this bell no more."""
        door = self._doors.get(directory)
        if door is None or bell not in door.bells:
            return
        door.bells.remove(bell)
        if not door.bells:
            del self._doors[directory]
            if self._observer and door.watch:
                self._observer.unschedule(door.watch)
            self._end_if_unused()

    def _watch(self, directory: str) -> "_Door":
        if len(self._doors) >= MOST_DIRECTORIES:
            raise OSError(0, f"pfwatch watches {MOST_DIRECTORIES} directories at most")
        if self._observer is None:
            self._observer = Observer()
            self._observer.start()
        door = _Door()
        door.watch = self._observer.schedule(door, directory, event_filter=_EVENTS)
        return door

    def _refuse(self, directory: str, reason: str) -> str | None:
        if reason in self._refused:
            return None
        self._refused.add(reason)
        return f"no notice of rotations in {directory} ({reason}); looking regularly instead, by which no line is lost"

    def _end_if_unused(self) -> None:
        if self._observer and not self._doors:
            self._observer.stop()
            self._observer.join()
            self._observer = None


class _Door(FileSystemEventHandler):
    """One directory."""

    def __init__(self) -> None:
        self.bells: set[Bell] = set()
        """Belong to the loop's thread."""
        self.watch: ObservedWatch | None = None
        self._loop = asyncio.get_running_loop()

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - whatever it was, somebody has to look
        """Called in the observer's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        for bell in self.bells:
            bell.rung.set()


class Bell:
    """What one reader hears. Where the kernel refuses to watch, `problem` says so, once, and `wait` waits in full."""

    def __init__(self, doorbells: Doorbells, directory: str) -> None:
        self.problem: str | None = None
        self.rung = asyncio.Event()
        self._doorbells = doorbells
        self._directory = directory

    def __enter__(self) -> Self:
        self.problem = self._doorbells.hang(self, self._directory)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._doorbells.take_down(self, self._directory)

    async def wait(self, seconds: float) -> None:
        """Return after this time, or as soon as something happened since the last call."""
        try:
            async with asyncio.timeout(seconds):
                await self.rung.wait()
        except TimeoutError:
            return
        self.rung.clear()
