"""One crash test from the plan to the table.

Enters: how many lines, kills and rotations, and a seed. Leaves: what is true beside what pfwatch has. This file must
never know how a process is killed or a file rotated.

The records' time lies ahead of the clock, so that nothing happens by waiting and what is told depends on the log alone:
an undisturbed run over the same lines then gives the very notifications that have to be in the outbox.
"""

import asyncio
import contextlib
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from pfwatch.config import load
from pfwatch.pipeline import Settings
from pfwatch.store.database import Store
from tests.alerting.mailserver import Postmaster, mail_server
from tests.bench.generate import Mix, Truth, generate
from tests.crash import compare
from tests.crash.compare import Row
from tests.crash.killer import PATIENCE, Killer, Life, until_caught_up
from tests.crash.writer import LARGEST_PIECE, Writer

_AHEAD = timedelta(hours=1)
_LONGEST_LOG = 12 * 3600
"""Seconds of the records' time; a BSD time stamp may be a day ahead before it is taken for one of last year."""
_WRITING = 0.6
"""Seconds that the writing for one life takes, about as long as a life."""


@dataclass(frozen=True)
class Plan:
    """What is to be done; the same plan does the same to the same bytes, at moments that the machine's speed moves."""

    lines: int
    kills: int
    rotations: int
    seed: int = 1
    mix: Mix = "normal"


@dataclass
class Result:
    """What came of it."""

    rows: list[Row]
    notes: list[str]
    said: Counter[str]

    @property
    def differences(self) -> int:
        return sum(row.difference for row in self.rows)


