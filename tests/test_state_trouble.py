"""The state in trouble, each time a real one: it is said, mails go out all the same, and afterwards nothing is missing.

Every story ends with a restart: what pfwatch has then is what is in the database.
"""

import asyncio
import contextlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests import test_daemon
from tests.alerting.mailserver import Postmaster, mail_server
from tests.bench.generate import generate
from tests.test_daemon import FAILED, HOUR, STORY, Configure, Running, append, configure, story

__all__ = ["configure"]  # a fixture

start = partial(test_daemon.start, patience=40)  # pfwatch itself waits between two attempts
SECOND = "192.0.2.7"
OVER = "the state is committed again"


async def healthy(pfwatch: Running) -> tuple[int, str]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{pfwatch.address}/-/healthy")
    return answer.status_code, answer.text


async def mails(postmaster: Postmaster, count: int) -> None:
    while len(postmaster.mails) < count:
        await postmaster.arrived.wait()
        postmaster.arrived.clear()


async def attacks(folder: Path, pfwatch: Running, postmaster: Postmaster, trouble: str) -> None:
    """Two attacks while nothing can be committed; both are mailed, and what is the matter is said and shown."""
    before = len(postmaster.mails)
    append(folder, story(time.time()))
    await pfwatch.says(trouble)
    await mails(postmaster, before + 1)
    append(folder, story(time.time(), SECOND))
    await mails(postmaster, before + 2)
    assert {mail["Subject"].split()[-1] for mail in postmaster.mails[before:]} >= {SECOND}
    assert await pfwatch.sum_of("pfwatch_store_up") == 0
    status, text = await healthy(pfwatch)
    assert (status, trouble in text) == (503, True)


async def is_well(pfwatch: Running) -> None:
    assert await pfwatch.sum_of("pfwatch_store_up") == 1
    assert await healthy(pfwatch) == (200, "healthy\n")


async def has_all(pfwatch: Running, stories: int) -> None:
    await pfwatch.until(stories * len(STORY), "pfwatch_lines_total")
    assert await pfwatch.sum_of("postfix_sasl_failures_total") == stories * FAILED


def set_aside(folder: Path) -> list[Path]:
    return list(folder.glob("state.db.corrupt-*Z"))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program is at work on the database."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_while_the_database_is_locked_mails_go_out_and_afterwards_nothing_comes_twice(
    tmp_path: Path, configure: Configure
) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        async with start(tmp_path) as pfwatch:
            await pfwatch.until(0, "pfwatch_lines_total")
            with locked(tmp_path / "state.db"):
                await attacks(tmp_path, pfwatch, postmaster, "another process has locked it")
                assert await pfwatch.sum_of("pfwatch_lines_total") == 0  # shown once they are durable
            await pfwatch.says(OVER)
            await has_all(pfwatch, 2)
            await is_well(pfwatch)
            await pfwatch.end(signal.SIGKILL)
        async with start(tmp_path) as pfwatch:
            await has_all(pfwatch, 2)
            await pfwatch.until(2, "pfwatch_notifications_total", result="sent")
            append(tmp_path, story(time.time()))
            await has_all(pfwatch, 3)
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(postmaster.mails) == 2


async def test_a_kill_while_the_database_is_locked_may_repeat_a_mail_as_the_same_mail(
    tmp_path: Path, configure: Configure
) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        async with start(tmp_path) as pfwatch:
            with locked(tmp_path / "state.db"):
                await attacks(tmp_path, pfwatch, postmaster, "another process has locked it")
                await pfwatch.end(signal.SIGKILL)
        async with start(tmp_path) as pfwatch:
            await has_all(pfwatch, 2)
            await pfwatch.until(2, "pfwatch_incidents_total")
            await pfwatch.until(2, "pfwatch_notifications_total", result="sent")
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len({mail["Message-ID"] for mail in postmaster.mails}) == 2


async def test_a_reload_while_the_database_is_locked_mails_nothing_twice(tmp_path: Path, configure: Configure) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        async with start(tmp_path) as pfwatch:
            with locked(tmp_path / "state.db"):
                await attacks(tmp_path, pfwatch, postmaster, "another process has locked it")
                pfwatch.process.send_signal(signal.SIGHUP)
                await pfwatch.says("metrics on ")
                await pfwatch.says("another process has locked it")
            await pfwatch.says(OVER)
            await has_all(pfwatch, 2)
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(postmaster.mails) == 2


