"""Moves positions, counters, windows, incidents and outgoing mail forward together.

Enters: blocks as they were read, and what they brought about. Leaves: commits. This file must never know a source, nor
when somebody is told.

Order matters in one place: what a block brought about is collected in one step of the event loop and committed in one
transaction; only then it is shown on /metrics and mailed.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from pfwatch.alerting.notification import Notification
from pfwatch.pipeline import Pipeline
from pfwatch.position import Block, Position
from pfwatch.store.changes import Changes, LossRow
from pfwatch.store.database import Store
from pfwatch.store.errors import StateError
from pfwatch.store.losses import MOST_LOSSES
from pfwatch.store.settings import StoreSettings

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs something in the one thread that the database belongs to."""
_RETRY: Final = 5.0
"""Seconds between two attempts to commit what could not be."""


class Keeper:
    """Gathers what is to be kept and commits it."""

    def __init__(self, settings: StoreSettings, pipeline: Pipeline, say: Callable[[int, str], None]) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._say = say
        self._positions: dict[str, Position | None] = {}
        self._outbox: list[Notification] = []
        self._losses: deque[LossRow] = deque(maxlen=MOST_LOSSES)
        self._uncommitted: Changes | None = None
        """Collected, but the commit failed."""
        self._unsaved = 0
        self._changed = False
        """Something is to be committed that no line brought about."""
        self._now = asyncio.Event()
        self.wake_outbox: Callable[[], None] = lambda: None

    def read(self, block: Block) -> None:
        """The pipeline has taken a block."""
        if block.position is not None:
            self._positions[block.source] = block.position
        self._unsaved += len(block.data)
        if self._unsaved >= self._settings.commit_bytes:
            self._now.set()

    def forget(self, source: str) -> None:
        """Delete the position of a source."""
        self._positions[source] = None
        self._changed = True

    def changed(self) -> None:
        """Something else is to be kept."""
        self._changed = True

    def lost(self, losses: Iterable[LossRow]) -> None:
        """These are to be kept, together with the positions behind them."""
        self._losses.extend(losses)
        self._changed = True

    def notify(self, notifications: list[Notification]) -> None:
        """These are to be sent, once they are kept."""
        self._outbox += notifications
        self._now.set()

    async def work(self, store: Store, in_thread: InThread) -> None:
        """Commit whenever it is time, for ever."""
        while True:
            # Not wait_for(): before Python 3.12 it can lose a cancellation, and the daemon would not stop.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.commit_interval):
                    await self._now.wait()
            self._now.clear()
            if not await self.commit(store, in_thread):
                await asyncio.sleep(_RETRY)

    async def commit(self, store: Store, in_thread: InThread) -> bool:
        """Commit what there is. False when it could not be: it is kept for the next attempt."""
        changes = self._uncommitted or self._collect()
        if changes is None:
            return True
        begin = time.perf_counter()
        try:
            await in_thread(lambda: store.commit(changes))
        except StateError as error:
            if self._uncommitted is None:
                self._say(3, f"{error}; trying again every {_RETRY:g} seconds")
            self._uncommitted = changes
            return False
        self._uncommitted = None
        self._pipeline.counters.committed()
        self._pipeline.counters.observe("pfwatch_store_commit_seconds", (), time.perf_counter() - begin)
        if changes.outbox:
            self.wake_outbox()
        return True

    def _collect(self) -> Changes | None:
        """Everything that changed, in one step of the loop."""
        if not self._unsaved and not self._changed and not self._positions:
            return None
        kept = self._pipeline.drain()  # first, for it brings the counters up to date
        counters = self._pipeline.counters.changed()
        changes = Changes(self._positions, counters, kept, self._outbox, list(self._losses))
        self._positions, self._outbox, self._unsaved, self._changed = {}, [], 0, False
        self._losses.clear()
        return changes
