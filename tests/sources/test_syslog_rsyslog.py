"""rsyslog, as it is shipped and with the configuration that we ship, forwards to pfwatch and loses nothing."""

import asyncio
import contextlib
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from pfwatch.events import ClientConnected
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from pfwatch.sources.settings import Listen, SyslogSettings
from pfwatch.sources.syslog.receiver import SyslogReceiver
from tests.sources.receiving import HERE, PATIENCE, Authority, Receiving, needs, receiving, running, until

SHIPPED = Path(__file__).parents[2] / "config" / "rsyslog"
RSYSLOG = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin:/bin") or "rsyslogd"
BODY = "connect from unknown[192.0.2.9]"
TAG = "postfix/submission/smtpd[1234567]"

pytestmark = needs("rsyslogd", "rsyslog")


def has_driver(name: str) -> bool:
    return any(Path(root).glob(f"**/rsyslog/{name}.so") for root in ("/usr/lib", "/usr/lib64") if Path(root).is_dir())


class Rsyslog:
    """A syslog daemon with a socket of its own."""

    def __init__(self, directory: Path, action: str) -> None:
        self.directory = directory
        self._socket = directory / "log"
        self._configuration = directory / "rsyslog.conf"
        (directory / "work").mkdir(exist_ok=True)
        self._configuration.write_text(
            f'global(workDirectory="{directory}/work")\n'
            'module(load="imuxsock" SysSock.Use="off")\n'
            f'input(type="imuxsock" Socket="{self._socket}" RateLimit.Interval="0" UseSysTimeStamp="off" '
            f'IgnoreTimestamp="off")\n{action}\n'
        )
        self._process: asyncio.subprocess.Process | None = None
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            RSYSLOG, "-n", "-f", self._configuration, "-i", self.directory / "pid",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await until(self._socket.exists)
        await until(self._connect)

    def _connect(self) -> bool:
        with contextlib.suppress(OSError):
            self._sender.connect(str(self._socket))
            return True
        return False

    async def log(self, begin: int, end: int) -> None:
        """As Postfix would."""
        self._sender.setblocking(False)
        for number in range(begin, end):
            line = f"<22>Nov 22 09:53:31 {TAG}: {BODY} {number}".encode()
            await asyncio.get_running_loop().sock_sendall(self._sender, line)

    async def stop(self) -> None:
        self._sender.close()
        if self._process and self._process.returncode is None:
            self._process.terminate()
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()


@contextlib.asynccontextmanager
async def rsyslog(action: str) -> AsyncIterator[Rsyslog]:
    # Not pytest's directory: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pfwatch") as directory:
        daemon = Rsyslog(Path(directory), action)
        try:
            await daemon.start()
            yield daemon
        finally:
            await daemon.stop()


def shipped(name: str, port: int, **paths: Path) -> str:
    """What we ship, for another address and other files."""
    text = (SHIPPED / name).read_text()
    text = re.sub(r'(?m)^( *target=)"[^"]*"', rf'\1"{HERE}"', text)
    text = re.sub(r'(?m)^( *port=)"[^"]*"', rf'\1"{port}"', text)
    for key, path in paths.items():
        text = re.sub(rf'(?m)^( *streamDriver\.{key}=)"[^"]*"', rf'\1"{path}"', text)
    return text


def numbers(received: Receiving) -> list[int]:
    return [int(line.rsplit(b" ", 1)[1]) for line in received.lines]


@pytest.mark.parametrize(
    ("transport", "action"),
    [
        ("udp", 'protocol="udp"'),
        ("tcp", 'protocol="tcp"'),
        ("tcp", 'protocol="tcp" TCP_Framing="octet-counted"'),
        ("tcp", 'protocol="tcp" template="RSYSLOG_TraditionalForwardFormat"'),
        ("tcp", 'protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"'),
    ],
)
async def test_rsyslogs_own_ways_are_received(transport: str, action: str) -> None:
    async with (
        receiving(transport) as received,
        rsyslog(f'mail.* action(type="omfwd" target="{HERE}" port="{received.port()}" {action})') as daemon,
    ):
        await daemon.log(0, 500)
        await received.has(500)
        assert numbers(received) == list(range(500))


