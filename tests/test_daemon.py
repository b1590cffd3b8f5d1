"""The daemon as an administrator has it: a process, a growing log, a mail server, a service manager, Prometheus."""

import asyncio
import contextlib
import os
import random
import re
import select
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.alerting.mailserver import Postmaster, mail_server

STORY = (Path(__file__).parent.parent / "sample-logs" / "brute-force.log").read_bytes().splitlines(keepends=True)
ATTACKER = "100.93.122.226"
FAILED = sum(b"]: SASL " in line and b" authentication failed" in line for line in STORY)
HOUR = 3600
PATIENCE = 10.0


def story(at: float, subject: str = ATTACKER) -> bytes:
    """The attack of the sample log as it would have been within one second, by some client."""
    stamp = time.strftime("%b %e %H:%M:%S", time.gmtime(at)).encode()
    return b"".join(stamp + line[15:] for line in STORY).replace(ATTACKER.encode(), subject.encode())


class ServiceManager:
    """Listens where systemd would."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("")  # Linux chooses an abstract name
        self.address = "@" + self._socket.getsockname()[1:].decode()

    async def hears(self, word: str) -> str:
        """The next message with this in it."""
        while True:
            message = (await asyncio.get_running_loop().sock_recv(self._socket, 65536)).decode()
            self.heard.append(message)
            if word in message:
                return message

    def has_news(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        self._socket.close()


class Running:
    """One `pfwatch run`."""

    def __init__(self, process: asyncio.subprocess.Process, manager: ServiceManager) -> None:
        self.process = process
        self.manager = manager
        self.said: list[str] = []
        self.address = ""

    async def says(self, words: str) -> str:
        """The next line on standard error with these words."""
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            line = raw.decode().rstrip()
            self.said.append(line)
            if "metrics on " in line:
                self.address = line.split("metrics on ")[1].removesuffix("/metrics")
            if words in line:
                return line
        raise AssertionError("\n".join([f"it ended without saying {words!r}", *self.said]))

    async def sum_of(self, name: str, **labels: str) -> float:
        """All series of a metric with these labels, as Prometheus would get them now."""
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"{self.address}/metrics")).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def until(self, value: float, name: str, **labels: str) -> None:
        """Until a metric has a value; going beyond it is a failure, too."""
        while (found := await self.sum_of(name, **labels)) != value:
            assert found < value, f"{name} is {found}, beyond {value}"

    async def end(self, number: int) -> int:
        self.process.send_signal(number)
        assert self.process.stderr is not None
        self.said += (await self.process.stderr.read()).decode().splitlines()
        return await self.process.wait()


@contextlib.asynccontextmanager
async def start(
    folder: Path, *, ready: bool = True, within: tuple[str, ...] = (), patience: float = PATIENCE, **environment: str
) -> AsyncIterator[Running]:
    """A daemon with the configuration in a folder; `within`: a command that runs another."""
    manager = ServiceManager()
    process = await asyncio.create_subprocess_exec(
        *within, sys.executable, "-m", "pfwatch", "run", "--config", str(folder / "pfwatch.toml"),
        env=os.environ | {"NOTIFY_SOCKET": manager.address} | environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    running = Running(process, manager)
    try:
        async with asyncio.timeout(patience):
            if ready:
                await running.says("metrics on ")
                await manager.hears("READY=1")
            yield running
    except TimeoutError as error:
        raise TimeoutError("\n".join(["it takes too long. pfwatch said:", *running.said])) from error
    finally:
        if process.returncode is None:
            await running.end(signal.SIGKILL)
        manager.close()


Configure = Callable[..., None]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Writes the configuration; everything in it is quick."""

    def write(mail: int = 9, *, log: Path = tmp_path / "mail.log", group_wait: str = "0s", threshold: object = 10,
              commit: str = "20ms", listen: str = "127.0.0.1:0", more: str = "") -> None:  # fmt: skip
        interval = float(commit.removesuffix("ms")) / 1000
        (tmp_path / "pfwatch.toml").write_text(f"""
            [log]
            paths = ["{log}"]
            time_zone = "UTC"
            poll_interval = 0.02
            [state]
            path = "{tmp_path}/state.db"
            commit_interval = {interval}
            [web]
            listen = "{listen}"
            [alerts]
            group_wait = "{group_wait}"
            grew_factor = 1000000
            [mail]
            to = ["admin@example.org"]
            from = "pfwatch@mx1.example.org"
            host = "127.0.0.1"
            port = {mail}
            tls = "none"
            [detection.auth-bruteforce]
            threshold = {threshold}
            {more}
        """)

    (tmp_path / "mail.log").touch()
    return write


