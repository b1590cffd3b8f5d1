"""Failed TLS handshakes, and what the library says of them in lines of its own.

Enters: the events of failed handshakes and library lines, and that a process spoke. Leaves: finished events, each
failure with its error. This file must never know which client a process serves.

smtpd, smtp and lmtp name the peer first and give the library's words next. tlsproxy does it the other way round, and
serves many at once: its words belong to the failed handshake that is its very next line, or to nobody.
"""

import heapq
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from pfwatch.events import Event, TlsDetail, TlsFailed, Untrusted
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.hits import Hit, Hits
from pfwatch.parsing.listener import Process
from pfwatch.parsing.tls import LIBRARY, tls_error
from pfwatch.table import Table

MOST_WAITING = 20_000
"""Processes that wait at one time: as many as can have a client."""
MOST_PROXIES = 1_000
"""tlsproxy processes that spoke of a handshake just now; each serves many clients."""
MOST_WORDS = 16
"""Library lines about one handshake: OpenSSL keeps no more errors at a time."""
_MOST_BEGINS = 4 * MOST_WAITING
"""Far more than can wait at one time, so that they are seldom put in order."""
_LONGEST = 1024
"""Bytes of a library line's words that are looked at: as many as its reason can have."""
WAIT = 5.0
"""Seconds within which the other line of the same failure follows."""

_LIBRARY_LINE = re.compile(rb"(?:message repeated [0-9]++ times: \[ )?warning: TLS library problem: ")
_CLOSING_LINE = re.compile(rb"TLS handshake failed for service=")


class Handshake(msgspec.Struct):
    """A failed handshake that waits for the library's words."""

    event: TlsFailed
    error: str | None = None
    reason: str = ""
    is_bare: ClassVar[bool] = False

    @property
    def at(self) -> float:
        """When it failed, in seconds since the epoch."""
        return self.event.envelope.at

    def finished(self) -> TlsFailed:
        """The event, with what the library said."""
        reason = Untrusted(self.reason) if self.reason else self.event.reason
        return msgspec.structs.replace(self.event, error=self.error or "other", reason=reason)


class FailedHit(msgspec.Struct):
    """The same as a hit, where nothing is kept."""

    hit: Any
    error: str | None = None
    reason: str = ""

    @property
    def is_bare(self) -> bool:
        """Whether nobody wants to know why it failed."""
        return self.hit.moment is None

    @property
    def at(self) -> float:
        """As of `Handshake`."""
        at: float = self.hit.at
        return at

    def finished(self) -> Hit:
        """The hit, with what the library said."""
        hit: Hit = self.hit
        if self.is_bare:
            return hit
        hits = _explained(hit.hits, self.error or "other", self.reason)
        return Hit(hits, hit.moment, hit.time, hit.pid, hit.queue_id, hit.client, hit.tail)


