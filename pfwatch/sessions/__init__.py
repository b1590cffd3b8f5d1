"""What several lines say together: the smtpd connection, the TLS incident inside it, the message by queue id.

Enters: lines and events in the order of the log, through the methods that the scanner calls. Leaves: each event with
what earlier lines know of it, and the finished events. This package must never know how a line is read, nor who counts.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pfwatch.events import (
    AuthBackendFailed,
    AuthDetail,
    AuthFailed,
    AuthProbed,
    Client,
    ClientDisconnected,
    ContentAction,
    Event,
    MessageIdentified,
    MessageQueued,
    MilterAction,
    ProxyVerdict,
    Rejected,
    TlsDetail,
    TlsFailed,
    Untrusted,
)
from pfwatch.parsing.fragments import client_of, untrusted
from pfwatch.parsing.listener import Process
from pfwatch.parsing.tls import tls_error
from pfwatch.table import Table

OfMessage = MessageQueued | MessageIdentified | MilterAction | ContentAction | Rejected
"""What has its client from the queue id, where the line does not say it in its own place."""

MOST_SESSIONS = 20_000
"""smtpd processes with a client at one time: far above any process limit, so only lost disconnects reach it."""
MOST_MESSAGES = 50_000
"""Messages between `client=` and `removed`; beyond, the oldest loses its client and account."""
TLS_WAIT = 5.0
"""Seconds within which the library's line follows the failed handshake."""


_FAILED_AUTH = re.compile(rb" auth=([0-9]{1,9})/([0-9]{1,9})(?= |\Z)")


class Session(msgspec.Struct):
    """One connection, by the process that serves it."""

    client: bytes | None = None
    """As Postfix wrote it; read when somebody asks."""
    auth_failed: int = 0
    """AUTH commands that a line of their own speaks of."""


class Message(msgspec.Struct):
    """One message in the queue."""

    client: bytes | None
    username: bytes | None
    queued: bool = False


class Handshake(msgspec.Struct):
    """A failed handshake that waits for the library's words."""

    event: TlsFailed
    error: str | None = None
    reason: str = ""