def append(folder: Path, lines: bytes) -> None:
    with (folder / "mail.log").open("ab") as log:
        log.write(lines)


def asked(folder: Path, question: str) -> list[tuple[object, ...]]:
    """What the state database says."""
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as database, database:
        return database.execute(question).fetchall()


async def test_an_attack_brings_one_mail_and_counters_that_equal_the_lines(
    tmp_path: Path, configure: Configure
) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        async with start(tmp_path) as pfwatch:
            append(tmp_path, story(time.time()))
            await postmaster.arrived.wait()
            await pfwatch.until(1, "pfwatch_notifications_total", result="sent")
            await pfwatch.until(len(STORY), "pfwatch_lines_total")
            assert await pfwatch.sum_of("pfwatch_lines_total", fate="foreign") == sum(
                b"dovecot" in one for one in STORY
            )
            assert await pfwatch.sum_of("pfwatch_lines_total", fate="malformed") == 0
            assert await pfwatch.sum_of("postfix_sasl_failures_total") == FAILED
            assert await pfwatch.sum_of("pfwatch_incidents_total", rule="auth-bruteforce") == 1
            assert await pfwatch.sum_of("pfwatch_source_up", source=str(tmp_path / "mail.log")) == 1
    (mail,) = postmaster.mails
    assert mail["To"] == "admin@example.org"
    assert ATTACKER in mail["Subject"]


def open_files(process: int) -> list[str]:
    return [str(file.readlink()) for file in Path(f"/proc/{process}/fd").iterdir() if file.is_symlink()]


async def test_ready_means_that_the_log_is_open(tmp_path: Path, configure: Configure) -> None:
    configure()
    config = tmp_path / "pfwatch.toml"
    config.write_text(config.read_text().replace("[web]", "[web]\nenabled = false"))
    async with start(tmp_path, ready=False) as pfwatch:
        status = await pfwatch.manager.hears("READY=1")
        assert str(tmp_path / "mail.log") in open_files(pfwatch.process.pid)
        assert f"STATUS=Watching {tmp_path}/mail.log" in status


async def test_the_watchdog_is_fed_while_the_log_is_silent(tmp_path: Path, configure: Configure) -> None:
    configure()
    async with start(tmp_path, WATCHDOG_USEC="400000") as pfwatch:
        for _ in range(3):
            async with asyncio.timeout(0.4):  # then systemd would kill it
                await pfwatch.manager.hears("WATCHDOG=1")


async def test_what_was_read_is_kept_by_a_stop_and_the_next_start_goes_on(tmp_path: Path, configure: Configure) -> None:
    configure(commit="60000ms", group_wait="1h")  # only the stop itself commits
    async with start(tmp_path) as pfwatch:
        append(tmp_path, story(time.time()))
        while not await pfwatch.sum_of("pfwatch_source_last_record_timestamp_seconds"):
            pass
        begin = time.monotonic()
        assert await pfwatch.end(signal.SIGTERM) == 0
        assert time.monotonic() - begin < 5
        assert "STOPPING=1" in await pfwatch.manager.hears("STOPPING=1")
    size = (tmp_path / "mail.log").stat().st_size
    assert asked(tmp_path, "SELECT json_extract(position, '$.offset') FROM positions") == [(size,)]
    async with start(tmp_path) as pfwatch:
        assert await pfwatch.sum_of("pfwatch_lines_total") == len(STORY)
        append(tmp_path, story(time.time()))
        assert await pfwatch.end(signal.SIGTERM) == 0
    async with start(tmp_path) as pfwatch:
        configure(commit="20ms", group_wait="1h")
        pfwatch.process.send_signal(signal.SIGHUP)
        await pfwatch.says("metrics on ")
        await pfwatch.until(2 * len(STORY), "pfwatch_lines_total")
        assert await pfwatch.sum_of("postfix_sasl_failures_total") == 2 * FAILED


