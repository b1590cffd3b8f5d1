"""Receives syslog over UDP, TCP and TLS, so that rsyslog and others can forward to pfwatch.

Enters: where to listen and who may send. Leaves: blocks without positions, for what was received cannot be received
again; `losses` where datagrams were dropped; `problem` while an address cannot be listened on. This file must never
know what a message means.

Whoever may not send costs an accept or a read, and nothing more. Of those who may, each holds a bounded place. When the
pipeline is slower than the senders, nothing is read until it has caught up: over TCP the senders wait, over UDP the
kernel drops, and counts.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from functools import lru_cache

from pfwatch.detection.rules import Networks
from pfwatch.position import Block
from pfwatch.sources.settings import Listen, SyslogSettings
from pfwatch.sources.source import Loss
from pfwatch.sources.syslog.connection import Connection
from pfwatch.sources.syslog.framing import line_of
from pfwatch.sources.syslog.sockets import DATAGRAM, Drops, ListenError, bind, keep_alive
from pfwatch.sources.syslog.tls import TlsError, refused_name, server_context

_BLOCK = 64 * 1024
"""Bytes that are gathered into one block; what was received at once stays together."""
_FULL = 1024 * 1024
"""Bytes that wait for the pipeline at most, and what was read in the same turn."""
_TURN = 256
"""Datagrams, or a sixteenth as many connections, that are taken in one turn of the loop."""
_GREETING = 10.0
"""Seconds for TLS to begin."""
_AGAIN = 5.0
"""Seconds between two attempts to listen where that was not possible."""
_PARTING = 1.0
"""Seconds that senders have at the end to notice it: what they send until then is still read."""
_MOST_NOTES = 20
_NOTE_EVERY = 60.0
"""Seconds between two notes of one kind: strangers must not write our log."""


class SyslogReceiver:
    """All addresses on which one pfwatch listens, as one source: several hosts in one stream are normal."""

    def __init__(
        self,
        settings: SyslogSettings,
        *,
        max_line: int = 64 * 1024,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = "syslog"
        self.problem: str | None = None
        self.notes: list[str] = []
        self.losses: list[Loss] = []
        self.addresses: list[Listen] = []
        """Where it listens now, with the ports that were bound."""
        self._settings = settings
        self._max_line = max_line
        self._now = now
        self._allowed = lru_cache(maxsize=1024)(Networks(settings.allow_from).__contains__)
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._paused = False
        self._buffer = bytearray(DATAGRAM)
        self._listeners: dict[socket.socket, ssl.SSLContext | None] = {}
        self._datagrams: dict[socket.socket, Drops] = {}
        self._unbound: list[Listen] = list(settings.listen)
        self._bind_at = 0.0
        self._connections: set[Connection] = set()
        self._greetings: dict[asyncio.Task[None], tuple[Connection, socket.socket]] = {}
        self._told: dict[str, tuple[float, int]] = {}

    @property
    def at_end(self) -> bool:
        """Nothing that was received waits."""
        return not self._lines

    async def blocks(self) -> AsyncGenerator[Block, None]:
        """Blocks for ever. Cancelled, it gives what was received until then before it ends."""
        check = asyncio.create_task(self._check())
        try:
            self._listen()
            while True:
                await self._filled.wait()
                await asyncio.sleep(0)  # all that has come by now is one block
                yield self._block()
        except asyncio.CancelledError:
            self._part()
            until = _clock() + _PARTING
            while self._lines or (self._connections and _clock() < until):
                if self._lines:
                    yield self._block()
                else:
                    with contextlib.suppress(asyncio.CancelledError):  # whoever cancels may do so several times
                        await asyncio.sleep(0.01)
            raise
        finally:
            check.cancel()
            self._close()

    def _block(self) -> Block:
        taken: list[bytes] = []  # none where only a loss is to be told
        size = 0
        while self._lines and (not taken or size + len(self._lines[0]) <= _BLOCK):
            size += len(self._lines[0])
            taken.append(self._lines.popleft())
        self._size -= size
        if not self._lines:
            self._filled.clear()
        if self._paused and self._size < _FULL // 2:
            self._resume()
        return Block(self.name, b"".join(taken), self._now(), None, caught_up=not self._lines)

    def _take(self, lines: bytes) -> None:
        if not lines:
            return
        self._lines.append(lines)
        self._size += len(lines)
        self._filled.set()
        if self._size >= _FULL and not self._paused:
            self._pause()

    # Listening

    def _listen(self) -> None:
        """Bind what is not bound."""
        problems = []
        for listen in self._unbound[:]:
            try:
                context = server_context(self._settings) if listen.transport == "tls" else None
                bound = bind(listen)
            except TlsError as error:
                problems.append(f"cannot listen on {listen}: {error}")
                continue
            except ListenError as error:
                problems.append(str(error))
                continue
            self._unbound.remove(listen)
            self.addresses.append(Listen(listen.transport, listen.host, bound.getsockname()[1]))
            if listen.transport == "udp":
                self._datagrams[bound] = Drops(bound)
            else:
                self._listeners[bound] = context
            self._watch(bound)
        self.problem = "; ".join(problems) or None
        self._bind_at = _clock() + _AGAIN

    def _watch(self, bound: socket.socket) -> None:
        if not self._paused:
            act = self._receive if bound in self._datagrams else self._accept
            asyncio.get_running_loop().add_reader(bound, act, bound)

    async def _check(self) -> None:
        """Look after what time brings."""
        settings = self._settings
        while True:
            await asyncio.sleep(min(1.0, settings.message_timeout / 4))
            if self._unbound and _clock() >= self._bind_at:
                self._listen()
            self._count_drops()
            if not self._paused:
                for connection in list(self._connections):
                    connection.check(settings.message_timeout, settings.idle_timeout)

    def _pause(self) -> None:
        self._paused = True
        for bound in (*self._datagrams, *self._listeners):
            asyncio.get_running_loop().remove_reader(bound)
        for connection in self._connections:
            connection.pause()

    def _resume(self) -> None:
        self._paused = False
        for bound in (*self._datagrams, *self._listeners):
            self._watch(bound)
        for connection in self._connections:
            connection.resume()

    # Datagrams

    def _receive(self, bound: socket.socket) -> None:
        buffer, lines, taken, turns = memoryview(self._buffer), [], 0, 0
        with contextlib.suppress(OSError):  # there is nothing more, as a rule
            while taken < _BLOCK and turns < _TURN:
                size, address = bound.recvfrom_into(buffer)
                taken, turns = taken + size, turns + 1
                if self._may(address[0]):
                    lines.append(line_of(bytes(buffer[:size]), self._max_line))
        self._take(b"".join(lines))

    def _count_drops(self) -> None:
        dropped = sum(drops.take() for drops in self._datagrams.values())
        if not dropped:
            return
        if self.losses and self.losses[-1].reason == "overflow":
            dropped += self.losses.pop().lines or 0  # nobody has counted it yet: one loss, whatever a flood lasts
        text = (
            f"{dropped:,} datagrams came faster than they could be read, and the kernel dropped them; send over TCP or "
            "TLS, or raise net.core.rmem_max"
        )
        self.losses.append(Loss("overflow", text, lines=dropped))
        self._filled.set()

    # Connections

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_TURN // 16):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                self._note("accept", f"a connection cannot be taken: {error.strerror}")
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener)
                loop.call_later(1.0, lambda: self._watch(listener) if listener in self._listeners else None)
                return
            peer = address[0].partition("%")[0]
            if not self._may(peer) or not self._has_room(peer):
                accepted.close()
                continue
            accepted.setblocking(False)
            keep_alive(accepted)
            connection = Connection(
                peer,
                self._max_line,
                take=self._take,
                greet=self._greet,
                complain=self._note,
                leave=self._connections.discard,
            )
            self._connections.add(connection)  # its place is taken before TLS begins
            task = asyncio.create_task(self._establish(connection, accepted, self._listeners[listener]))
            self._greetings[task] = connection, accepted
            task.add_done_callback(self._established)

    async def _establish(self, connection: Connection, accepted: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        timeout = _GREETING if context else None
        try:
            await loop.connect_accepted_socket(lambda: connection, accepted, ssl=context, ssl_handshake_timeout=timeout)
        except OSError as error:
            reason = (getattr(error, "reason", None) or error.strerror or str(error)).replace("_", " ").lower()
            self._note("tls", f"{connection.peer} began a connection over TLS that failed: {reason}")

    def _established(self, task: asyncio.Task[None]) -> None:
        """Also where it was not, or its task never began."""
        connection, accepted = self._greetings.pop(task)
        if connection.transport is None:
            self._connections.discard(connection)
            accepted.close()

    def _greet(self, connection: Connection, transport: asyncio.Transport) -> None:
        refused = refused_name(transport.get_extra_info("peercert"), self._settings.client_names)
        if refused is not None and transport.get_extra_info("ssl_object"):
            connection.end("name", f"has a certificate for {refused}, which [syslog] client_names does not allow")
        elif self._paused:
            connection.pause()

    def _may(self, address: str) -> bool:
        if self._allowed(address.partition("%")[0]):
            return True
        self._note("refused", f"{address} sends syslog, and [syslog] allow_from does not allow it; nothing was read")
        return False

    def _has_room(self, peer: str) -> bool:
        most = self._settings.max_connections
        if len(self._connections) >= most:
            self._note("full", f"{peer} was refused: there are {most} connections, as [syslog] max_connections allows")
            return False
        share = max(1, most // 4)
        if sum(one.peer == peer for one in self._connections) >= share:
            self._note("share", f"{peer} was refused: it has {share} connections, a quarter of max_connections")
            return False
        return True

    def _note(self, kind: str, text: str) -> None:
        at, held = self._told.get(kind, (-_NOTE_EVERY, 0))
        if _clock() - at < _NOTE_EVERY or len(self.notes) >= _MOST_NOTES:
            self._told[kind] = at, held + 1
            return
        self._told[kind] = _clock(), 0
        self.notes.append(text + (f" ({held:,} more like this before)" if held else ""))

    # The end

    def _part(self) -> None:
        """Take no more connections and no datagrams, and tell those who are connected.

        Syslog over TCP confirms nothing: what is in a socket's buffer when it is closed is lost, and nobody knows. A
        sender who hears of the end goes on sending what is under way at most, and that is still read.
        """
        if self._paused:
            self._resume()
        for bound in self._datagrams:
            self._receive(bound)
        self._let_go()
        for connection in self._connections:
            connection.finish()

    def _let_go(self) -> None:
        for bound in (*self._datagrams, *self._listeners):
            asyncio.get_running_loop().remove_reader(bound)
            bound.close()
        self._datagrams.clear()
        self._listeners.clear()

    def _close(self) -> None:
        self._let_go()
        for task in self._greetings:
            task.cancel()
        for connection in list(self._connections):
            connection.abort()


def _clock() -> float:
    return asyncio.get_running_loop().time()
