"""One HTTP connection with bounds, because uvicorn waits for ever for a client that is slow to ask or to read.

Enters: bytes of a client. Leaves: uvicorn's requests. Every connection has a deadline, and there is a limit to how many
are open at once: beyond it the one that has waited longest without asking gives way, so a scrape always gets through.
This file must never know what is served.
"""

import asyncio
from itertools import count
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 64
REQUEST_SECONDS = 10.0
"""From the first byte of a request (or the connection) until the answer is made; Prometheus gives up by then too."""
KEEP_ALIVE_SECONDS = 5

_number = count()


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a deadline in every state."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._between_requests = False
        self._accepted = next(_number)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a client, if need be in place of another."""
        super().connection_made(transport)
        self.hurry(REQUEST_SECONDS)
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """The first bytes of a request start its time; a drip of more does not prolong it."""
        if self._between_requests:
            self._between_requests = False
            self.hurry(REQUEST_SECONDS)
        super().data_received(data)

    def on_response_complete(self) -> None:
        """The answer is made, but perhaps not read."""
        self._between_requests = True
        self.hurry(KEEP_ALIVE_SECONDS + REQUEST_SECONDS)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def hurry(self, seconds: float) -> None:
        """Cut the connection after this time, in whatever state it is."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _make_room(self) -> None:
        others = [c for c in self.connections if isinstance(c, BoundedProtocol) and c is not self]
        waiting = [c for c in others if c.cycle is None or c.cycle.response_complete]
        longest = min(waiting or others, key=lambda connection: connection._accepted)
        self.connections.discard(longest)  # its end is only told in the next turn of the loop
        longest.transport.abort()