async def test_a_reload_switches_the_lines_of_dovecot_on(tmp_path: Path, configure: Configure) -> None:
    stamp = time.strftime("%b %e %H:%M:%S", time.gmtime()).encode()
    line = stamp + (
        b" mx1 dovecot: imap-login: Disconnected (auth failed, 3 attempts in 2 secs): user=<carol>, method=PLAIN, "
        b"rip=192.0.2.7, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>\n"
    )
    configure()
    async with start(tmp_path) as pfwatch:
        append(tmp_path, line)
        await pfwatch.until(1, "pfwatch_lines_total", fate="foreign")
        configure(more="[dovecot]\nenabled = true")
        pfwatch.process.send_signal(signal.SIGHUP)
        await pfwatch.says("metrics on ")
        append(tmp_path, line)
        await pfwatch.until(3, "postfix_dovecot_auth_failures_total", protocol="imap", cause="credentials")
        assert await pfwatch.sum_of("pfwatch_lines_total", fate="foreign") == 1


async def test_kills_while_the_log_grows_lose_nothing_and_mail_nothing_twice(
    tmp_path: Path, configure: Configure
) -> None:
    stories, kills = 10, 5
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port, group_wait="4s")
        rows = (story(time.time()) * stories).splitlines(keepends=True)
        for rest in range(kills, 0, -1):
            # Half of them as soon as it is ready, and what it finds then is read as one block or several.
            pieces = random.randrange(2, 12) if rest % 2 else 0
            async with start(tmp_path) as pfwatch:
                for _ in range(pieces):
                    append(tmp_path, b"".join(rows[:17]) + rows[17][:40])  # the kill may come within a line
                    rows = [rows[17][40:], *rows[18:]]
                    await pfwatch.sum_of("pfwatch_lines_total")
                await pfwatch.end(signal.SIGKILL)
            append(tmp_path, b"".join(rows[:100]))
            del rows[:100]
        async with start(tmp_path) as pfwatch:
            append(tmp_path, b"".join(rows))
            await pfwatch.until(stories * len(STORY), "pfwatch_lines_total")
            assert await pfwatch.sum_of("postfix_sasl_failures_total") == stories * FAILED
            await pfwatch.until(1, "pfwatch_notifications_total", result="sent")
            assert await pfwatch.end(signal.SIGTERM) == 0
        async with start(tmp_path) as pfwatch:
            assert await pfwatch.sum_of("postfix_sasl_failures_total") == stories * FAILED
            assert await pfwatch.sum_of("pfwatch_incidents_total") == 1
            assert await pfwatch.end(signal.SIGTERM) == 0
    # A kill between the server's "250" and our note of it cannot be told from one before it: that mail is sent again,
    # as the same mail.
    assert len({mail["Message-ID"] for mail in postmaster.mails}) == 1
    assert asked(tmp_path, "SELECT count(*) FROM outbox WHERE done_at IS NULL") == [(0,)]


async def test_a_reload_takes_the_new_configuration(tmp_path: Path, configure: Configure) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port, threshold=1000)
        async with start(tmp_path) as pfwatch:
            append(tmp_path, story(time.time()))
            await pfwatch.until(len(STORY), "pfwatch_lines_total")
            configure(server.port)
            pfwatch.process.send_signal(signal.SIGHUP)
            await pfwatch.manager.hears("RELOADING=1")
            await pfwatch.manager.hears("READY=1")
            await pfwatch.says("metrics on ")
            append(tmp_path, story(time.time(), "192.0.2.7"))
            await postmaster.arrived.wait()
            assert await pfwatch.sum_of("pfwatch_config_last_reload_successful") == 1
            assert not [message for message in pfwatch.manager.heard if "STOPPING=1" in message]
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert "192.0.2.7" in postmaster.mails[0]["Subject"]


