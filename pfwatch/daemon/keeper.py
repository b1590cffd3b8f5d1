"""Moves positions, counters, windows, incidents and outgoing mail forward together.

Enters: blocks as they were read, and what they brought about. Leaves: commits. This file must never know a source, nor
when somebody is told.

Order matters in one place: what a block brought about is collected in one step of the event loop and committed in one
transaction; only then it is shown on /metrics and mailed.

While the database takes nothing, what was collected is not queued, for that would grow: the first commit that succeeds
brings everything as it is then. Only mails do not wait for it.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from pfwatch.alerting.notification import Notification
from pfwatch.pipeline import Pipeline
from pfwatch.position import Block, Position
from pfwatch.store.changes import Changes, LossRow
from pfwatch.store.errors import OlderError, StaleError, StateError
from pfwatch.store.losses import MOST_LOSSES
from pfwatch.store.settings import StoreSettings
from pfwatch.store.state import State

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs something in the one thread that the database belongs to."""
_RETRY: Final = 2.0
"""Seconds between two attempts to commit what could not be."""
_SLOW = 10.0
"""Seconds after which a commit that has not ended is said: a disk that does not answer is no error of its own."""


class Keeper:
    """Gathers what is to be kept and commits it."""

    def __init__(
        self, settings: StoreSettings, pipeline: Pipeline, say: Callable[[int, str], None], *, slow: float = _SLOW
    ) -> None:
        self._settings = settings
        self._slow = slow
        self._pipeline = pipeline
        self._say = say
        self._positions: dict[str, Position | None] = {}
        """Those since the last commit; None for one that is to go."""
        self._all_positions: dict[str, Position] = {}
        self._outbox: list[Notification] = []
        self._losses: deque[LossRow] = deque(maxlen=MOST_LOSSES)
        """Those that are not known to be committed."""
        self._behind = False
        """Something collected may not have been committed, so the next commit brings everything."""
        self._unsaved = 0
        self._changed = False
        """Something is to be committed that no line brought about."""
        self._now = asyncio.Event()
        self.problem: str | None = None
        """Why nothing can be committed at present."""
        self.wake_outbox: Callable[[], None] = lambda: None
        self.begin_again: Callable[[], None] = lambda: None

    def go_on(self, positions: Mapping[str, Position], problem: str | None) -> None:
        """Begin with the positions of the last commit, and perhaps without a database."""
        self._all_positions = dict(positions)
        self._pipeline.counters.set("pfwatch_store_up", (), 0 if problem else 1)
        if problem:
            self._behind = True
            self._tell(problem)

    def read(self, block: Block) -> None:
        """The pipeline has taken a block."""
        if block.position is not None:
            self._positions[block.source] = self._all_positions[block.source] = block.position
        self._unsaved += len(block.data)
        if self._unsaved >= self._settings.commit_bytes:
            self._now.set()

    def forget(self, source: str) -> None:
        """Delete the position of a source."""
        self._positions[source] = None
        self._all_positions.pop(source, None)
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

    async def work(self, state: State, in_thread: InThread) -> None:
        """Commit whenever it is time, for ever."""
        while True:
            # Not wait_for(): before Python 3.12 it can lose a cancellation, and the daemon would not stop.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.commit_interval):
                    await self._now.wait()
            self._now.clear()
            if not await self.commit(state, in_thread):
                await asyncio.sleep(_RETRY)

    async def commit(self, state: State, in_thread: InThread) -> bool:
        """Commit what there is. False when it could not be."""
        begin = time.perf_counter()
        slow = asyncio.get_running_loop().call_later(self._slow, self._does_not_answer)
        try:
            if self._behind:
                await self._try_to_begin(state, in_thread)
            changes = self._collect(whole=True) if self._behind else self._collect_changes()
            if changes is not None:
                await self._commit(changes, state, in_thread)
        except StateError as error:
            self._failed(error)
            return False
        finally:
            slow.cancel()
            while state.notes:
                self._say(3, state.notes.pop(0))
        if changes is not None:
            self._succeeded(time.perf_counter() - begin)
        return True

    async def _try_to_begin(self, state: State, in_thread: InThread) -> None:
        """A look whether it is worth to collect everything. Raises StateError."""
        try:
            await in_thread(state.try_to_begin)
        except StateError:
            # What changed is forgotten, or it would grow; the mails in it go on without the database.
            changes = self._collect_changes()
            if changes is not None and changes.outbox:
                await in_thread(partial(state.hold, changes.outbox))
                self.wake_outbox()
            raise

    async def _commit(self, changes: Changes, state: State, in_thread: InThread) -> None:
        # Until it is known: a stop in between leaves open whether it was committed.
        self._behind = True
        committed = changes
        try:
            await in_thread(partial(state.commit, changes))
        except StaleError:
            committed = self._collect(whole=True)
            await in_thread(partial(state.commit, committed))
        finally:
            if changes.outbox:
                self.wake_outbox()
        self._behind = False
        losses = set(map(id, committed.losses))
        self._losses = deque((one for one in self._losses if id(one) not in losses), maxlen=MOST_LOSSES)

    def _collect_changes(self) -> Changes | None:
        """What changed, if anything did."""
        if self._unsaved or self._changed or self._positions:
            return self._collect(whole=False)
        return None

    def _collect(self, *, whole: bool) -> Changes:
        """Everything that changed, or everything, in one step of the loop."""
        kept = self._pipeline.drain(whole=whole)  # first, for it brings the counters up to date
        positions = self._positions
        if whole:
            positions = {**positions, **self._all_positions}
        counters = self._pipeline.counters.changed(whole=whole)
        changes = Changes(positions, counters, kept, self._outbox, list(self._losses), whole)
        self._positions, self._outbox, self._unsaved, self._changed = {}, [], 0, False
        return changes

    def _succeeded(self, seconds: float) -> None:
        counters = self._pipeline.counters
        counters.committed()
        counters.observe("pfwatch_store_commit_seconds", (), seconds)
        counters.set("pfwatch_store_up", (), 1)
        counters.set("pfwatch_store_last_commit_timestamp_seconds", (), time.time())
        if self.problem:
            self.problem = None
            self._say(5, "the state is committed again, with everything since; nothing was lost")

    def _failed(self, error: StateError) -> None:
        self._pipeline.counters.set("pfwatch_store_up", (), 0)
        if isinstance(error, OlderError):
            self._say(4, str(error))
            self.begin_again()
        else:
            self._tell(str(error))

    def _does_not_answer(self) -> None:
        self._pipeline.counters.set("pfwatch_store_up", (), 0)
        path = self._settings.path
        problem = f"the disk of the state database {path} has not answered for {self._slow:g} seconds"
        if self.problem is None:
            self.problem = problem
            self._say(
                4,
                f"{problem}. Reading goes on; counters on /metrics stand still and mails wait. `iostat -x` or `dmesg` "
                "may say why",
            )

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._say(
                3,
                f"{problem}. Until then pfwatch reads and alerts from memory, counters on /metrics stand still, and "
                f"the state is tried again every {_RETRY:g} seconds",
            )
