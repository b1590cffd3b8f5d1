"""Whoever forwards syslog to pfwatch loses nothing that could be kept, and whoever is hostile reaches nothing.

Against logger of util-linux, Python's own handler, and sockets that misbehave; all on loopback.
"""

import asyncio
import contextlib
import errno
import logging
import logging.handlers
import socket
import ssl
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from pfwatch.sources.settings import Listen, SyslogSettings
from pfwatch.sources.syslog.receiver import SyslogReceiver
from tests.sources.receiving import HERE, PATIENCE, Authority, needs, receiving, running, until

TEXT = "connect from unknown[192.0.2.9]"
MESSAGE = b"<22>Nov 22 09:53:31 mx1 postfix/smtpd[229]: connect from unknown[192.0.2.9]"


def counted(*messages: bytes) -> bytes:
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


async def tool(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(PATIENCE):
        _, said = await process.communicate()
    assert (process.returncode, said) == (0, b"")


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((HERE, port), timeout=PATIENCE) as sender:
        yield sender


async def closed(sender: socket.socket) -> None:
    """Wait until the receiver has closed the connection."""
    sender.setblocking(False)
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            assert await asyncio.get_running_loop().sock_recv(sender, 1) == b""


# Peers


@needs("logger", "bsdutils")
@pytest.mark.parametrize("form", ["--rfc3164", "--rfc5424"])
@pytest.mark.parametrize("transport", ["--udp", "--tcp", "--tcp --octet-count", "--udp --octet-count"])
async def test_logger_is_understood(form: str, transport: str) -> None:
    async with receiving("udp" if "udp" in transport else "tcp") as received:
        where = ["--server", HERE, "--port", str(received.port()), form, *transport.split()]
        # Over UDP logger counts octets as well, which no standard knows: such a datagram has a number before it.
        await tool("logger", *where, "--priority", "mail.info", "--tag", "postfix/smtpd", "--id=229", TEXT)
        (line,) = await received.has(1)
        assert line.endswith(TEXT.encode() + b"\n")
        if transport != "--udp --octet-count":
            sessions = Sessions()
            Scanner(sessions, TimeReader(), every_event=True).scan(line, 4e9)
            assert [event.kind for event in sessions.take()] == ["client_connected"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_pythons_own_handler_is_understood(transport: str) -> None:
    async with receiving(transport) as received:
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        handler = logging.handlers.SysLogHandler((HERE, received.port()), logging.handlers.SysLogHandler.LOG_MAIL, kind)
        # It ends a message with NUL, over TCP as well, where that is no end: a line feed is, if one asks for it.
        handler.append_nul = transport == "udp"
        handler.setFormatter(logging.Formatter("Nov 22 09:53:31 mx1 postfix/smtpd[229]: %(message)s\n"))
        for number in range(3):
            handler.emit(logging.LogRecord("", logging.INFO, "", 0, f"connect {number}", None, None))
        handler.close()
        expected = b"<22>Nov 22 09:53:31 mx1 postfix/smtpd[229]: connect %d\n"
        assert await received.has(3) == [expected % number for number in range(3)]


async def test_several_hosts_over_several_ways_are_one_stream() -> None:
    async with receiving("udp", "tcp", "tcp") as received:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            connected(received.port(1)) as counting,
            connected(received.port(2)) as lines,
        ):
            datagrams.sendto(b"<22>one", (HERE, received.port(0)))
            counting.sendall(counted(b"<22>two", b"<22>three"))
            lines.sendall(b"<22>four\n<22>five\n")
            assert sorted(await received.has(5)) == sorted(
                [b"<22>one\n", b"<22>two\n", b"<22>three\n", b"<22>four\n", b"<22>five\n"]
            )
    assert {(block.source, block.position) for block in received.blocks} == {("syslog", None)}
    assert received.blocks[-1].caught_up


# Bounds


async def test_lines_come_in_few_blocks_and_none_is_lost_while_the_pipeline_is_busy() -> None:
    async with receiving("tcp") as received:
        received.free.clear()
        # More than the kernel takes on both ends (tcp_wmem, tcp_rmem).
        data = b"".join(b"<22>line %d %b\n" % (number, b"x" * 250) for number in range(200_000))
        loop = asyncio.get_running_loop()
        with connected(received.port()) as sender:
            sender.setblocking(False)
            sending = asyncio.create_task(loop.sock_sendall(sender, data))
            await until(lambda: received.receiver._paused)
            assert not sending.done(), "the sender has to wait"
            assert received.receiver._size < 2 * 1024 * 1024
            received.free.set()
            assert await received.has(200_000) == data.splitlines(keepends=True)
            await sending
    assert len(received.blocks) < 2 * len(data) / (32 * 1024)
    assert max(len(block.data) for block in received.blocks) <= 320 * 1024
    assert received.receiver.losses == []


async def test_datagrams_that_the_kernel_dropped_are_counted() -> None:
    async with receiving("udp", message_timeout=0.4) as received:
        received.free.clear()
        sent = 60_000
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(sent):
                sender.sendto(b"<22>%d %b" % (number, b"x" * 100), (HERE, received.port()))
                if number % 1000 == 0:
                    await asyncio.sleep(0)
            await until(lambda: received.receiver.losses)
            received.free.set()
            await until(lambda: sum(loss.lines or 0 for loss in received.receiver.losses) + received.count == sent)
        (loss,) = received.receiver.losses
        assert (loss.reason, (loss.lines or 0) + received.count) == ("overflow", sent)
        assert f"{loss.lines:,} datagrams came faster" in loss.text
        assert "net.core.rmem_max" in loss.text


async def test_whoever_is_not_allowed_is_not_read_and_told_of_once() -> None:
    async with receiving("udp", "tcp", allow_from=("192.0.2.0/24",)) as received:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(100):
                sender.sendto(MESSAGE, (HERE, received.port(0)))
        for _ in range(20):
            with connected(received.port(1)) as refused:
                await closed(refused)
        note = await received.says("127.0.0.1 sends syslog, and [syslog] allow_from does not allow it")
        assert received.receiver.notes == [note]
        assert received.lines == []
        assert received.receiver.at_end


async def test_a_flood_of_connections_finds_few_places_and_a_quarter_for_one_address() -> None:
    async with receiving("tcp", max_connections=8) as received, contextlib.AsyncExitStack() as stack:
        senders = [stack.enter_context(connected(received.port())) for _ in range(60)]
        for sender in senders[2:]:
            await closed(sender)
        assert "it has 2 connections, a quarter of max_connections" in await received.says("was refused")
        assert len(received.receiver.notes) == 1
        senders[0].sendall(MESSAGE + b"\n")
        assert await received.has(1) == [MESSAGE + b"\n"]
        senders[0].close()
        await until(lambda: len(received.receiver._connections) == 1)
        with connected(received.port()) as another:
            another.sendall(MESSAGE + b"\n")
            await received.has(2)


@pytest.mark.parametrize("beginning", [b"<22>half", b"90 <22>half", b"99999 ", b"12"])
async def test_a_message_that_is_begun_and_not_completed_ends_the_connection(beginning: bytes) -> None:
    async with receiving("tcp", message_timeout=0.2) as received:
        with connected(received.port()) as sender:
            sender.sendall(beginning)
            await closed(sender)
        assert "did not complete it in 0.2 seconds" in await received.says("127.0.0.1 began a message")
        assert received.lines == []


async def test_byte_after_byte_buys_no_time() -> None:
    async with receiving("tcp", message_timeout=0.3) as received:
        with connected(received.port()) as sender:

            def is_let_go() -> bool:
                try:
                    sender.sendall(b"x")
                except ConnectionError:
                    return True
                return False

            await until(is_let_go)
        await received.says("began a message")


async def test_a_connection_without_messages_is_closed_after_the_idle_timeout() -> None:
    async with receiving("tcp", idle_timeout=0.2, message_timeout=0.4) as received:
        with connected(received.port()) as sender:
            sender.sendall(MESSAGE + b"\n")
            await received.has(1)
            await closed(sender)
        assert received.receiver.notes == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (counted(MESSAGE) + b"1" * 100_000, "where the length of the next message must be"),
        (b"9999999 ", "announces a message of 9,999,999 bytes"),
        (counted(MESSAGE) + b"\x16\x03\x01\x00garbage", "where the length of the next message must be"),
    ],
)
async def test_a_broken_connection_is_closed_and_what_was_whole_is_kept(data: bytes, words: str) -> None:
    async with receiving("tcp") as received:
        with connected(received.port()) as sender:
            with contextlib.suppress(ConnectionError):
                sender.sendall(data)
            await closed(sender)
        assert words in await received.says("127.0.0.1")
        assert received.lines in ([], [MESSAGE + b"\n"])


