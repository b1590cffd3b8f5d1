"""What a subject keeps of the texts and lines that are told of it, and how much room there is for them.

Enters: pieces of log lines, and sizes. Leaves: the same as they are told, none longer than that. This file must never
know what counts.
"""

from collections.abc import Iterable
from functools import lru_cache

from pfwatch.detection.rules import Facts
from pfwatch.events import Client
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.hits import Hit

_EVIDENCE_LENGTH = 500
_TEXT = 100
"""Bytes that a text among the facts takes beside its characters."""
_REMEMBERED_LENGTH = 64
"""Bytes of a text that is read once only: names that come often are short, and the memory is for thousands of them."""


def share(sizes: Iterable[int], most: int) -> int:
    """How much each may take at most, so that all together take `most`: those that take little are left alone."""
    ordered = sorted(sizes)
    for number, size in enumerate(ordered):
        if size * (len(ordered) - number) > most:
            return most // (len(ordered) - number)
        most -= size
    return ordered[-1] if ordered else most


def size_of(text: str) -> int:
    """Bytes that a text takes among those that are counted, at most."""
    return _TEXT + len(text) * (1 if text.isascii() else 4)


def read_text(text: bytes) -> str:
    """What somebody typed, as it is told."""
    return _read_short(text) if len(text) <= _REMEMBERED_LENGTH else str(untrusted(text))


@lru_cache(maxsize=4096)
def _read_short(text: bytes) -> str:
    return str(untrusted(text))


@lru_cache(maxsize=1024)
def texts_of_client(client: Client, service: str | None, daemon: str | None) -> Facts:
    """What is told of every client."""
    name = None if client.name == "unknown" else client.name
    return ("client", client.ip), ("service", "/".join(filter(None, (service, daemon)))), ("client_name", name)


def as_evidence(hit: Hit) -> Hit:
    """A hit with no more of its line than evidence shows."""
    if len(hit.tail) <= _EVIDENCE_LENGTH:
        return hit
    return Hit(hit.hits, hit.moment, hit.time, hit.pid, hit.queue_id, hit.client, hit.tail[:_EVIDENCE_LENGTH])


def cut_record(record: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """A record with no more of its body than evidence shows."""
    return record if len(record[-1]) <= _EVIDENCE_LENGTH else (*record[:-1], record[-1][:_EVIDENCE_LENGTH])


def line_of(record: tuple[bytes, ...]) -> str:
    """A record as it stood in the log."""
    time, host, tag, pid, body = record
    program = b"%s[%s]" % (tag, pid) if pid else tag  # Dovecot writes none
    return (b"%s %s %s: %s" % (time, host, program, body))[:_EVIDENCE_LENGTH].decode("utf-8", "backslashreplace")
