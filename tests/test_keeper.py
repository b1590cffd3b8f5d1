"""Commits that are cut off in the middle: what is in the database afterwards belongs together."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pfwatch.daemon.keeper import Keeper
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.position import Block, FilePosition
from pfwatch.store.changes import LossRow
from pfwatch.store.losses import read_losses
from pfwatch.store.settings import StoreSettings
from pfwatch.store.state import State, Unwritten

HEADER = b"Oct 19 19:56:07 mx1 postfix/smtpd[2309]: "
CONNECT = HEADER + b"connect from unknown[192.0.2.7]\n"
DISCONNECT = HEADER + b"disconnect from unknown[192.0.2.7] ehlo=1 quit=1 commands=2\n"


class Thread:
    """The one that the database belongs to; tells when it has begun with something."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(1)
        self.busy = asyncio.Event()

    async def __call__(self, work: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()

        def told() -> Any:
            loop.call_soon_threadsafe(self.busy.set)
            return work()

        return await loop.run_in_executor(self.executor, told)


async def test_a_stop_within_a_commit_that_fails_leaves_nothing_out(tmp_path: Path) -> None:
    thread, pipeline = Thread(), Pipeline(Settings(), keep=True)
    keeper = Keeper(StoreSettings(), pipeline, lambda _priority, _text: None)
    state: State = await thread(lambda: State(tmp_path / "state.db", Unwritten()))

    def read(line: bytes, offset: int) -> None:
        block = Block("log", line, 0.0, FilePosition("log", 1, 2, "0:", offset))
        pipeline.feed(block.data, block.source, block.reference)
        keeper.read(block)

    read(CONNECT, 1)
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        thread.busy.clear()
        committing = asyncio.create_task(keeper.commit(state, thread))
        await thread.busy.wait()
        committing.cancel()
        await asyncio.wait([committing])
        await thread(lambda: None)  # and now it has given up
        other.execute("ROLLBACK")
    read(DISCONNECT, 2)
    assert await keeper.commit(state, thread)
    saved = await thread(state.load)
    await thread(state.close)
    thread.executor.shutdown()
    assert saved.positions == {"log": FilePosition("log", 1, 2, "0:", 2)}
    assert saved.counters["postfix_smtpd_connects_total", ()] == 1
    assert saved.counters["postfix_smtpd_disconnects_total", ()] == 1


async def test_a_disk_that_does_not_answer_is_said_and_nothing_waits_for_it(tmp_path: Path) -> None:
    thread, pipeline, said = Thread(), Pipeline(Settings(), keep=True), asyncio.Queue[str]()
    keeper = Keeper(StoreSettings(), pipeline, lambda _priority, text: said.put_nowait(text), slow=0.05)
    state: State = await thread(lambda: State(tmp_path / "state.db", Unwritten()))
    disk = threading.Event()
    thread.executor.submit(disk.wait)
    pipeline.feed(CONNECT, "log", 0.0)
    keeper.read(Block("log", CONNECT, 0.0, FilePosition("log", 1, 2, "0:", 1)))
    committing = asyncio.create_task(keeper.commit(state, thread))
    assert "has not answered for 0.05 seconds" in await said.get()
    assert keeper.problem
    assert pipeline.counters.gauges()["pfwatch_store_up"] == {(): 0}
    disk.set()
    assert await committing
    assert "the state is committed again" in await said.get()
    assert keeper.problem is None
    await thread(state.close)
    thread.executor.shutdown()


async def test_a_loss_stands_in_the_ledger_once_also_when_commits_failed_meanwhile(tmp_path: Path) -> None:
    thread, pipeline = Thread(), Pipeline(Settings(), keep=True)
    keeper = Keeper(StoreSettings(), pipeline, lambda _priority, _text: None)
    state: State = await thread(lambda: State(tmp_path / "state.db", Unwritten()))
    first, second = (LossRow(1_800_000_000.0, "log", "truncated", text, None, 100) for text in ("first", "second"))
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        keeper.lost([first])
        assert not await keeper.commit(state, thread)
        keeper.lost([second])
        assert not await keeper.commit(state, thread)
        other.execute("ROLLBACK")
    assert await keeper.commit(state, thread)
    keeper.changed()
    assert await keeper.commit(state, thread)
    await thread(state.close)
    thread.executor.shutdown()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database:
        assert read_losses(database) == [second, first]