async def test_garbage_is_lines_and_costs_no_memory() -> None:
    async with receiving("udp", "tcp") as received:
        received.receiver._take(b"warm\n")
        tracemalloc.start()
        try:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
                connected(received.port(1)) as sender,
            ):
                sender.setblocking(False)
                for number in range(256):
                    datagrams.sendto(bytes((number,)) * 1000, (HERE, received.port(0)))
                    await asyncio.get_running_loop().sock_sendall(sender, b"\xff\0\x80" * 20_000)
                    await asyncio.sleep(0)
                await asyncio.get_running_loop().sock_sendall(sender, b"\n" + MESSAGE + b"\n")
                await until(lambda: MESSAGE + b"\n" in received.lines)
            assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
        finally:
            tracemalloc.stop()
    assert all(len(line) <= 256 * 1024 and line.endswith(b"\n") and b"\0" not in line for line in received.lines)


async def test_a_frame_that_ends_with_its_connection_is_lost_and_that_is_said() -> None:
    async with receiving("tcp") as received:
        with connected(received.port()) as sender:
            sender.sendall(counted(MESSAGE) + b"90 <22>half")
        await received.says("closed its connection within a message, which is lost")
        assert received.lines == [MESSAGE + b"\n"]


async def test_what_was_received_before_the_end_is_given_before_the_end() -> None:
    async with receiving("udp", "tcp") as received:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, connected(received.port(1)) as sender:
            sender.sendall(MESSAGE + b"\n")
            await received.has(1)
            sender.sendall(b"<22>tcp\n")  # and no turn of the loop between this and the end
            datagrams.sendto(b"<22>udp", (HERE, received.port(0)))
    assert sorted(received.lines[1:]) == [b"<22>tcp\n", b"<22>udp\n"]