async def test_what_we_ship_keeps_the_whole_tag_and_the_zone_of_the_time() -> None:
    async with receiving("tcp") as received, rsyslog(shipped("pfwatch.conf", received.port())) as daemon:
        await daemon.log(0, 1)
        await received.has(1)
    sessions = Sessions()
    scanner = Scanner(sessions, TimeReader(), every_event=True)
    scanner.scan(b"".join(received.lines).replace(b"] 0\n", b"]\n"), 4e9)
    (event,) = sessions.take()
    assert isinstance(event, ClientConnected)
    assert (event.envelope.service, event.envelope.daemon, event.envelope.pid) == (
        "postfix/submission",
        "smtpd",
        1_234_567,
    )
    assert re.match(rb"<22>[0-9]{4}-11-22T09:53:31[+-][0-9:]{5} ", received.lines[0])


async def restarted_under_load(name: str, count: int, ends: int, settings: SyslogSettings, **paths: Path) -> list[int]:
    """The numbers of the lines that arrive when the receiver ends so often while rsyslog sends."""
    lines: list[int] = []
    (listen,) = settings.listen
    async with contextlib.AsyncExitStack() as stack:
        for part in range(ends + 1):
            receiver = SyslogReceiver(msgspec.structs.replace(settings, listen=(listen,)))
            async with running(receiver) as received:
                if part == 0:
                    listen = receiver.addresses[0]
                    daemon = await stack.enter_async_context(rsyslog(shipped(name, listen.port, **paths)))
                    logging = asyncio.create_task(daemon.log(0, count))
                if part < ends and len(set(lines)) < count:
                    await received.has(1)
                else:
                    # What came twice is counted twice: then it may take another look.
                    await received.has(count - len(set(lines)))
                    await until(lambda: len({*lines, *numbers(received)}) == count)  # noqa: B023 - waited for here
            lines += numbers(received)
        await logging
    return lines


async def test_nothing_is_lost_while_pfwatch_restarts_under_load() -> None:
    """Twice it may come, once for each end at most: rsyslog repeats what it cannot know to have arrived."""
    settings = SyslogSettings(listen=(Listen("tcp", HERE, 0),))
    lines = await restarted_under_load("pfwatch.conf", 50_000, 4, settings)
    assert set(lines) == set(range(50_000))
    assert len(lines) <= 50_000 + 4


@needs("openssl", "openssl")
@pytest.mark.skipif(
    not has_driver("lmnsd_ossl"), reason="rsyslog's driver ossl is missing (Debian: apt-get install rsyslog-openssl)"
)
async def test_nor_is_anything_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, key = authority.issue("server", "DNS:pfwatch.example.org")
    certificate, its_key = authority.issue("mx1", "DNS:mx1.example.org")
    settings = SyslogSettings(
        listen=(Listen("tls", HERE, 0),),
        certificate=str(server),
        key=str(key),
        client_ca=str(authority.certificate),
    )
    paths = {"CAFile": authority.certificate, "CertFile": certificate, "KeyFile": its_key}
    lines = await restarted_under_load("pfwatch-tls.conf", 50_000, 4, settings, **paths)
    assert set(lines) == set(range(50_000))
    assert len(lines) <= 50_000 + 4


@needs("openssl", "openssl")
@pytest.mark.parametrize("driver", ["ossl", "gtls"])
async def test_tls_with_certificates_on_both_sides(driver: str, tmp_path: Path) -> None:
    if not has_driver(f"lmnsd_{driver}"):
        package = {"ossl": "rsyslog-openssl", "gtls": "rsyslog-gnutls"}[driver]
        pytest.skip(f"rsyslog's driver {driver} is missing (Debian: apt-get install {package})")
    authority = Authority(tmp_path)
    server, key = authority.issue("server", f"DNS:pfwatch.example.org,IP:{HERE}")
    certificate, its_key = authority.issue("mx1", "DNS:mx1.example.org")
    settings = {"certificate": str(server), "key": str(key), "client_ca": str(authority.certificate)}
    async with receiving("tls", **settings, client_names=("*.example.org",)) as received:
        paths = {"CAFile": authority.certificate, "CertFile": certificate, "KeyFile": its_key}
        action = shipped("pfwatch-tls.conf", received.port(), **paths).replace('"ossl"', f'"{driver}"')
        async with rsyslog(action) as daemon:
            await daemon.log(0, 500)
            await received.has(500)
            assert numbers(received) == list(range(500))