@pytest.mark.parametrize("mistake", ["problems", "directory", "port"])
async def test_a_wrong_reload_says_why_and_goes_on_with_the_old_configuration(
    tmp_path: Path, configure: Configure, mistake: str
) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        configure(server.port)
        async with start(tmp_path) as pfwatch:
            if mistake == "problems":
                configure(server.port, threshold='"many"', more="windw = 3")
                expected = [
                    "pfwatch.toml:21:25: detection.auth-bruteforce.threshold",
                    "pfwatch.toml:22:13: detection.auth-bruteforce.windw",
                ]
            elif mistake == "directory":
                configure(server.port, log=tmp_path)
                expected = ["is a directory; name the log file in it"]
            else:
                configure(server.port, listen=f"127.0.0.1:{server.port}")
                expected = [f"cannot serve /metrics on 127.0.0.1 port {server.port}"]
            pfwatch.process.send_signal(signal.SIGHUP)
            for words in expected:
                await pfwatch.says(words)
            await pfwatch.says("metrics on ")
            append(tmp_path, story(time.time()))
            await postmaster.arrived.wait()
            assert await pfwatch.sum_of("pfwatch_config_last_reload_successful") == 0
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert not [line for line in pfwatch.said if "Traceback" in line]


def catches(process: int, number: int) -> bool:
    """Whether the process has a handler for a signal now."""
    (caught,) = re.findall(r"^SigCgt:\s+(\w+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return bool(int(caught, 16) >> number - 1 & 1)


async def test_a_reload_during_a_reload_does_not_end_it(tmp_path: Path, configure: Configure) -> None:
    configure()
    async with start(tmp_path) as pfwatch:
        pfwatch.process.send_signal(signal.SIGHUP)
        await pfwatch.manager.hears("RELOADING=1")
        while not pfwatch.manager.has_news():
            assert catches(pfwatch.process.pid, signal.SIGHUP), "a signal would kill it now"
        pfwatch.process.send_signal(signal.SIGHUP)
        await pfwatch.manager.hears("READY=1")
        assert await pfwatch.end(signal.SIGTERM) == 0


async def test_a_stop_in_the_middle_of_a_reload_ends_it(tmp_path: Path, configure: Configure) -> None:
    configure()
    async with start(tmp_path) as pfwatch:
        pfwatch.process.send_signal(signal.SIGHUP)
        await pfwatch.manager.hears("RELOADING=1")
        assert await pfwatch.end(signal.SIGTERM) == 0


async def test_a_first_start_reads_a_day_and_mails_nothing_old(tmp_path: Path, configure: Configure) -> None:
    configure()
    now = time.time()
    append(tmp_path, story(now - 30 * HOUR) * 10 + story(now - 2 * HOUR, "192.0.2.7") + story(now - 60)[:1])
    append(tmp_path, story(now - 60)[1:].splitlines(keepends=True)[0])
    async with start(tmp_path) as pfwatch:
        await pfwatch.until(len(STORY) + 1, "pfwatch_lines_total")
        await pfwatch.until(1, "pfwatch_incidents_total")
        await pfwatch.until(1, "pfwatch_notifications_suppressed_total", reason="too_old")
        assert await pfwatch.sum_of("postfix_sasl_failures_total") == FAILED
        assert await pfwatch.end(signal.SIGTERM) == 0
    assert asked(tmp_path, "SELECT count(*) FROM outbox") == [(0,)]


async def test_a_log_that_is_not_there_yet_is_said_and_read_when_it_appears(
    tmp_path: Path, configure: Configure
) -> None:
    configure()
    (tmp_path / "mail.log").unlink()
    async with start(tmp_path) as pfwatch:
        assert "mail.log does not exist" in pfwatch.manager.heard[-1]
        await pfwatch.says("mail.log does not exist; check the path")
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{pfwatch.address}/-/healthy")
        assert (answer.status_code, "does not exist" in answer.text) == (503, True)
        append(tmp_path, story(time.time()))
        await pfwatch.until(len(STORY), "pfwatch_lines_total")
        await pfwatch.says("every source can be read again")


async def test_the_logs_of_several_hosts_by_one_pattern_with_new_ones_while_it_runs(
    tmp_path: Path, configure: Configure
) -> None:
    configure(log=tmp_path / "hosts" / "*" / "mail.log", group_wait="1h")
    logs = [tmp_path / "hosts" / host / "mail.log" for host in ("mx1", "mx2", "mx3")]
    for log in logs:
        log.parent.mkdir(parents=True)
    for log in logs[:2]:
        log.write_bytes(story(time.time()))
    async with start(tmp_path) as pfwatch:
        for log in logs[:2]:
            await pfwatch.until(len(STORY), "pfwatch_lines_total", source=str(log))
        logs[2].write_bytes(story(time.time()))
        await pfwatch.until(len(STORY), "pfwatch_lines_total", source=str(logs[2]))
        logs[2].rename(logs[2].with_name("mail.log.1"))
        logs[2].write_bytes(story(time.time()))
        await pfwatch.until(2 * len(STORY), "pfwatch_lines_total", source=str(logs[2]))
        await pfwatch.end(signal.SIGKILL)
    with logs[0].open("ab") as file:
        file.write(story(time.time()))
    async with start(tmp_path) as pfwatch:
        await pfwatch.until(5 * len(STORY), "pfwatch_lines_total")
        assert await pfwatch.sum_of("pfwatch_source_up") == 3
        assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(asked(tmp_path, "SELECT source FROM positions")) == 3


async def test_a_log_that_vanished_while_down_is_said_counted_and_kept_once(
    tmp_path: Path, configure: Configure
) -> None:
    configure()
    log, name = tmp_path / "mail.log", str(tmp_path / "mail.log")
    async with start(tmp_path) as pfwatch:
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"{pfwatch.address}/metrics")).text
            while f'pfwatch_losses_total{{reason="rotated_away",source="{name}"}} 0.0' not in text:  # before the first
                text = (await client.get(f"{pfwatch.address}/metrics")).text
        append(tmp_path, story(time.time()))
        await pfwatch.until(len(STORY), "pfwatch_lines_total")
        assert await pfwatch.end(signal.SIGTERM) == 0
    log.unlink()
    log.touch()
    async with start(tmp_path, ready=False, JOURNAL_STREAM="8:1") as pfwatch:  # and no line comes
        assert "<4>" in await pfwatch.says("is not beside it as a rotated one")
        await pfwatch.says("metrics on ")
        await pfwatch.until(1, "pfwatch_losses_total", source=name, reason="rotated_away")
        await pfwatch.end(signal.SIGKILL)
    async with start(tmp_path) as pfwatch:
        append(tmp_path, story(time.time()))
        await pfwatch.until(2 * len(STORY), "pfwatch_lines_total")
        assert await pfwatch.sum_of("pfwatch_losses_total") == 1
        assert await pfwatch.end(signal.SIGTERM) == 0
    ((at, source, reason, lines),) = asked(tmp_path, "SELECT at, source, reason, lines FROM losses")
    assert (source, reason, lines) == (name, "rotated_away", None)
    assert isinstance(at, float)
    assert 0 <= time.time() - at < PATIENCE * 3


