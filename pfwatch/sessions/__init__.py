"""What several lines say together: the smtpd connection, the TLS incident inside it, the message by queue id.

Enters: lines and events in the order of the log, through the methods that the scanner calls. Leaves: each event with
what earlier lines know of it, and the finished events. This package must never know how a line is read, nor who counts.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any, TypeVar

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
    ServiceHealth,
    TlsDetail,
    TlsFailed,
)
from pfwatch.parsing.fragments import client_of
from pfwatch.parsing.hits import Hit, built
from pfwatch.parsing.listener import MessageKey, Process
from pfwatch.parsing.smtpd import failed_logins
from pfwatch.sessions.handshakes import FailedHit, Handshakes
from pfwatch.sessions.messages import Messages, OfMessage
from pfwatch.sessions.trouble import Troubles
from pfwatch.sessions.unwritten import Unwritten
from pfwatch.table import Table

MOST_SESSIONS = 20_000
"""smtpd processes with a client at one time: far above any process limit, so only lost disconnects reach it."""

OfSession = TypeVar("OfSession", TlsDetail, AuthBackendFailed, ProxyVerdict, Rejected)
"""What has its client from the connection that its process serves, where the line does not say it."""
OfAny = TypeVar("OfAny", AuthDetail, ServiceHealth)
Told = TypeVar("Told", bound=Event | Hit)


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
        self.finished: list[Event | Hit] = []
        self.clients: Table[Process, bytes] = Table(Process, bytes, MOST_SESSIONS, keep=keep)
        self.failures: Table[Process, int] = Table(Process, int, MOST_SESSIONS, keep=keep)
        self._messages = Messages(keep=keep)
        self.messages = self._messages.rows
        self._handshakes = Handshakes(self.watch, self._finish, keep=keep)
        self._unwritten = Unwritten(keep=keep)
        self.reused: Container[MessageKey] = self._unwritten.oversized.rows
        self._troubles = Troubles(keep=keep)
        self._follow: dict[type[Event], Callable[[Any, Process], Event]] = {
            TlsFailed: self._handshakes.failed,
            TlsDetail: self._library_problem,
            AuthDetail: self._auth_detail,
            AuthFailed: self._auth_failed,
            AuthBackendFailed: self._auth_failed,
            MessageQueued: self._queued,
            MessageIdentified: self._of_message,
            MilterAction: self._of_message,
            ContentAction: self._of_message,
            Rejected: self._rejected,
            ProxyVerdict: self._of_session,
            ServiceHealth: self._service_health,
            ClientDisconnected: self._disconnected,
        }

    def spoke(self, process: Process, body: bytes) -> None:
        """Close what waits for the process's next line, unless this is the line that it waits for."""
        self._handshakes.spoke(process, body)

    def told(self, event: Event, process: Process) -> Event:
        """Fill in what earlier lines know, and pass on what is finished. A part of another event never is."""
        if self.watch:
            self.tick(event.envelope.at)
        follow = self._follow.get(type(event))
        if follow is not None:
            return follow(event, process)
        if event.envelope.part_of is None:
            self.finished.append(event)
        return event

    def failed(self, hit: Hit, process: Process) -> None:
        """A handshake failed, and its process will say why: a hit, complete with that."""
        self._handshakes.wait(FailedHit(hit), process)

    def explained(self, process: Process, words: bytes) -> bool:
        """The library's words; tells whether a failed handshake waits for them."""
        return self._handshakes.explained(process, words)

    def tick(self, now: float) -> None:
        """Close what waited long enough, `now` in seconds since the epoch."""
        self._handshakes.tick(now)

    def waiting_since(self) -> float:
        """The time of the earliest event that is not complete yet; infinity if none waits."""
        return self._handshakes.waiting_since()

    def finish(self) -> None:
        """Close everything: no line follows."""
        self._handshakes.finish()

    def accepted(self, key: MessageKey) -> None:
        """A queue id belongs to another message from now on."""
        self._unwritten.accepted(*key)

    def take(self) -> list[Event]:
        """The finished events since the last call, in their order."""
        return [built(one) for one in self.take_unbuilt()]

    def take_unbuilt(self) -> list[Event | Hit]:
        """The same, with hits as they came."""
        finished, self.finished = self.finished, []
        return finished

    def drain(self) -> dict[str, dict[bytes, bytes | None]]:
        """What changed since the last call, by table."""
        return {name: table.drain() for name, table in self._tables().items()}

    def touch_all(self) -> None:
        """Say that everything is to be kept anew."""
        for table in self._tables().values():
            table.touch_all()

    def restore(self, saved: Mapping[str, Mapping[bytes, bytes]]) -> None:
        """Go on with what `drain` gave."""
        for name, table in self._tables().items():
            table.restore(saved.get(name, {}))
        self._handshakes.resume()

    def _tables(self) -> dict[str, Table[Any, Any]]:
        return {
            "client": self.clients,
            "failure": self.failures,
            "message": self.messages,
            "handshake": self._handshakes.failures,
            "library": self._handshakes.words,
            "oversized": self._unwritten.oversized,
            "unwritten": self._unwritten.failed,
            "trouble": self._troubles.rows,
        }

    def _finish(self, event: Told) -> Told:
        if isinstance(event, Hit) or event.envelope.part_of is None:
            self.finished.append(event)
        return event

    def _connected(self, host: bytes, tag: bytes, pid: bytes, client: bytes) -> None:
        self.clients.put((host, tag, pid), client)
        self.failures.drop((host, tag, pid))

    def _left(self, host: bytes, tag: bytes, pid: bytes, _commands: bytes | None) -> None:
        self.clients.drop((host, tag, pid))
        self.failures.drop((host, tag, pid))

    def _unspoken(self, host: bytes, tag: bytes, pid: bytes, commands: bytes | None) -> bool:
        """Whether AUTH commands failed that no line speaks of."""
        failed = failed_logins(commands)
        return failed > 0 and failed > (self.failures.get((host, tag, pid)) or 0)

    def _accepted(self, host: bytes, queue_id: bytes, client: bytes, username: bytes | None) -> None:
        self._messages.accepted(host, queue_id, client, username)
        self._unwritten.accepted(host, queue_id)

    def _removed(self, host: bytes, queue_id: bytes) -> None:
        self._messages.removed(host, queue_id)

    def _client(self, process: Process) -> Client | None:
        """Whom a process of smtpd serves; other daemons have no sessions."""
        client = self.clients.get(process)
        return client_of(client) if client else None

    def _library_problem(self, event: TlsDetail, process: Process) -> Event:
        part = self._handshakes.library(event, process)
        if part is not None:
            return part
        return self._finish(self._with_session(event, process))

    def _auth_detail(self, event: AuthDetail, _process: Process) -> Event:
        """Cyrus in smtpd speaks before the failure that it is about; in smtp it speaks of our own login elsewhere."""
        if event.envelope.part_of is None and event.envelope.daemon == "smtpd":
            return _as_part(event, "auth_failed")
        return self._finish(event)

    def _disconnected(self, event: ClientDisconnected, process: Process) -> Event:
        self._finish(event)
        self._probed(event, process)
        return event

    def _auth_failed(self, event: AuthFailed | AuthBackendFailed, process: Process) -> Event:
        if event.envelope.part_of is not None:
            return event
        if event.client is not None:
            self.failures.put(process, (self.failures.get(process) or 0) + event.envelope.weight)
        if isinstance(event, AuthBackendFailed):
            event = self._with_session(event, process)
        return self._finish(event)

    def _queued(self, event: MessageQueued, process: Process) -> Event:
        return self._finish(self._messages.queued(event, process[0]))

    def _of_message(self, event: OfMessage, process: Process) -> Event:
        return self._finish(self._messages.with_client(event, process[0]))

    def _of_session(self, event: ProxyVerdict, process: Process) -> Event:
        return self._finish(self._with_session(event, process))

    def _rejected(self, event: Rejected, process: Process) -> Event:
        if event.client is None:
            event = self._with_session(self._messages.with_client(event, process[0]), process)
            if event.category == "size":
                event = self._unwritten.too_large(event, process)
        return self._finish(event)

    def _service_health(self, event: ServiceHealth, process: Process) -> Event:
        part_of, by_cleanup = event.envelope.part_of, event.envelope.daemon == "cleanup"
        if part_of == "rejected":  # the line supposes so
            event = self._unwritten.closed(event, process)
        elif part_of is None:
            if by_cleanup and event.envelope.rule == "queue-write":
                self._unwritten.not_written(process)
            if self._troubles.repeated(event, process):
                return _as_part(event, "service_health")
        return self._finish(event)

    def _with_session(self, event: OfSession, process: Process) -> OfSession:
        client = self._client(process) if event.client is None else None
        return event if client is None else msgspec.structs.replace(event, client=client)

    def _probed(self, event: ClientDisconnected, process: Process) -> None:
        succeeded, every = event.commands.get("auth", (0, 0))
        spoken_of = self.failures.get(process) or 0
        if every - succeeded > spoken_of:
            envelope = msgspec.structs.replace(event.envelope, derived=True, rule=None)
            self.finished.append(AuthProbed(envelope, event.client, every - succeeded - spoken_of, succeeded))


def _as_part(event: OfAny, of: str) -> OfAny:
    return msgspec.structs.replace(event, envelope=msgspec.structs.replace(event.envelope, part_of=of))
