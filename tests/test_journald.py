"""pfwatch beside a systemd-journald that runs: what is written while it reads, rotates, restarts and is killed."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pfwatch.position import Block, JournalPosition
from pfwatch.sources.journal.source import JournalSource
from pfwatch.sources.settings import JournalSettings, SourceSettings
from tests.journals import Journald, journald, needs_journalctl, needs_journald, needs_library

pytestmark = needs_journald

BOTH_WAYS = [
    pytest.param(True, marks=needs_library, id="library"),
    pytest.param(False, marks=needs_journalctl, id="child"),
]
PATIENCE = 20.0
ROOT = Path(__file__).parent.parent
FAILED = b"warning: unknown[192.0.2.%d]: SASL LOGIN authentication failed: UGFzc3dvcmQ6\n"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Journald]:
    with journald(tmp_path / "journald") as running:
        yield running


def source(running: Journald, library: bool, position: JournalPosition | None = None) -> JournalSource:
    settings = SourceSettings(journal=JournalSettings(directory=str(running.files)), poll_interval=0.02)
    return JournalSource(settings, position=position, library=library)


class Reading:
    """A source that is read while a test goes on."""

    def __init__(self, source: JournalSource) -> None:
        self.source = source
        self.read: list[bytes] = []
        self.position: JournalPosition | None = None
        self._stream = source.blocks()

    async def gets(self, *messages: bytes) -> None:
        """Until the last of these is read; they are what is read, in this order."""
        before = len(self.read)
        async with asyncio.timeout(PATIENCE):
            while len(self.read) < before + len(messages):
                block: Block = await anext(self._stream)
                assert isinstance(block.position, JournalPosition)
                self.position = block.position
                self.read += [line.partition(b"]: ")[2] for line in block.data.splitlines()]
        assert self.read[before:] == list(messages)

    async def close(self) -> None:
        await self._stream.aclose()


@pytest.mark.parametrize("library", BOTH_WAYS)
async def test_entries_are_read_as_they_are_written_over_rotations_and_restarts_of_journald(
    running: Journald, library: bool
) -> None:
    reading = Reading(source(running, library))
    running.smtpd_logs(b"one\ntwo\n")
    await reading.gets(b"one", b"two")
    running.smtpd_logs(b"three\n")
    await reading.gets(b"three")
    running.rotate()
    running.smtpd_logs(b"four\n")
    await reading.gets(b"four")
    running.rotate()
    running.vacuum()
    running.smtpd_logs(b"five\n")
    await reading.gets(b"five")
    running.stop()
    running.start()
    running.smtpd_logs(b"six\n")
    await reading.gets(b"six")
    running.stop(signal.SIGKILL)  # it sets its file aside then
    running.start()
    running.smtpd_logs(b"seven\n")
    await reading.gets(b"seven")
    await reading.close()
    assert (reading.source.losses, reading.source.problem) == ([], None)
    assert reading.source.take_forged() == 0


@pytest.mark.parametrize("library", BOTH_WAYS)
async def test_after_a_stop_it_goes_on_where_it_was_also_in_a_rotated_file(running: Journald, library: bool) -> None:
    running.smtpd_logs(b"one\ntwo\n")
    before = Reading(source(running, library))
    await before.gets(b"one", b"two")
    await before.close()
    running.smtpd_logs(b"three\n")
    running.rotate()
    running.smtpd_logs(b"four\n")
    after = Reading(source(running, library, before.position))
    await after.gets(b"three", b"four")
    await after.close()
    assert (after.source.losses, after.source.notes) == ([], [])


@pytest.mark.parametrize("library", BOTH_WAYS)
async def test_what_was_vacuumed_while_it_was_down_is_said_with_its_number(running: Journald, library: bool) -> None:
    running.smtpd_logs(b"one\n")
    before = Reading(source(running, library))
    await before.gets(b"one")
    await before.close()
    running.rotate()
    running.smtpd_logs(b"".join(b"lost %d\n" % number for number in range(40)))
    running.rotate()
    running.vacuum()
    running.smtpd_logs(b"two\n")
    after = Reading(source(running, library, before.position))
    await after.gets(b"two")
    await after.close()
    (loss,) = after.source.losses
    assert loss.reason == "vacuumed"
    number = int(loss.text.split("up to ")[1].split(" entries of all programs")[0])
    assert 40 <= number <= 44  # journald tells of its rotations


async def test_an_entry_by_logger_is_no_entry_of_postfix(running: Journald) -> None:
    running.smtpd_logs(b"one\n")
    running.logger_logs(b"typed\n")
    running.smtpd_logs(b"two\n")
    reading = Reading(source(running, library=False))
    await reading.gets(b"one", b"two")
    await reading.close()
    assert reading.source.take_forged() == 1
    (note,) = reading.source.notes
    assert "(the first as postfix/smtpd, written by " in note
    assert " of user 65534): not read, counted as forged" in note


PRINT = """
import sys
sys.path[:] = {path!r}
from pfwatch.sources.journal.finished import read_journal
from pfwatch.sources.settings import JournalSettings, SourceSettings
wanted = SourceSettings(journal=JournalSettings(namespace={namespace!r}))
with open({out!r}, "wb") as out:
    for block in read_journal(wanted, library={library!r}):
        out.write(block.source.encode() + b" " + block.data)