class Sessions:
    """Follows connections and messages. `finished` holds what is complete, in an order that no block border changes."""

    def __init__(self, *, keep: bool = False) -> None:
        """With `keep`, changes are collected for `drain`."""
        self.watch: set[Process] = set()
        self.notes: Mapping[str, Callable[..., None]] = {
            "connect": self._connected,
            "disconnect": self._left,
            "client": self._accepted,
            "removed": self._removed,
        }
        self.asks: Mapping[str, Callable[..., bool]] = {"unspoken": self._unspoken}
        self.finished: list[Event] = []
        self._follow: dict[type[Event], Callable[[Any, Process], Event]] = {
            TlsFailed: self._handshake_failed,
            TlsDetail: self._library_problem,
            AuthDetail: self._auth_detail,
            AuthFailed: self._auth_failed,
            AuthBackendFailed: self._auth_failed,
            MessageQueued: self._of_message,
            MessageIdentified: self._of_message,
            MilterAction: self._of_message,
            ContentAction: self._of_message,
            Rejected: self._of_message,
            ProxyVerdict: self._of_session,
            ClientDisconnected: self._disconnected,
        }
        self._sessions: Table[Process, Session] = Table(Process, Session, MOST_SESSIONS, keep=keep)
        self._messages: Table[tuple[bytes, bytes], Message] = Table(
            tuple[bytes, bytes], Message, MOST_MESSAGES, keep=keep
        )
        self._handshakes: Table[Process, Handshake] = Table(Process, Handshake, MOST_SESSIONS, keep=keep)

    def spoke(self, process: Process, body: bytes) -> None:
        """Close the process's handshake, unless this is another line of the library about it."""
        if b"TLS library problem: " not in body[:60]:
            self._close(process)

    def told(self, event: Event, process: Process) -> Event:
        """Fill in what earlier lines know, and pass on what is finished."""
        if self.watch:
            self.tick(event.envelope.at)
        if event.envelope.part_of is not None:  # the line alone says that it belongs to another
            return event
        follow = self._follow.get(type(event))
        if follow is None:
            self.finished.append(event)
            return event
        return follow(event, process)

    def tick(self, now: float) -> None:
        """Close what waited long enough, `now` in seconds since the epoch."""
        for process, handshake in self._handshakes.oldest():
            if handshake.event.envelope.at + TLS_WAIT < now:
                self._close(process)

    def waiting_since(self) -> float:
        """The time of the earliest event that is not complete yet; infinity if none waits."""
        return min((handshake.event.envelope.at for handshake in self._handshakes.rows.values()), default=float("inf"))

    def finish(self) -> None:
        """Close everything: no line follows."""
        for process, _ in self._handshakes.oldest():
            self._close(process)

    def take(self) -> list[Event]:
        """The finished events since the last call."""
        finished, self.finished = self.finished, []
        return finished

    def drain(self) -> dict[str, dict[bytes, bytes | None]]:
        """What changed since the last call, by table."""
        return {name: table.drain() for name, table in self._tables().items()}

    def restore(self, saved: Mapping[str, Mapping[bytes, bytes]]) -> None:
        """Go on with what `drain` gave."""
        for name, table in self._tables().items():
            table.restore(saved.get(name, {}))
        self.watch.update(self._handshakes.rows)

    def _tables(
        self,
    ) -> dict[str, Table[Process, Session] | Table[tuple[bytes, bytes], Message] | Table[Process, Handshake]]:
        return {"session": self._sessions, "message": self._messages, "handshake": self._handshakes}

    def _connected(self, host: bytes, tag: bytes, pid: bytes, client: bytes) -> None:
        self._sessions.put((host, tag, pid), Session(client))

    def _left(self, host: bytes, tag: bytes, pid: bytes, _commands: bytes | None) -> None:
        self._sessions.drop((host, tag, pid))

    def _unspoken(self, host: bytes, tag: bytes, pid: bytes, commands: bytes | None) -> bool:
        """Whether a session ends with failed AUTH commands that no other line speaks of."""
        found = _FAILED_AUTH.search(commands or b"")
        if found is None:
            return False
        session = self._sessions.get((host, tag, pid))
        return int(found[2]) - int(found[1]) > (session.auth_failed if session else 0)

    def _accepted(self, host: bytes, queue_id: bytes, client: bytes, username: bytes | None) -> None:
        self._messages.put((host, queue_id), Message(client, username))

    def _removed(self, host: bytes, queue_id: bytes) -> None:
        self._messages.drop((host, queue_id))

    def _client(self, process: Process) -> Client | None:
        session = self._sessions.get(process)
        return client_of(session.client) if session and session.client else None

    def _handshake_failed(self, event: TlsFailed, process: Process) -> Event:
        if process in self.watch:
            self._close(process)
        if event.error is None:
            self._handshakes.put(process, Handshake(event))
            self.watch.add(process)
        else:
            self.finished.append(event)
        return event

    def _library_problem(self, event: TlsDetail, process: Process) -> Event:
        handshake = self._handshakes.get(process)
        if handshake is None:
            event = msgspec.structs.replace(event, client=self._client(process))
            self.finished.append(event)
            return event
        error = tls_error(event.reason.encode())
        if handshake.error in (None, "other"):
            handshake.error, handshake.reason = error, event.reason
            self._handshakes.put(process, handshake)
        return msgspec.structs.replace(
            event,
            client=handshake.event.client,
            envelope=msgspec.structs.replace(event.envelope, part_of="tls_failed"),
        )

    def _close(self, process: Process) -> None:
        self.watch.discard(process)
        handshake = self._handshakes.drop(process)
        if handshake:
            reason = Untrusted(handshake.reason) if handshake.reason else handshake.event.reason
            self.finished.append(
                msgspec.structs.replace(handshake.event, error=handshake.error or "other", reason=reason)
            )

    def _auth_detail(self, event: AuthDetail, _process: Process) -> Event:
        return msgspec.structs.replace(event, envelope=msgspec.structs.replace(event.envelope, part_of="auth_failed"))

    def _disconnected(self, event: ClientDisconnected, process: Process) -> Event:
        self.finished.append(event)
        self._probed(event, process)
        return event

    def _auth_failed(self, event: AuthFailed | AuthBackendFailed, process: Process) -> Event:
        session = self._sessions.get(process) or Session()
        session.auth_failed += event.envelope.weight if event.client else 0
        self._sessions.put(process, session)
        if event.client is None:
            event = msgspec.structs.replace(event, client=self._client(process))
        self.finished.append(event)
        return event

    def _of_session(self, event: ProxyVerdict, process: Process) -> Event:
        event = msgspec.structs.replace(event, client=self._client(process))
        self.finished.append(event)
        return event

    def _of_message(self, event: OfMessage, process: Process) -> Event:
        if event.client is None and event.queue_id is not None:
            event = self._with_client(event, (process[0], event.queue_id.encode()))
        self.finished.append(event)
        return event

    def _with_client(self, event: OfMessage, key: tuple[bytes, bytes]) -> OfMessage:
        message = self._messages.get(key)
        client = client_of(message.client) if message and message.client else None
        if not isinstance(event, MessageQueued):
            return msgspec.structs.replace(event, client=client)
        again = message is not None and message.queued
        message = message or Message(None, None)
        if not again:
            message.queued = True
            self._messages.put(key, message)
        username = untrusted(message.username) if message.username else None
        return msgspec.structs.replace(event, client=client, username=username, reactivated=again)

    def _probed(self, event: ClientDisconnected, process: Process) -> None:
        succeeded, every = event.commands.get("auth", (0, 0))
        session = self._sessions.get(process)
        spoken_of = session.auth_failed if session else 0
        if every - succeeded > spoken_of:
            envelope = msgspec.structs.replace(event.envelope, derived=True, rule=None)
            self.finished.append(AuthProbed(envelope, event.client, every - succeeded - spoken_of, succeeded))
