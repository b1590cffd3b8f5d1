"""Messages whose queue file was not written to its end: smtpd, then cleanup, say so in up to three lines.

Enters: their events. Leaves: the same; the first line of a message is the event, the others are parts of it. This file
must never know a client.

Anybody can send a message that is too large. What cleanup says of it must not look like a full disk.
"""

import msgspec

from pfwatch.events import Rejected, ServiceHealth
from pfwatch.parsing.listener import MessageKey, Process
from pfwatch.table import Table

MOST_OVERSIZED = 1_000
"""Messages that were refused for their size within the hour, and that cleanup may still speak of; each takes a client
the sending of a whole message."""
MOST_FAILED = 1_000
"""cleanup processes between a failed write and the end of the message; far above the limit of processes."""
LONGEST_MESSAGE = 3_600.0
"""Seconds: smtpd reads the rest of a message that is too large as slowly as the client sends it, and cleanup waits."""


class Oversized(msgspec.Struct):
    """A message that was refused for its size."""

    at: float
    closed: bool = False
    """Whether it is known which close error belongs to it."""


class Unwritten:
    """Follows these messages by queue id, and cleanup's last line, which has none, by its process or else its host."""

    def __init__(self, *, keep: bool) -> None:
        self.oversized: Table[MessageKey, Oversized] = Table(MessageKey, Oversized, MOST_OVERSIZED, keep=keep)
        self.failed: Table[Process, str] = Table(Process, str, MOST_FAILED, keep=keep)
        """cleanup processes whose close error is still to come -> the kind of the event that it is a part of."""

    def too_large(self, event: Rejected, process: Process) -> Rejected:
        """Smtpd or cleanup says of a queue id that it is too large."""
        if event.queue_id is None:
            return event
        key = (process[0], event.queue_id.encode())
        known = self.oversized.get(key)
        if known is not None:
            event = msgspec.structs.replace(event, envelope=msgspec.structs.replace(event.envelope, part_of="rejected"))
        by_cleanup = event.envelope.daemon == "cleanup"
        if by_cleanup:
            self.failed.put(process, "rejected")
        self.oversized.put(key, Oversized(event.envelope.at, by_cleanup or (known is not None and known.closed)))
        return event

    def accepted(self, host: bytes, queue_id: bytes) -> None:
        """The queue id belongs to another message from now on."""
        if self.oversized.rows:
            self.oversized.drop((host, queue_id))

    def not_written(self, process: Process) -> None:
        """Cleanup could not write to the queue for another reason, and has said so."""
        self.failed.put(process, "service_health")

    def closed(self, event: ServiceHealth, process: Process) -> ServiceHealth:
        """Cleanup could not close a queue file: part of what made the writing fail, an event where nobody said that."""
        part_of = self.failed.drop(process) or self._refused_before(process[0], event.envelope.at)
        return msgspec.structs.replace(event, envelope=msgspec.structs.replace(event.envelope, part_of=part_of))

    def _refused_before(self, host: bytes, now: float) -> str | None:
        """`rejected` if a message waits for its close error; the one that waits longest has had it then."""
        for key, message in self.oversized.rows.items():
            if key[0] == host and not message.closed and now - message.at <= LONGEST_MESSAGE:
                self.oversized.put(key, Oversized(message.at, closed=True))
                return "rejected"
        return None
