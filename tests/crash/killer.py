"""Lives of `pfwatch run`, each ended by SIGKILL at a moment that the dice choose.

Enters: a folder with a configuration. Leaves: how each life went. This file must never know what is in the log.
"""

import asyncio
import contextlib
import os
import random
import re
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Literal

import httpx

Moment = Literal["start-up", "at work", "in a commit"]
MOMENTS: tuple[Moment, ...] = ("start-up", "at work", "at work", "in a commit")
LONGEST_START = 0.8
LONGEST_WORK = 0.5
PATIENCE = 60.0
"""Seconds for what takes at most a few."""
_LOOK = 0.002
_LINES = re.compile(r"^pfwatch_lines_total\{[^}]*\} (\S+)$", re.MULTILINE)


class Life:
    """One process, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []
        self.ready = asyncio.Event()
        self.address = ""
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def begin(cls, folder: Path) -> "Life":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pfwatch", "run", "--config", str(folder / "pfwatch.toml"),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return cls(process)

    async def end(self, number: int) -> int:
        """Send a signal and wait for the end; gives the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        status = await self.process.wait()
        await self._listening
        return status

    async def lines_shown(self) -> float:
        """The sum of `pfwatch_lines_total` as Prometheus would get it now."""
        async with httpx.AsyncClient() as client:
            return sum(map(float, _LINES.findall((await client.get(f"{self.address}/metrics")).text)))

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self.said.append(line)
            if "metrics on " in line:
                self.address = line.split("metrics on ")[1].removesuffix("/metrics")
                self.ready.set()


class Killer:
    """Starts pfwatch and kills it, again and again, and remembers what was said and shown."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.moments: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        self.steps_back = 0
        """How often /metrics showed less than before."""
        self._folder = folder
        self._dice = dice
        self._shown = 0.0

    async def kill_one(self) -> None:
        """One life."""
        moment = self._dice.choice(MOMENTS)
        life = await Life.begin(self._folder)
        try:
            await self._wait_for(moment, life)
        finally:
            await life.end(signal.SIGKILL)
            self.moments[moment] += 1
            self.said.update(life.said)

    async def watch(self, life: Life) -> None:
        """Scrape /metrics once."""
        shown = await life.lines_shown()
        self.steps_back += shown < self._shown
        self._shown = shown

    async def _wait_for(self, moment: Moment, life: Life) -> None:
        if moment == "start-up":
            await asyncio.sleep(self._dice.random() * LONGEST_START)
            return
        async with asyncio.timeout(PATIENCE):
            await life.ready.wait()
        await self.watch(life)
        await asyncio.sleep(self._dice.random() * LONGEST_WORK)
        if moment == "in a commit":
            await self._until_a_commit_begins()

    async def _until_a_commit_begins(self) -> None:
        """The write-ahead log changes in the middle of a commit; without anything to commit, a second is enough."""
        before = _change(self._folder / "state.db-wal")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while _change(self._folder / "state.db-wal") == before:  # noqa: ASYNC110 - a file has no event
                    await asyncio.sleep(_LOOK)


async def until_caught_up(folder: Path, log: Path) -> None:
    """Until the committed position is the end of the log and every mail is sent; TimeoutError when nothing moves."""
    while not _is_caught_up(before := _committed(folder / "state.db"), log):
        async with asyncio.timeout(PATIENCE):
            while _committed(folder / "state.db") == before:  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.02)


def _committed(path: Path) -> tuple[list[tuple[int, int]], int]:
    """Inode and offset of the positions, and how many mails wait."""
    # Read only: whoever closes a database last would tidy up behind a killed pfwatch.
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            rows = database.execute(
                "SELECT json_extract(position, '$.inode'), json_extract(position, '$.offset') FROM positions"
            ).fetchall()
            return rows, database.execute("SELECT count(*) FROM outbox WHERE done_at IS NULL").fetchone()[0]
        except sqlite3.OperationalError:
            return [], 0  # pfwatch has not made it yet


def _is_caught_up(committed: tuple[list[tuple[int, int]], int], log: Path) -> bool:
    status = log.stat()
    return committed == ([(status.st_ino, status.st_size)], 0)


def _change(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - the fewest steps, many times a second
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