async def run(folder: Path, plan: Plan, say: Callable[[str], None] = lambda _text: None) -> Result:
    """Do it in an empty folder."""
    dice, truth, log = random.Random(plan.seed), Truth(), folder / "mail.log"
    start = datetime.fromtimestamp(int(time.time()), UTC) + _AHEAD
    rate = max(50, plan.lines // _LONGEST_LOG)
    text = b"".join(generate(plan.lines, plan.mix, plan.seed, start=start, rate=rate, truth=truth))
    say(f"{plan.lines:,} lines, {len(text) / 1e6:.0f} MB; {plan.kills} kills, {plan.rotations} rotations")
    pieces = max(1, len(text) // (plan.kills + 1) // (LARGEST_PIECE // 2))
    writer = Writer(log, text, _line_ends(text, plan.rotations, dice), dice, 2 * _WRITING / pieces)
    killer, postmaster, begin = Killer(folder, dice), Postmaster(), time.monotonic()
    async with mail_server(postmaster) as server:
        _configure(folder, log, server.port, seconds=plan.lines // rate)
        writing = asyncio.create_task(writer.work())
        try:
            # Until it has committed once, every start is a first one, which does not look into rotated files.
            writer.allow(len(text) // 30)
            await writer.until_written()
            await _stop_at_the_end(folder, log, killer)
            for number in range(plan.kills):
                if number == plan.kills // 2:
                    await _stop_in_between(folder, writer, killer)
                writer.allow(len(text) * (number + 1) // (plan.kills + 1))
                await killer.kill_one()
                if (number + 1) % 20 == 0:
                    say(f"{number + 1} kills, {writer.written:,} bytes written, {time.monotonic() - begin:.0f} s")
            writer.allow(len(text))
            await writing
            await _stop_at_the_end(folder, log, killer)
        finally:
            writing.cancel()
            await asyncio.wait([writing])
            writer.close()
    say(f"all of it read after {time.monotonic() - begin:.0f} s; now an undisturbed run for comparison")
    return _result(folder, text, truth, writer, killer, postmaster)


def _line_ends(text: bytes, count: int, dice: random.Random) -> list[int]:
    """Places for rotations, none of them before what the first life reads."""
    return [text.index(b"\n", int(len(text) * (0.05 + 0.93 * dice.random()))) + 1 for _ in range(count)]


async def _stop_in_between(folder: Path, writer: Writer, killer: Killer) -> None:
    """Let pfwatch read everything, so that the rotated files may have other names from now on."""
    await writer.until_written()
    while not writer.log.stat().st_size:  # rotated just now: nothing in it yet that a position could be behind
        writer.allow(writer.written + 1)
        await writer.until_written()
    await _stop_at_the_end(folder, writer.log, killer)
    writer.begin_dated_names()


async def _stop_at_the_end(folder: Path, log: Path, killer: Killer) -> None:
    life = await Life.begin(folder)
    try:
        async with asyncio.timeout(PATIENCE):
            await life.ready.wait()
        await until_caught_up(folder, log)
        await killer.watch(life)
        status = await life.end(signal.SIGTERM)
        assert status == 0, "\n".join(life.said)
    except TimeoutError as error:
        raise TimeoutError("\n".join(["it never caught up. It said:", *life.said])) from error
    finally:
        if life.process.returncode is None:
            await life.end(signal.SIGKILL)
        killer.said.update(life.said)


def _configure(folder: Path, log: Path, port: int, *, seconds: int) -> None:
    """Every attacker opens an incident at once that never ends: so all of them are in the state, with their counts.

    Of the log's seconds a hundredth makes a group and a quarter a digest: a log of any length has some of each.
    """
    rules = "".join(
        f'[detection.{rule}]\nthreshold = 1\nwindow = "7d"\n'
        for rule in ("auth-bruteforce", "relay-probe", "tls-client-failures")
    )
    (folder / "pfwatch.toml").write_text(f"""
        [log]
        paths = ["{log}"]
        time_zone = "UTC"
        poll_interval = 0.02
        [state]
        path = "{folder}/state.db"
        commit_interval = 0.05
        [web]
        listen = "127.0.0.1:0"
        [alerts]
        group_wait = {max(5, seconds // 100)}
        digest_interval = {max(10, seconds // 4)}
        daily_budget = 100_000
        [mail]
        to = ["admin@example.org"]
        from = "pfwatch@mx1.example.org"
        host = "127.0.0.1"
        port = {port}
        tls = "none"
        [detection]
        max_subjects = 1_000_000
        {rules}
    """)


def _result(
    folder: Path, text: bytes, truth: Truth, writer: Writer, killer: Killer, postmaster: Postmaster
) -> Result:  # fmt: skip
    store = Store(folder / "state.db")
    saved, notes = store.load(), list(store.notes)
    store.close()
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as database:
        outbox = Counter(id_ for (id_,) in database.execute("SELECT id FROM outbox"))
    loaded = load(folder / "pfwatch.toml")
    settings = Settings(ZoneInfo("UTC"), detection=loaded.detection, alerts=loaded.alerts)
    expected = compare.notifications(text, settings, time.time())
    mails = Counter(str(mail["Message-ID"]) for mail in postmaster.mails)
    said = Counter({line: times for line, times in killer.said.items() if " (pid" not in line})
    rows = [
        *compare.rows(truth, saved, settings),
        compare.by("notifications in the outbox", expected, outbox),
        Row("notifications mailed", len(expected), len(mails), abs(len(expected) - len(mails))),
        Row("counters that stepped back", 0, killer.steps_back, killer.steps_back),
        *(_said(said, words) for words in ("Traceback", "may be lost", "damaged")),
    ]
    notes += [
        f"killed: {_listed(killer.moments)}",
        f"rotated: {_listed(writer.ways)}",
        f"mails sent again, as the same mail, because of a kill before it was noted: {mails.total() - len(mails)}",
    ]
    return Result(rows, notes, said)


def _said(said: Counter[str], words: str) -> Row:
    times = sum(count for line, count in said.items() if words in line)
    return Row(f"messages with '{words}'", 0, times, times)


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{times} {what}" for what, times in sorted(counted.items()))