async def test_a_port_that_is_taken_is_a_problem_until_it_is_free() -> None:
    with socket.create_server((HERE, 0)) as other:
        port = other.getsockname()[1]
        receiver = SyslogReceiver(SyslogSettings(listen=(Listen("tcp", HERE, port), Listen("udp", HERE, 0))))
        async with running(receiver) as received:
            assert receiver.problem is not None
            assert receiver.problem.startswith(f"cannot listen on tcp://127.0.0.1:{port}: another process holds this")
            assert [one.transport for one in receiver.addresses] == ["udp"]
            other.close()
            receiver._bind_at = 0  # the time has come
            await until(lambda: receiver.problem is None)
            with connected(port) as sender:
                sender.sendall(MESSAGE + b"\n")
                await received.has(1)


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        (Listen("tcp", "192.0.2.1", 5514), "this machine does not have that address"),
        (Listen("tls", HERE, 0), "does not exist"),
    ],
)
async def test_why_it_cannot_listen_is_said(listen: Listen, words: str) -> None:
    settings = SyslogSettings(listen=(listen,), certificate="/nonexistent/cert.pem", key="/nonexistent/key.pem")
    async with running(SyslogReceiver(settings)) as received:
        assert words in (received.receiver.problem or "")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError as error:
        return error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6_is_received_as_well() -> None:
    settings = SyslogSettings(listen=(Listen("tcp", "::1", 0), Listen("udp", "::1", 0)))
    async with running(SyslogReceiver(settings)) as received:
        with (
            socket.create_connection(("::1", received.port(0))) as sender,
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams,
        ):
            sender.sendall(MESSAGE + b"\n")
            datagrams.sendto(MESSAGE, ("::1", received.port(1)))
            assert await received.has(2) == [MESSAGE + b"\n"] * 2


# TLS