"""


@pytest.mark.parametrize("library", BOTH_WAYS)
def test_the_journal_of_this_machine_and_that_of_a_namespace_are_two(
    running: Journald, library: bool, tmp_path: Path
) -> None:
    running.smtpd_logs(b"of the machine\n")
    (folder,) = running.files.iterdir()
    running.rotate()
    (archived,) = folder.glob("system@*")
    (running.files / f"{folder.name}.mail").mkdir()
    archived.rename(running.files / f"{folder.name}.mail" / "system.journal")
    running.smtpd_logs(b"of the other\n")

    def printed(namespace: str | None) -> bytes:
        out = tmp_path / "out"
        path = [str(ROOT), *filter(None, sys.path)]
        program = PRINT.format(path=path, namespace=namespace, out=str(out), library=library)
        assert running.inside(sys.executable, "-I", "-c", program).wait(30) == 0
        return out.read_bytes()

    first = printed("mail")
    assert first.startswith(b"journal:mail ")
    assert first.endswith(b"]: of the machine\n")
    second = printed(None)
    assert second.startswith(b"journal ")
    assert second.endswith(b"]: of the other\n")
    assert (first + second).count(b"\n") == 2


class Daemon:
    """One `pfwatch run` that reads the journal."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []
        self.address = ""

    async def ready(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            self.said.append(raw.decode())
            if "metrics on " in self.said[-1]:
                self.address = self.said[-1].split("metrics on ")[1].strip()
                return
        raise AssertionError("".join(self.said))

    async def sum_of(self, name: str) -> float:
        async with httpx.AsyncClient() as client:
            text = (await client.get(self.address)).text
        families = text_string_to_metric_families(text)
        return sum(one.value for family in families for one in family.samples if one.name == name)

    async def until(self, value: float, name: str) -> None:
        while (found := await self.sum_of(name)) != value:
            assert found < value, f"{name} is {found}, beyond {value}"

    async def end(self, number: int) -> None:
        self.process.send_signal(number)
        await self.process.communicate()


@contextlib.asynccontextmanager
async def start(folder: Path, running: Journald) -> AsyncIterator[Daemon]:
    (folder / "pfwatch.toml").write_text(f"""
        [journal]
        enabled = true
        directory = "{running.files}"
        [log]
        poll_interval = 0.02
        [state]
        path = "{folder}/state.db"
        commit_interval = 0.02
        [web]
        listen = "127.0.0.1:0"
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pfwatch", "run", "--config", str(folder / "pfwatch.toml"),
        env=os.environ, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    daemon = Daemon(process)
    try:
        async with asyncio.timeout(PATIENCE):
            await daemon.ready()
            yield daemon
    finally:
        if process.returncode is None:
            await daemon.end(signal.SIGKILL)


@needs_library
@needs_journalctl
async def test_kills_while_the_journal_grows_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, running: Journald
) -> None:
    def write(lines: int) -> None:
        running.smtpd_logs(b"".join(FAILED % (number % 200) for number in range(lines)))

    for kill in range(4):
        async with start(tmp_path, running) as pfwatch:
            for _ in range(random.randrange(1, 6)):
                write(random.randrange(1, 200))
                await pfwatch.sum_of("pfwatch_lines_total")
            await pfwatch.end(signal.SIGKILL)
        write(100)
        if kill % 2:
            running.rotate()
    running.stop()
    running.start()
    async with start(tmp_path, running) as pfwatch:
        write(10)
        written = running.count()
        await pfwatch.until(written, "pfwatch_lines_total")
        assert await pfwatch.sum_of("postfix_sasl_failures_total") == written
        await pfwatch.end(signal.SIGTERM)
    running.logger_logs(b"typed\n" * 3)
    forged = running.count() - written
    async with start(tmp_path, running) as pfwatch:
        await pfwatch.until(forged, "pfwatch_journal_forged_total")
        assert await pfwatch.sum_of("pfwatch_lines_total") == written
        await pfwatch.end(signal.SIGTERM)
    async with start(tmp_path, running) as pfwatch:
        running.smtpd_logs(b"lost connection after CONNECT from unknown[192.0.2.7]\n")
        await pfwatch.until(written + 1, "pfwatch_lines_total")
        assert await pfwatch.sum_of("pfwatch_journal_forged_total") == forged
        await pfwatch.end(signal.SIGTERM)
