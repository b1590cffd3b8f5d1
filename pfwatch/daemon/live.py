"""One run of the daemon.

Enters: settings and signals. Leaves: a running pfwatch, and how it ended. This file must never know what a line means,
when somebody is told, how anything is kept, or which kinds of sources there are.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pfwatch.daemon.keeper import InThread, Keeper
from pfwatch.daemon.readers import Readers
from pfwatch.daemon.settings import DaemonSettings
from pfwatch.daemon.sources import WatchedSources, withdraw
from pfwatch.loss import Loss
from pfwatch.parsing.tally import SLASH_IN_TAG
from pfwatch.pipeline import Outcome, Pipeline, Settings
from pfwatch.position import Block
from pfwatch.sources.source import Source
from pfwatch.store.changes import LossRow
from pfwatch.store.state import State, Unwritten
from pfwatch.systemd import Notifier

End = Literal["stopped", "reload"]
_STOP_WITHIN = 3.5
_CLOSE_WITHIN = 1.0
"""Seconds in which a stop must be done, and then the state closed; systemd is promised five."""
_STATUS_EVERY = 10.0
_SAID_AT_ONCE = 5
"""Losses of one block that are said one by one."""


class Daemon:
    """One run, from opening the state to closing it."""

    def __init__(
        self,
        settings: DaemonSettings,
        notifier: Notifier,
        say: Callable[[int, str], None],
        *,
        now: Callable[[], float] = time.time,
        tick_interval: float = 1.0,
        unwritten: Unwritten | None = None,
    ) -> None:
        """`say` takes a syslog priority (3 error, 4 warning, 6 information) and a line; `now` is the wall's clock.

        `unwritten`: what the run before could not put into the database.
        """
        self._settings = settings
        self._notifier = notifier
        self._say = say
        self._now = now
        self._tick_interval = tick_interval
        self._zone: tzinfo | None = ZoneInfo(settings.source.time_zone) if settings.source.time_zone else None
        core = Settings(self._zone, dovecot=settings.dovecot, detection=settings.detection, alerts=settings.alerts)
        self.pipeline = Pipeline(core, keep=True)
        self.address = ""
        """Where /metrics is served, once `ready` is set."""
        self.is_stuck = False
        """The thread of the state did not end with the run."""
        self.ready = asyncio.Event()
        self.unwritten = Unwritten() if unwritten is None else unwritten
        self._keeper = Keeper(settings.store, self.pipeline, say)
        self._keeper.begin_again = lambda: self.stop("reload")
        self._watched: WatchedSources
        self._ending = asyncio.Event()
        self._end: End = "reload"
        self._lines = 0
        self._progress = 0
        self._told_misnamed = False

    def stop(self, end: End = "stopped") -> None:
        """End the run, also before it began; a signal handler may call this. A stop during a reload is a stop."""
        self._end = end if end == "stopped" else self._end
        self._ending.set()

    async def run(self) -> End:
        """Run until stopped. Raises StateError and WebError when it cannot begin."""
        thread = ThreadPoolExecutor(1, "state")

        async def in_thread(work: Callable[[], Any]) -> Any:
            return await asyncio.get_running_loop().run_in_executor(thread, work)

        try:
            state: State = await in_thread(lambda: State(Path(self._settings.store.path), self.unwritten))
            try:
                await self._restore(state, in_thread)
                await self._serve(state, in_thread)
            finally:
                await self._close(state, in_thread)
        finally:
            thread.shutdown(wait=not self.is_stuck)
        return self._end

    async def _close(self, state: State, in_thread: InThread) -> None:
        """Close the state. A stop does not wait for a disk that does not answer; a reload needs the file again."""
        stop = self._ending.is_set() and self._end == "stopped"
        try:
            async with asyncio.timeout(_CLOSE_WITHIN if stop else None):
                await in_thread(state.close)
        except TimeoutError:
            self.is_stuck = True
            self._say(4, "the disk is slow; what was not committed yet is read again at the next start")

    async def _restore(self, state: State, in_thread: InThread) -> None:
        while state.notes:
            self._say(4, state.notes.pop(0))
        saved = await in_thread(state.load)
        self._keeper.go_on(saved.positions, state.problem)
        self.pipeline.restore(saved.kept)
        self.pipeline.counters.restore(saved.counters)
        self.pipeline.counters.committed()
        self._watched = WatchedSources(self._settings.source, saved.positions, self._zone, self._now)

    async def _serve(self, state: State, in_thread: InThread) -> None:
        readers = Readers(self._read)
        readers.match(self._watched.sources)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(readers.failure()),
            asyncio.create_task(self._tick(readers)),
            asyncio.create_task(self._keeper.work(state, in_thread)),
        ]
        web = None
        try:
            # What is not needed to begin is loaded behind the first look at the log.
            web = await self._start_web()
            tasks += self._start_outbox(state, in_thread)
            await asyncio.sleep(0)  # every source has its first turn
            self._look_at_sources()
            self._notifier.ready(self._status())
            self.ready.set()
            tasks.append(asyncio.create_task(self._ending.wait()))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # raises what ended it
        finally:
            # Not "stopping" at a reload: systemd would wait for the end of the process, and kill it.
            reload = self._ending.is_set() and self._end == "reload"
            self._notifier.reloading() if reload else self._notifier.stopping("Committing")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_WITHIN):
                    await _cancel([*tasks, *readers.tasks()])
                    await self._keeper.commit(state, in_thread)
                    if web is not None:
                        await web.stop()

    async def _start_web(self) -> Any:
        if not self._settings.web.enabled:
            return None
        from pfwatch.web.server import WebServer

        server = WebServer(self._settings.web, self.pipeline.counters, self._not_ready, self._problem)
        await server.start()
        host, port = server.address
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._say(6, f"metrics on {self.address}/metrics")
        return server

    def _start_outbox(self, state: State, in_thread: InThread) -> list[asyncio.Task[None]]:
        if not self._settings.mail.recipients:
            self._say(4, "no [mail] to is configured: incidents are shown on /metrics and in this log only")
            return []
        from pfwatch.alerting.channels.outbox import Outbox
        from pfwatch.alerting.channels.smtp import SmtpChannel
        from pfwatch.alerting.channels.templates import load_templates

        zone = self._zone or datetime.now(UTC).astimezone().tzinfo or UTC
        channel = SmtpChannel(self._settings.mail, load_templates(), time_zone=zone)
        outbox = Outbox(
            state,
            [channel],
            in_thread,
            now=self._now,
            on_result=self._sent,
            say=lambda text: self._say(4, text),
        )
        self._keeper.wake_outbox = outbox.wake
        return [asyncio.create_task(outbox.work())]

    def _sent(self, channel: str, result: str) -> None:
        self.pipeline.counters.add("pfwatch_notifications_total", (channel, result))
        self._keeper.changed()

    async def _read(self, source: Source) -> None:
        self.pipeline.begin(source.name)
        self._keeper.changed()
        async with contextlib.aclosing(source.blocks()) as blocks:
            async for block in blocks:
                # In one step of the loop: what is committed holds a position and the losses before it, or neither.
                self._feed(block)
                losses = source.losses.copy()
                source.losses.clear()
                self.pipeline.lose(source.name, losses)
                self._ledger(source.name, losses)

    def _ledger(self, source: str, losses: Sequence[Loss]) -> None:
        """Say what was lost and put it into the next transaction."""
        if not losses:
            return
        for loss in losses[:_SAID_AT_ONCE]:
            self._say(4, f"{source}: {loss.text}")
        if len(losses) > _SAID_AT_ONCE:
            self._say(4, f"{source}: {len(losses) - _SAID_AT_ONCE} more of these; all count in pfwatch_losses_total")
        now = self._now()
        self._keeper.lost(
            LossRow(now if one.at is None else one.at, source, one.reason, one.text, one.lines, one.size)
            for one in losses
        )

    def _feed(self, block: Block) -> None:
        self._progress += 1
        if not block.data:
            self._keeper.read(block)
            return
        outcome = self.pipeline.feed(block.data, block.source, block.reference, self._now())
        self._keeper.read(block)
        self._lines += outcome.tally.total if outcome.tally else 0
        self._take(outcome)
        self._ledger(block.source, outcome.losses)
        if outcome.tally and outcome.tally.misnamed and not self._told_misnamed:
            self._told_misnamed = True
            self._say(4, f"{block.source}: {SLASH_IN_TAG}")

    def _take(self, outcome: Outcome) -> None:
        """Say what happened and put what is to be mailed into the next transaction."""
        if outcome.events or outcome.changes or outcome.notifications:
            self._keeper.changed()
        for change in outcome.changes:
            if change.what != "grew":
                one, since = change.incident, _clock(change.incident.first)
                self._say(5, f"incident {change.what}: {one.rule}: {one.subject}: {one.count} since {since}")
        for notification in outcome.notifications:
            self._say(5, f"notification ({notification.reason}): {notification.subject_line}")
        if outcome.notifications and self._settings.mail.recipients:
            self._keeper.notify(outcome.notifications)

    async def _tick(self, readers: Readers) -> None:
        """Let time pass where the log is silent, feed the watchdog, say how it goes."""
        said, seen, fed = self._now(), -1, time.monotonic()
        interval = self._notifier.watchdog_interval
        while True:
            await asyncio.sleep(min(self._tick_interval, interval or self._tick_interval))
            self._watched.refresh()
            readers.match(self._watched.sources)
            self._look_at_sources()
            at_end = self._watched.at_end()
            if at_end:
                self._take(self.pipeline.tick(self._now(), self._now()))
            # Progress is a block read, or the knowledge that there is none.
            if interval and (at_end or self._progress != seen) and time.monotonic() - fed >= interval / 2:
                self._notifier.watchdog()
                fed = time.monotonic()
            seen = self._progress
            if abs(self._now() - said) >= _STATUS_EVERY:
                said = self._now()
                self._notifier.status(self._status())

    def _look_at_sources(self) -> None:
        for source in self._watched.sources:
            while source.notes:
                self._say(4, f"{source.name}: {source.notes.pop(0)}")
        while self._watched.ended:
            name = self._watched.ended.pop()
            self.pipeline.release(name)
            withdraw(self.pipeline.counters, name)
            self._say(6, f"{name} is gone, and no source any more")
        while self._watched.forgotten:
            name = self._watched.forgotten.pop()
            self.pipeline.forget(name)
            self._keeper.forget(name)
        if self._watched.look(self.pipeline.counters, self.pipeline.newest):
            problem = self._watched.problem
            self._say(*((4, problem) if problem else (6, "every source can be read again")))
            self._notifier.status(self._status())

    def _problem(self) -> str | None:
        """What keeps pfwatch from its work."""
        return "; ".join(filter(None, (self._watched.problem, self._keeper.problem))) or None

    def _status(self) -> str:
        problem = self._problem()
        if problem:
            return problem
        incidents = self.pipeline.open_incidents()
        return f"Watching {self._watched.names()}: {self._lines:,} lines read, {incidents} incidents open"

    def _not_ready(self) -> str | None:
        return None if self.ready.is_set() else "the state is being loaded"


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    """End tasks; again and again, because a library in the middle of a conversation may swallow a cancellation."""
    running = {task for task in tasks if not task.done()}
    for _ in range(int(_STOP_WITHIN / 2 / 0.2)):
        if not running:
            return
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=0.2)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@contextlib.contextmanager
def signals(stop: Callable[[End], None]) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP call `stop`. For as long as the process runs: without, each of them kills it."""
    loop = asyncio.get_running_loop()
    ends: dict[signal.Signals, End] = {signal.SIGTERM: "stopped", signal.SIGINT: "stopped", signal.SIGHUP: "reload"}
    for number, end in ends.items():
        loop.add_signal_handler(number, stop, end)
    try:
        yield
    finally:
        for number in ends:
            loop.remove_signal_handler(number)
