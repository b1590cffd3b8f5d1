"""A log that grows line by line as Postfix writes it, and what comes of it.

Enters: bodies of lines. Leaves: each line's event as it was told, and the finished events.
"""

from datetime import UTC
from typing import TypeVar

from pfwatch.events import Event, TlsFailed, as_object
from pfwatch.parsing.listener import Process
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from tests.samples.logs import REFERENCE

Kind = TypeVar("Kind", bound=Event)


def line(body: str, *, pid: int = 1, daemon: str = "smtpd", second: int = 0, host: str = "mx1") -> bytes:
    """A whole line with a BSD header."""
    return f"Nov 22 09:{53 + second // 60:02}:{second % 60:02} {host} postfix/{daemon}[{pid}]: {body}\n".encode()


def ip_of(event: Event) -> str | None:
    """The address of an event's client."""
    ip: str | None = as_object(event)["client_ip"]
    return ip


class Listening(Sessions):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(keep=True)
        self.told_so_far: list[Event] = []

    def told(self, event: Event, process: Process) -> Event:
        event = super().told(event, process)
        self.told_so_far.append(event)
        return event


class Log:
    """A log that grows line by line, and what is finished so far."""

    def __init__(self) -> None:
        self.sessions = Listening()
        self.scanner = Scanner(self.sessions, TimeReader(UTC))
        self.finished: list[Event] = []

    def write(self, body: str, *, pid: int = 1, daemon: str = "smtpd", second: int = 0, host: str = "mx1") -> None:
        self.scanner.scan(line(body, pid=pid, daemon=daemon, second=second, host=host), REFERENCE)
        self.finished += self.sessions.take()

    def failures(self) -> list[tuple[str | None, str | None]]:
        """Address and error of the finished TLS failures."""
        return [
            (event.client.ip if event.client else None, event.error)
            for event in self.finished
            if isinstance(event, TlsFailed)
        ]

    def one(self, kind: type[Kind]) -> Kind:
        (event,) = (event for event in self.finished if isinstance(event, kind))
        return event

    def last(self) -> Event:
        """The latest line's event, as it was told."""
        return self.sessions.told_so_far[-1]

    def end(self) -> None:
        """No line follows."""
        self.sessions.finish()
        self.finished += self.sessions.take()