def memory(process: int, what: str) -> int:
    """`VmRSS` now or `VmHWM` at most, in bytes."""
    (kilobytes,) = re.findall(rf"^{what}:\s+(\d+) kB$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024


async def test_a_disk_that_takes_no_commit_does_not_stop_the_reading_of_a_flood(
    tmp_path: Path, configure: Configure
) -> None:
    configure(group_wait="1h", more="[detection.tls-client-failures]\nenabled = false")
    flood, last = 600, time.time()
    async with start(tmp_path) as pfwatch:
        append(tmp_path, story(last - 3600) * 5)
        await pfwatch.until(5 * len(STORY), "pfwatch_lines_total")
        before = memory(pfwatch.process.pid, "VmRSS")
        with contextlib.closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as disk:
            disk.execute("BEGIN IMMEDIATE")  # nobody else can write now
            append(tmp_path, story(last - 60) * flood + story(last))
            while await pfwatch.sum_of("pfwatch_source_last_record_timestamp_seconds") < int(last):
                pass
            while await pfwatch.sum_of("pfwatch_source_lag_seconds") != 0:
                pass
            assert await pfwatch.sum_of("pfwatch_lines_total") < (5 + flood) * len(STORY)  # nothing is shown too early
            disk.execute("ROLLBACK")
        await pfwatch.until((5 + flood + 1) * len(STORY), "pfwatch_lines_total")
        assert await pfwatch.sum_of("postfix_sasl_failures_total") == (5 + flood + 1) * FAILED
        assert memory(pfwatch.process.pid, "VmHWM") - before < 24 * 1024 * 1024
        assert await pfwatch.end(signal.SIGTERM) == 0
    size = (tmp_path / "mail.log").stat().st_size
    assert asked(tmp_path, "SELECT json_extract(position, '$.offset') FROM positions") == [(size,)]


async def test_a_mail_server_that_never_answers_does_not_stop_the_reading(tmp_path: Path, configure: Configure) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        configure(silent.getsockname()[1])
        async with start(tmp_path) as pfwatch:
            append(tmp_path, story(time.time()))
            connection, _ = await asyncio.get_running_loop().run_in_executor(None, silent.accept)
            with connection:  # and not a word
                for more in range(2, 6):
                    append(tmp_path, story(time.time()))
                    await pfwatch.until(more * len(STORY), "pfwatch_lines_total")
                assert await pfwatch.sum_of("pfwatch_notifications_total") == 0
                assert await pfwatch.end(signal.SIGTERM) == 0


async def test_the_second_daemon_on_one_state_ends_and_names_the_first(tmp_path: Path, configure: Configure) -> None:
    configure()
    async with start(tmp_path) as first, start(tmp_path, ready=False) as second:
        await second.says(f"is in use by another pfwatch (process {first.process.pid})")
        assert await second.process.wait() == 3
        assert await first.sum_of("pfwatch_source_up") == 1


async def test_a_mail_waits_for_its_server_and_arrives_once(tmp_path: Path, configure: Configure) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        port = closed.getsockname()[1]
        configure(port)
        async with start(tmp_path) as pfwatch:
            append(tmp_path, story(time.time()))
            await pfwatch.says("not delivered, it is tried again")
            await pfwatch.until(1, "pfwatch_notifications_total", result="retried")
            assert await pfwatch.end(signal.SIGTERM) == 0
    ((attempts, next_try),) = asked(tmp_path, "SELECT attempts, next_try FROM outbox WHERE done_at IS NULL")
    assert attempts == 1
    assert isinstance(next_try, float)
    assert 30 < next_try - time.time() <= 60
    asked(tmp_path, "UPDATE outbox SET next_try = next_try - 60")  # a minute passes
    postmaster = Postmaster()
    async with mail_server(postmaster, port=port):
        async with start(tmp_path) as pfwatch:
            await pfwatch.until(1, "pfwatch_notifications_total", result="sent")
            assert await pfwatch.end(signal.SIGTERM) == 0
        async with start(tmp_path) as pfwatch:
            append(tmp_path, story(time.time()))
            await pfwatch.until(2 * len(STORY), "pfwatch_lines_total")
            assert await pfwatch.end(signal.SIGTERM) == 0
    assert len(postmaster.mails) == 1
    assert asked(tmp_path, "SELECT attempts, error FROM outbox WHERE done_at IS NOT NULL") == [(1, None)]