class Handshakes:
    """Joins the two, process by process. Announces in `watch` which processes it waits for."""

    def __init__(self, watch: set[Process], finish: Callable[[Event | Hit], object], *, keep: bool) -> None:
        """Give finished events and hits to `finish`."""
        self.failures: Table[Process, Handshake | FailedHit] = Table(Process, Handshake, MOST_WAITING, keep=keep)
        self.words: Table[Process, list[TlsDetail]] = Table(Process, list[TlsDetail], MOST_PROXIES, keep=keep)
        self._watch = watch
        self._begins: list[tuple[float, Process]] = []
        """A heap: since when a process waits. Rows of those that do not wait any more are thrown away when they come
        up, or when they are too many."""
        self._finish = finish

    def spoke(self, process: Process, body: bytes) -> None:
        """Close what waits for the process's next line, unless this is the one."""
        if _LIBRARY_LINE.match(body) or (process in self.words.rows and _CLOSING_LINE.match(body)):
            return
        self._close(process)

    def failed(self, event: TlsFailed, process: Process) -> Event:
        """A handshake failed; whether the line itself knows why decides if it waits."""
        if event.error is not None:
            self._close(process)
            self._finish(event)
        elif event.envelope.daemon == "tlsproxy" and not event.reason:  # whatever was to be said of it has been said
            words = self.words.drop(process) or []
            self._close(process)
            error, reason = _best(words)
            event = msgspec.structs.replace(event, error=error, reason=Untrusted(reason))
            self._finish(event)
        else:
            self.wait(Handshake(event), process)
        return event

    def wait(self, failure: Handshake | FailedHit, process: Process) -> None:
        """Wait for the library's words about this."""
        self._close(process)
        self._wait(process, failure.at, self.failures, MOST_WAITING)
        self.failures.put(process, failure)

    def explained(self, process: Process, words: bytes) -> bool:
        """The library's words, if a failure waits for them."""
        failure = self.failures.get(process)
        if failure is None:
            return False
        if not failure.is_bare and failure.error in {None, "other"}:
            failure.error, failure.reason = _read(words[:_LONGEST])
            self.failures.touch((process,))
        return True

    def library(self, event: TlsDetail, process: Process) -> TlsDetail | None:
        """A line of the library, as a part of a failure; None where it is about none."""
        if event.envelope.rule != LIBRARY.name:
            return None
        if self.explained(process, event.reason.encode()):
            return _part(event, self.failures.get(process))
        if event.envelope.daemon != "tlsproxy":
            return None
        words = [*(self.words.get(process) or []), event]
        for word in words[:-MOST_WORDS]:
            self._finish(word)
        words = words[-MOST_WORDS:]
        self._wait(process, words[0].envelope.at, self.words, MOST_PROXIES)
        self.words.put(process, words)
        return _part(event, None)

    def tick(self, now: float) -> None:
        """Close what waited long enough."""
        begins = self._begins
        while begins and begins[0][0] + WAIT < now:
            at, process = heapq.heappop(begins)
            if self._waits(process, at):
                self._close(process)

    def finish(self) -> None:
        """Close everything."""
        for process in [*self.failures.rows, *self.words.rows]:
            self._close(process)

    def waiting_since(self) -> float:
        """The time of the earliest event that waits; infinity if none does."""
        begins = self._begins
        while begins and not self._waits(begins[0][1], begins[0][0]):
            heapq.heappop(begins)
        return begins[0][0] if begins else float("inf")

    def resume(self) -> None:
        """Watch again whoever is waited for, after a restart."""
        self._watch.update(self.failures.rows, self.words.rows)
        self._order()

    def _order(self) -> None:
        """Make the heap of those that wait, and of nobody else."""
        failures = ((failure.at, process) for process, failure in self.failures.rows.items())
        words = ((words[0].envelope.at, process) for process, words in self.words.rows.items())
        self._begins = [*failures, *words]
        heapq.heapify(self._begins)

    def _waits(self, process: Process, since: float) -> bool:
        """Whether a process has waited since then."""
        failure, words = self.failures.get(process), self.words.get(process)
        return (failure is not None and failure.at == since) or (words is not None and words[0].envelope.at == since)

    def _wait(self, process: Process, since: float, table: Table[Process, Any], most: int) -> None:
        """A process waits, in this table. Where there is no room, who waits longest has waited enough."""
        if process not in table.rows and len(table.rows) >= most:
            self._close(next(iter(table.rows)))
        self._watch.add(process)
        if len(self._begins) >= _MOST_BEGINS:
            self._order()
        heapq.heappush(self._begins, (since, process))

    def _close(self, process: Process) -> None:
        """End the waiting for a process: what has not come does not come any more."""
        if process not in self._watch:
            return
        self._watch.discard(process)
        failure = self.failures.drop(process)
        if failure is not None:
            self._finish(failure.finished())
        for word in self.words.drop(process) or ():
            self._finish(word)


@lru_cache(maxsize=1024)
def _explained(hits: Hits, error: str, reason: str) -> Hits:
    """What hits have in common that failed for the same reason: the same object, by which whoever lists them knows."""
    return hits.with_more(("error", error), *((("reason", Untrusted(reason)),) if reason else ()))


def _best(words: Iterable[TlsDetail]) -> tuple[str, str]:
    """Error and reason of several library lines: the first that is known, else the first."""
    found = [(tls_error(word.reason.encode()), str(word.reason)) for word in words] or [("other", "")]
    return next((one for one in found if one[0] != "other"), found[0])


@lru_cache(maxsize=1024)
def _read(words: bytes) -> tuple[str, Untrusted]:
    """Error and reason of a library line."""
    reason = untrusted(words)
    return tls_error(reason.encode()), reason


def _part(event: TlsDetail, failure: Handshake | FailedHit | None) -> TlsDetail:
    """The line as a part of a failure; the client that the line itself names stays."""
    client = event.client
    if client is None and isinstance(failure, Handshake):
        client = failure.event.client
    return msgspec.structs.replace(
        event, client=client, envelope=msgspec.structs.replace(event.envelope, part_of="tls_failed")
    )