async def test_a_stop_while_the_database_is_locked_and_the_mail_server_silent_takes_less_than_five_seconds(
    tmp_path: Path, configure: Configure
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, and nobody ever answers
        configure(silent.getsockname()[1])
        async with start(tmp_path) as pfwatch:
            with locked(tmp_path / "state.db"):
                append(tmp_path, story(time.time()))
                await pfwatch.says("another process has locked it")
                begin = time.monotonic()
                assert await pfwatch.end(signal.SIGTERM) == 0
                assert time.monotonic() - begin < 5
        async with start(tmp_path) as pfwatch:
            await has_all(pfwatch, 1)


async def test_a_mail_server_that_never_answers_stops_neither_reading_nor_a_stop(
    tmp_path: Path, configure: Configure
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        configure(silent.getsockname()[1])
        async with start(tmp_path) as pfwatch:
            append(tmp_path, story(time.time()))
            peer, _ = await asyncio.get_running_loop().sock_accept(silent)
            with peer:
                append(tmp_path, story(time.time(), SECOND))
                await has_all(pfwatch, 2)
                begin = time.monotonic()
                assert await pfwatch.end(signal.SIGTERM) == 0
                assert time.monotonic() - begin < 5


async def test_a_database_deleted_while_pfwatch_runs_is_written_anew(tmp_path: Path, configure: Configure) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        async with start(tmp_path) as pfwatch:
            append(tmp_path, story(time.time()))
            await has_all(pfwatch, 1)
            for suffix in ("", "-wal", "-shm"):
                (tmp_path / f"state.db{suffix}").unlink()
            append(tmp_path, story(time.time(), SECOND))
            await pfwatch.says("state.db was deleted or replaced while pfwatch was running; a new one is written")
            await has_all(pfwatch, 2)
            await pfwatch.until(2, "pfwatch_notifications_total", result="sent")
            await pfwatch.end(signal.SIGKILL)
        async with start(tmp_path) as pfwatch:
            await has_all(pfwatch, 2)
            assert await pfwatch.sum_of("pfwatch_incidents_total") == 2
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(postmaster.mails) == 2


async def test_a_database_damaged_while_pfwatch_runs_is_set_aside_and_written_anew(
    tmp_path: Path, configure: Configure
) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        async with start(tmp_path) as pfwatch:
            append(tmp_path, story(time.time()))
            await pfwatch.until(1, "pfwatch_notifications_total", result="sent")
            assert await pfwatch.end(signal.SIGTERM) == 0
        async with start(tmp_path) as pfwatch:
            await has_all(pfwatch, 1)
            database = tmp_path / "state.db"
            with database.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xaa" * (database.stat().st_size - 4096))
            append(tmp_path, story(time.time(), SECOND))
            await pfwatch.says("is damaged (")
            await has_all(pfwatch, 2)
            await pfwatch.end(signal.SIGKILL)
        assert len(set_aside(tmp_path)) == 1
        async with start(tmp_path) as pfwatch:
            await has_all(pfwatch, 2)
            await pfwatch.until(2, "pfwatch_notifications_total", result="sent")
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(postmaster.mails) == 2


async def test_a_database_damaged_at_the_start_is_set_aside_and_the_last_day_read_again(
    tmp_path: Path, configure: Configure
) -> None:
    configure()
    append(tmp_path, story(time.time() - 7200))
    async with start(tmp_path) as pfwatch:
        await has_all(pfwatch, 1)
        assert await pfwatch.end(signal.SIGTERM) == 0
    with (tmp_path / "state.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xaa" * 16384)
    async with start(tmp_path, ready=False) as pfwatch:
        said = await pfwatch.says("is damaged (")
        assert "corrupt-" in said
        assert "begin anew" in said
        await pfwatch.says("metrics on ")
        await has_all(pfwatch, 1)


class SmallDisk:
    """A disk of one megabyte in a mount namespace of its own, for the state of a daemon in that namespace."""

    def __init__(self, holder: asyncio.subprocess.Process, folder: Path) -> None:
        self.command = ("nsenter", "--preserve-credentials", "-U", "-m", "-t", str(holder.pid), "--")
        self.path = Path(f"/proc/{holder.pid}/root") / folder.relative_to("/")
        self._mounted = folder

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.path / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def empty(self) -> None:
        (self.path / "ballast").unlink()

    def remount(self, option: str) -> None:
        self._run("mount", "-o", f"remount,{option}", self._mounted)

    def hide(self) -> None:
        """Mount an empty disk that takes nothing in its place."""
        self._run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", self._mounted)

    def show(self) -> None:
        self._run("umount", self._mounted)

    def _run(self, *command: str | Path) -> None:
        subprocess.run([*self.command, *command], check=True, timeout=10)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[SmallDisk]:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("unshare and nsenter are missing (Debian: apt-get install util-linux)")
    folder = tmp_path / "state"
    folder.mkdir()
    holder = await asyncio.create_subprocess_exec(
        "unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$1" && echo mounted && exec cat', "sh", folder,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        if await holder.stdout.readline() != b"mounted\n":
            _, said = await holder.communicate()
            pytest.skip(f"this machine allows no mount namespaces: {said.decode().strip()}")
        yield SmallDisk(holder, folder)
    finally:
        holder.stdin.close()
        await holder.wait()


def on_the_disk(folder: Path) -> None:
    config = folder / "pfwatch.toml"
    config.write_text(config.read_text().replace(f"{folder}/state.db", f"{folder}/state/state.db"))


async def test_on_a_full_disk_mails_go_out_and_afterwards_nothing_comes_twice(
    tmp_path: Path, configure: Configure, disk: SmallDisk
) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        on_the_disk(tmp_path)
        async with start(tmp_path, within=disk.command) as pfwatch:
            disk.fill()
            await attacks(tmp_path, pfwatch, postmaster, "the disk is full")
            disk.empty()
            await pfwatch.says(OVER)
            await has_all(pfwatch, 2)
            await is_well(pfwatch)
            await pfwatch.end(signal.SIGKILL)
        async with start(tmp_path, within=disk.command) as pfwatch:
            await has_all(pfwatch, 2)
            await pfwatch.until(2, "pfwatch_notifications_total", result="sent")
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(postmaster.mails) == 2


@pytest.mark.parametrize(
    ("trouble", "first"),
    [
        ("the disk is full", signal.SIGTERM),
        ("the disk is full", None),
        ("is read-only", signal.SIGKILL),
        ("is read-only", None),
    ],
)
async def test_a_start_without_a_place_for_the_state_goes_on_from_the_last_commit_and_is_kept_later(
    tmp_path: Path, configure: Configure, disk: SmallDisk, trouble: str, first: signal.Signals | None
) -> None:
    stories, postmaster = int(first is not None), Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        on_the_disk(tmp_path)
        if first:
            async with start(tmp_path, within=disk.command) as pfwatch:
                append(tmp_path, story(time.time(), "192.0.2.9"))
                await has_all(pfwatch, 1)
                await pfwatch.until(1, "pfwatch_notifications_total", result="sent")
                await pfwatch.end(first)
        disk.fill() if trouble == "the disk is full" else disk.remount("ro")
        async with start(tmp_path, ready=False, within=disk.command) as pfwatch:
            await pfwatch.says(trouble)
            await pfwatch.says("metrics on ")
            await has_all(pfwatch, stories)
            append(tmp_path, story(time.time()))
            await mails(postmaster, stories + 1)
            disk.empty() if trouble == "the disk is full" else disk.remount("rw")
            await pfwatch.says(OVER)
            await has_all(pfwatch, stories + 1)
            await is_well(pfwatch)
            await pfwatch.end(signal.SIGKILL)
        async with start(tmp_path, within=disk.command) as pfwatch:
            await has_all(pfwatch, stories + 1)
            assert await pfwatch.sum_of("pfwatch_notifications_total", result="sent") == stories + 1
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(postmaster.mails) == stories + 1


async def test_a_full_disk_under_its_own_messages_does_not_end_pfwatch(tmp_path: Path, configure: Configure) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        async with start(tmp_path, ready=False, within=("sh", "-c", 'exec "$@" 2>/dev/full', "sh")) as pfwatch:
            await pfwatch.manager.hears("READY=1")
            append(tmp_path, story(time.time()))
            await mails(postmaster, 1)
            assert await pfwatch.end(signal.SIGTERM) == 0


async def test_a_disk_that_is_mounted_late_is_gone_on_with_and_not_overwritten(
    tmp_path: Path, configure: Configure, disk: SmallDisk
) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        on_the_disk(tmp_path)
        async with start(tmp_path, within=disk.command) as pfwatch:
            append(tmp_path, story(time.time() - 30 * HOUR, "192.0.2.9"))  # no first start would read that far back
            await has_all(pfwatch, 1)
            assert await pfwatch.end(signal.SIGTERM) == 0
        disk.hide()
        async with start(tmp_path, ready=False, within=disk.command) as pfwatch:
            await pfwatch.says("is read-only")
            await pfwatch.says("metrics on ")
            append(tmp_path, story(time.time()))
            await mails(postmaster, 1)
            disk.show()
            await pfwatch.says("is there now: pfwatch goes on from what is in it")
            await pfwatch.says("metrics on ")
            await has_all(pfwatch, 2)
            await pfwatch.until(2, "pfwatch_incidents_total")
            await is_well(pfwatch)
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(postmaster.mails) == 1


FLOOD = 800_000
"""Lines: so many that it is still reading when it looks how late it is, which it does each second."""
NOBODY = "203.0.113.251"
"""Is not in the flood."""


def memory(process: int) -> int:
    """The greatest number of bytes that a process had in memory so far."""
    (line,) = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def test_a_flood_while_nothing_can_be_committed_is_read_in_bounded_memory_with_the_lag_shown(
    tmp_path: Path, configure: Configure
) -> None:
    flood = b"".join(generate(FLOOD, "attack", form="iso"))
    configure()
    async with start(tmp_path) as pfwatch:
        with locked(tmp_path / "state.db"):
            append(tmp_path, story(time.time()))
            await pfwatch.says("another process has locked it")
            before = memory(pfwatch.process.pid)
            # It has much to say meanwhile, and would wait for somebody to listen.
            last = asyncio.create_task(pfwatch.says(f"incident opened: auth-bruteforce: {NOBODY}"))
            append(tmp_path, flood + story(time.time(), NOBODY))
            while not await pfwatch.sum_of("pfwatch_source_lag_seconds") > 86_400:
                pass  # the flood is months old
            await last
            while await pfwatch.sum_of("pfwatch_source_lag_seconds"):
                pass
            assert memory(pfwatch.process.pid) - before < 60 * 1024 * 1024
        await pfwatch.says(OVER)
        await pfwatch.until(FLOOD + 2 * len(STORY), "pfwatch_lines_total")
        assert await pfwatch.end(signal.SIGTERM) == 0
