"""`pfwatch demo`: a real attack through the live daemon, with a mail server and a clock of its own.

The sample log is written line by line into a file that the daemon follows, as a mail server would write it, only
faster; the alert goes by SMTP to a server in this process.
"""

import asyncio
import contextlib
import email
import email.policy
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import click

from pfwatch.cli.options import RUNTIME, fail

_STORY = "brute-force.log"
_SPEED = 20.0
_GIVE_UP = 60.0
"""Seconds of real time after which the demonstration has failed."""


@click.command()
@click.option("--once", is_flag=True, help="End by itself after the alert mail; else /metrics is served until Ctrl-C.")
def demo(*, once: bool) -> None:
    """Replay a real attack through the live daemon and show the alert mail it would send.

    Needs no mail server, no configuration and no rights. The log was written by a real Postfix under a real
    brute-force attack.
    """
    try:
        import aiosmtpd.controller  # noqa: F401 - only to say it early when it is missing
    except ImportError:
        fail("the demonstration needs a mail server to send to: pip install 'pfwatch[demo]'", RUNTIME)
    from pfwatch.store.errors import StateError
    from pfwatch.web.server import WebError

    try:
        asyncio.run(_until_stopped(_Demo(once=once)))
    except TimeoutError:
        fail(f"no alert mail came within {_GIVE_UP:g} seconds", RUNTIME)
    except (StateError, WebError, OSError) as error:
        fail(str(error), RUNTIME)
    except asyncio.CancelledError:
        click.echo()


async def _until_stopped(actors: "_Demo") -> None:
    """Ctrl-C and SIGTERM end it tidily, also where a shell started it in the background with SIGINT ignored."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
    await actors.run()


class _Clock:
    """The log's time, running faster than the wall's; it stands still until `start`."""

    def __init__(self, begin: float) -> None:
        self._begin = begin
        self._started: float | None = None

    def start(self) -> None:
        self._started = time.monotonic()

    def now(self) -> float:
        if self._started is None:
            return self._begin
        return self._begin + (time.monotonic() - self._started) * _SPEED

    def until(self, at: float) -> float:
        """Real seconds until a moment of the log."""
        return max(0.0, (at - self.now()) / _SPEED)


class _Inbox:
    """A handler for aiosmtpd that hands mails over."""

    def __init__(self) -> None:
        self.mails: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        await self.mails.put(envelope.content)
        return "250 2.0.0 Ok"


class _Demo:
    """The actors: a writer of the log, the daemon, a mail server."""

    def __init__(self, *, once: bool) -> None:
        self._once = once
        self._lines = list(_timed_lines(_story()))
        self._clock = _Clock(self._lines[0][0])
        self._inbox = _Inbox()

    async def run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="pfwatch-demo-") as folder:
            log = _empty_log(folder)
            async with _mail_server(self._inbox) as port:
                await self._watch(log, Path(folder, "state.db"), port)

    async def _watch(self, log: Path, state: Path, port: int) -> None:
        from pfwatch.systemd import Notifier

        daemon, task = await self._start(log, state, port, Notifier(None))
        lasted = self._lines[-1][0] - self._lines[0][0]
        click.echo(
            f"A real brute-force attack: {len(self._lines)} lines that Postfix wrote in {lasted:.0f} seconds, "
            f"{_SPEED:g} times as fast.\nMetrics: {daemon.address}/metrics\n"
        )
        self._clock.start()
        writer = asyncio.create_task(self._write(log))
        try:
            async with asyncio.timeout(_GIVE_UP):
                mail = await self._inbox.mails.get()
                await writer
            click.echo(_as_text(mail))
            if not self._once:
                click.echo(f"\nServing {daemon.address}/metrics until Ctrl-C.")
                await task
        finally:
            writer.cancel()
            daemon.stop()
            await asyncio.gather(writer, task, return_exceptions=True)

    async def _start(self, log: Path, state: Path, port: int, notifier: Any) -> tuple[Any, asyncio.Task[Any]]:
        """The daemon, ready; at another port when somebody has its own."""
        from pfwatch.alerting.settings import MailSettings, SmtpServer
        from pfwatch.daemon import Daemon, DaemonSettings
        from pfwatch.sources.settings import SourceSettings
        from pfwatch.store.settings import StoreSettings
        from pfwatch.web.server import WebError
        from pfwatch.web.settings import WebSettings

        mail = MailSettings(
            ("postmaster@example.org",), "pfwatch@mx1.example.org", SmtpServer("127.0.0.1", port, "none")
        )
        for web in (WebSettings(), WebSettings(port=0)):
            settings = DaemonSettings(
                SourceSettings((str(log),), time_zone="UTC", poll_interval=0.1),
                StoreSettings(str(state)),
                web,
                mail=mail,
            )
            daemon = Daemon(settings, notifier, _say, now=self._clock.now, tick_interval=0.1)
            task = asyncio.create_task(daemon.run())
            ready = asyncio.create_task(daemon.ready.wait())
            await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
            if daemon.ready.is_set():
                return daemon, task
            ready.cancel()
            error = task.exception()
            if not isinstance(error, WebError) or web.port == 0:
                raise error or RuntimeError("the daemon ended early")
            click.echo(f"{error}; taking any free port\n", err=True)
        raise AssertionError("unreachable")

    async def _write(self, log: Path) -> None:
        """Append each line when its time has come."""
        with log.open("ab", buffering=0) as file:
            for at, line in self._lines:
                await asyncio.sleep(self._clock.until(at))
                file.write(line)


def _say(priority: int, text: str) -> None:
    """What the daemon says, as far as it is news in a demonstration."""
    if priority <= 5:
        click.echo(click.style(f"  {text}", dim=True))


@contextlib.asynccontextmanager
async def _mail_server(inbox: _Inbox) -> Any:
    """A mail server on a free port of the loopback."""
    from aiosmtpd.smtp import SMTP

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, hostname="mail.example.org", loop=loop), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _empty_log(folder: str) -> Path:
    """The log before the attack."""
    log = Path(folder, "mail.log")
    log.touch()
    return log


def _story() -> bytes:
    """The sample log: inside the installed package, or in the checkout."""
    here = Path(__file__).parent.parent
    for folder in (here / "data" / "sample-logs", here.parent / "sample-logs"):
        if (folder / _STORY).exists():
            return (folder / _STORY).read_bytes()
    return fail(f"sample-logs/{_STORY} is missing from this installation", RUNTIME)


def _timed_lines(story: bytes) -> Iterator[tuple[float, bytes]]:
    """Each line with its time, seconds since the epoch; those of one second spread over it."""
    from pfwatch.records.time import TimeReader

    times = TimeReader(UTC)
    times.expect(time.time())
    for line in story.splitlines(keepends=True):
        moment = times.read(line[:15])
        if moment is not None:
            yield moment.at, line


def _as_text(mail: bytes) -> str:
    """The head and the text part of a mail, as a mail program shows them."""
    message = email.message_from_bytes(mail, _class=EmailMessage, policy=email.policy.default)
    head = "\n".join(f"{name}: {message[name]}" for name in ("From", "To", "Subject", "Date"))
    body = message.get_body(("plain",))
    width = min(76, os.get_terminal_size().columns if os.isatty(1) else 76)
    return f"{'─' * width}\n{head}\n\n{body.get_content().rstrip() if body else ''}\n{'─' * width}"
