"""Messages by queue id: who brought them, and as whom.

Enters: queue ids with the client that Postfix named when it accepted them. Leaves: events with this client. This file
must never know a session, nor take a client from any other line.
"""

from typing import TypeVar

import msgspec

from pfwatch.events import Client, ContentAction, MessageIdentified, MessageQueued, MilterAction, Rejected
from pfwatch.parsing.fragments import client_of, untrusted
from pfwatch.table import Table

MOST_MESSAGES = 50_000
"""Messages between `client=` and `removed`; beyond, the oldest loses its client and account."""

Key = tuple[bytes, bytes]
"""Host and queue id."""

OfMessage = TypeVar("OfMessage", MessageIdentified, MilterAction, ContentAction, Rejected)
"""What has its client from the queue id, where the line does not say it in its own place."""


class Message(msgspec.Struct):
    """One message in the queue."""

    client: bytes | None
    """As Postfix wrote it; read when somebody asks."""
    username: bytes | None
    queued: bool = False


class Messages:
    """Every message in the queue, as far as its beginning was seen."""

    def __init__(self, *, keep: bool) -> None:
        self.rows: Table[Key, Message] = Table(Key, Message, MOST_MESSAGES, keep=keep)

    def accepted(self, host: bytes, queue_id: bytes, client: bytes, username: bytes | None) -> None:
        """A queue file was opened; whatever had this queue id before is gone."""
        self.rows.put((host, queue_id), Message(client, username))

    def removed(self, host: bytes, queue_id: bytes) -> None:
        """The message left the queue."""
        self.rows.drop((host, queue_id))

    def with_client(self, event: OfMessage, host: bytes) -> OfMessage:
        """An event with the client of its message, unless it has one."""
        if event.client is not None or event.queue_id is None:
            return event
        message = self.rows.get((host, event.queue_id.encode()))
        client = _client(message)
        return event if client is None else msgspec.structs.replace(event, client=client)

    def queued(self, event: MessageQueued, host: bytes) -> MessageQueued:
        """The queue manager took a message up: by whom it was brought, and whether it was up before."""
        key = (host, event.queue_id.encode())
        message = self.rows.get(key) or Message(None, None)
        again = message.queued
        if not again:
            message.queued = True
            self.rows.put(key, message)
        username = untrusted(message.username) if message.username else None
        return msgspec.structs.replace(event, client=_client(message), username=username, reactivated=again)


def _client(message: Message | None) -> Client | None:
    return client_of(message.client) if message and message.client else None