@needs("openssl", "openssl")
class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    def settings(self, authority: Authority, **more: object) -> dict[str, object]:
        certificate, key = authority.issue("server", f"IP:{HERE}")
        return {"certificate": str(certificate), "key": str(key), "client_ca": str(authority.certificate), **more}

    def context(self, authority: Authority, shown: tuple[Path, Path] | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=authority.certificate)
        if shown:
            context.load_cert_chain(*shown)
        return context

    async def send(self, port: int, context: ssl.SSLContext, data: bytes) -> bytes:
        """Send, and wait for the receiver to close, which is what it has to say."""
        reader, writer = await asyncio.open_connection(HERE, port, ssl=context)
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(PATIENCE):
            try:
                return await reader.read()
            finally:
                writer.transport.abort()

    async def test_a_client_with_a_certificate_is_received(self, authority: Authority) -> None:
        async with receiving("tls", **self.settings(authority)) as received:
            context = self.context(authority, authority.issue("mx1", "DNS:mx1.example.org"))
            _, writer = await asyncio.open_connection(HERE, received.port(), ssl=context)
            writer.write(counted(MESSAGE) * 5000)
            assert await received.has(5000) == [MESSAGE + b"\n"] * 5000
            writer.transport.abort()
        assert received.receiver.notes == []

    async def test_a_busy_pipeline_holds_little_and_loses_nothing(self, authority: Authority) -> None:
        async with receiving("tls", **self.settings(authority)) as received:
            context = self.context(authority, authority.issue("mx1", "DNS:mx1.example.org"))
            received.free.clear()
            _, writer = await asyncio.open_connection(HERE, received.port(), ssl=context)
            data = counted(*(b"<22>line %d %b" % (number, b"x" * 200) for number in range(30_000)))
            writer.write(data)
            sending = asyncio.create_task(writer.drain())
            await until(lambda: received.receiver._paused)
            await sending  # the kernel may hold all of it
            assert received.receiver._size < 2 * 1024 * 1024
            received.free.set()
            lines = await received.has(30_000)
            assert [int(line.split()[1]) for line in lines] == list(range(30_000))
            writer.transport.abort()

    async def test_without_one_or_with_one_of_somebody_else_it_is_not(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        other = Authority(tmp_path, "other")
        async with receiving("tls", **self.settings(authority)) as received:
            for shown in (None, other.issue("thief", "DNS:mx1.example.org")):
                received.receiver._told.clear()
                received.receiver.notes.clear()
                with contextlib.suppress(OSError):  # a reset, an alert or an end, as they come
                    assert await self.send(received.port(), self.context(authority, shown), counted(MESSAGE)) == b""
                await received.says("127.0.0.1 began a connection over TLS that failed: ")
            assert received.lines == []
            assert not received.receiver._connections

    @pytest.mark.parametrize(
        ("allowed", "alternative", "fits"),
        [
            ("mx1.example.org", "DNS:mx1.example.org", True),
            ("MX1.example.org", "DNS:mx1.Example.org", True),
            ("*.example.org", "DNS:mx1.example.org", True),
            ("*.example.org", "DNS:a.mx1.example.org", False),
            ("*.example.org", "DNS:example.org", False),
            ("mx2.example.org", "DNS:mx1.example.org", False),
            ("192.0.2.1", "IP:192.0.2.1", True),
        ],
    )
    async def test_names_of_clients_can_be_demanded(
        self, authority: Authority, allowed: str, alternative: str, fits: bool
    ) -> None:
        async with receiving("tls", **self.settings(authority, client_names=(allowed,))) as received:
            context = self.context(authority, authority.issue("client", alternative))
            if fits:
                _, writer = await asyncio.open_connection(HERE, received.port(), ssl=context)
                writer.write(counted(MESSAGE))
                await received.has(1)
                writer.transport.abort()
            else:
                with contextlib.suppress(OSError):
                    await self.send(received.port(), context, counted(MESSAGE))
                assert "[syslog] client_names does not allow" in await received.says("has a certificate for")
                assert received.lines == []

    async def test_connections_that_never_begin_tls_hold_few_places(self, authority: Authority) -> None:
        async with receiving("tls", **self.settings(authority, max_connections=8)) as received:
            with contextlib.ExitStack() as stack:
                senders = [stack.enter_context(connected(received.port())) for _ in range(20)]
                for sender in senders[2:]:
                    await closed(sender)
                assert len(received.receiver._connections) == 2
                senders[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
                await received.says("began a connection over TLS that failed: ")

    async def test_what_is_wrong_with_certificate_or_key_is_said(self, authority: Authority, tmp_path: Path) -> None:
        one, other = authority.issue("one", "DNS:one.example.org"), authority.issue("other", "DNS:other.example.org")
        text = tmp_path / "text"
        text.write_text("no certificate")
        for certificate, key, ca, words in (
            (one[0], other[1], "", f"the key {other[1]} does not belong to the certificate {one[0]}"),
            (text, one[1], "", "must be a certificate and its private key, in PEM"),
            (*one, text, f"{text} has no certificate in it"),
        ):
            settings = {"certificate": str(certificate), "key": str(key), "client_ca": str(ca)}
            async with receiving("tls", **settings) as received:
                assert words in (received.receiver.problem or "")
                assert received.receiver.addresses == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count elsewhere")
def test_the_kernel_tells_what_it_dropped() -> None:
    from pfwatch.sources.syslog.sockets import Drops, bind

    with bind(Listen("udp", HERE, 0)) as bound, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        drops = Drops(bound)
        for _ in range(100):
            sender.sendto(b"x" * 1000, bound.getsockname())
        received = 0
        with contextlib.suppress(BlockingIOError):
            while bound.recv(2000):
                received += 1
        assert 0 < received < 100
        assert (drops.take(), drops.take()) == (100 - received, 0)
