"""One syslog connection, over TCP or TLS.

Enters: bytes from a sender. Leaves: lines, through a function; whether the sender has to be let go. This file must
never know who may send, or what becomes of a line.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from pfwatch.sources.syslog.framing import Framing, FramingError


class Connection(asyncio.Protocol):
    """Receives at most 256 KiB at once, which is asyncio's bound.

    Not a BufferedProtocol: asyncio would drop what does not fit into its buffer when TLS ends (Python 3.11 to 3.13).
    """

    def __init__(
        self,
        peer: str,
        max_line: int,
        *,
        take: Callable[[bytes], None],
        greet: Callable[["Connection", asyncio.Transport], None],
        complain: Callable[[str, str], None],
        leave: Callable[["Connection"], None],
    ) -> None:
        """`take` gets lines, `complain` a kind and a sentence; `greet` and `leave` are told of begin and end."""
        self.peer = peer
        self.transport: asyncio.Transport | None = None
        """None until it is established, for TLS with all its certificates."""
        self._framing = Framing(max_line)
        self._take, self._greet, self._complain, self._leave = take, greet, complain, leave
        self._heard = 0.0
        self._begun: float | None = None
        """When the message began that is not complete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is established."""
        self._heard = _clock()
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            self._greet(self, transport)

    def data_received(self, data: bytes) -> None:
        """So much is there."""
        try:
            lines = self._framing.feed(data)
        except FramingError as error:
            self.end("framing", str(error))
            return
        self._heard = _clock()
        if not self._framing.half:
            self._begun = None
        elif lines or self._begun is None:
            self._begun = self._heard
        if lines:
            self._take(lines)

    def eof_received(self) -> bool | None:
        """The sender has closed it in good order."""
        self._take(self._framing.finish())
        if self._framing.half:
            self._complain("half", f"{self.peer} closed its connection within a message, which is lost")
        return None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        """It is gone."""
        self._leave(self)

    def pause(self) -> None:
        """Read nothing more; the sender will notice and wait."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again. That nothing came meanwhile was not the sender's fault."""
        self._heard = _clock()
        self._begun = self._heard if self._begun is not None else None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def check(self, message_timeout: float, idle_timeout: float) -> None:
        """End what has waited too long."""
        if self._begun is not None and _clock() - self._begun > message_timeout:
            self.end("stalled", f"began a message and did not complete it in {message_timeout:g} seconds")
        elif self.transport is not None and _clock() - self._heard > idle_timeout:
            self.transport.abort()

    def finish(self) -> None:
        """Tell the sender that nothing more is taken; what is under way is still read.

        Over TLS, too, it is the end of TCP: behind TLS's own, nothing may come from the other side either.
        """
        if self.transport is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)

    def end(self, kind: str, why: str) -> None:
        """Close at once, and say why."""
        self._complain(kind, f"{self.peer} {why}; the connection was closed")
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()


def _clock() -> float:
    return asyncio.get_running_loop().time()
