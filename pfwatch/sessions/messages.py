"""Messages by queue id: who brought them, and as whom.

Enters: queue ids with the client that Postfix named when it accepted them. Leaves: events with this client. This file
must never know a session, nor take a client from any other line.
"""

from typing import TypeVar

import msgspec

from pfwatch.events import Client, ContentAction, MessageIdentified, MessageQueued, MilterAction, Rejected
from pfwatch.parsing.fragments import client_of, untrusted, worth_keeping
from pfwatch.parsing.listener import Brought, MessageKey
from pfwatch.table import Table

MOST_MESSAGES = 50_000
"""Messages between `client=` and `removed`; beyond, the oldest loses its client and account."""

OfMessage = TypeVar("OfMessage", MessageIdentified, MilterAction, ContentAction, Rejected)
"""What has its client from the queue id, where the line does not say it in its own place."""


class Messages:
    """Every message in the queue, as far as its beginning was seen."""

    def __init__(self, *, keep: bool) -> None:
        self.rows: Table[MessageKey, Brought] = Table(MessageKey, Brought, MOST_MESSAGES, keep=keep)

    def accepted(self, host: bytes, queue_id: bytes, client: bytes, username: bytes | None) -> None:
        """A queue file was opened; whatever had this queue id before is gone."""
        self.rows.put((host, queue_id), (client, worth_keeping(username), False))

    def removed(self, host: bytes, queue_id: bytes) -> None:
        """The message left the queue."""
        self.rows.drop((host, queue_id))

    def with_client(self, event: OfMessage, host: bytes) -> OfMessage:
        """An event with the client of its message, unless it has one."""
        if event.client is not None or event.queue_id is None:
            return event
        client = _client(self.rows.get((host, event.queue_id.encode())))
        return event if client is None else msgspec.structs.replace(event, client=client)

    def queued(self, event: MessageQueued, host: bytes) -> MessageQueued:
        """The queue manager took a message up: by whom it was brought, and whether it was up before."""
        key = (host, event.queue_id.encode())
        message = self.rows.get(key) or (None, None, False)
        client, username, again = message
        if not again:
            self.rows.put(key, (client, username, True))
        return msgspec.structs.replace(
            event,
            client=_client(message),
            username=untrusted(username) if username else None,
            reactivated=again,
        )


def _client(message: Brought | None) -> Client | None:
    """Read when somebody asks."""
    return client_of(message[0]) if message and message[0] else None
