"""How the lines about Postfix's own state become events: the builders that all of their tables share.

Enters: match objects. Leaves: `service_health` and `housekeeping` events. This file must never know a wording.

The `subject` is what Postfix names in its own place: a service, a table, a path, a server, a parameter. Everything else
may have been typed by somebody and is text.
"""

import re
from typing import Final

import msgspec

from pfwatch.events import Envelope, Housekeeping, ServiceHealth, Untrusted
from pfwatch.parsing.fragments import TEXT_LENGTH, untrusted, word
from pfwatch.parsing.rule import Build

TABLE: Final = r"(?P<subject>[a-z][a-z0-9_-]*+:(?:[^ {}]+|[^ {}]*+\{.{0,400}?\}))"
"""A table as Postfix names it: `hash:/etc/aliases`, `proxy:mysql:/etc/users.cf`, `inline:{ a=b, c=d }`."""

PATH: Final = r"(?P<subject>/[^ :,]++)"

_FULL = re.compile(rb": (?:No space left on device|Disk quota exceeded)\Z")


def message(envelope: Envelope, found: re.Match[bytes]) -> Untrusted:
    """The whole body without its severity."""
    body = found[0]
    return untrusted(body if envelope.severity == "info" else body[len(envelope.severity) + 2 :])


def subject(found: re.Match[bytes]) -> str:
    """What the line is about; empty where Postfix does not say."""
    return (word(found.groupdict().get("subject")) or "")[:TEXT_LENGTH]


def health(problem: str, *, part: bool = False) -> Build[ServiceHealth]:
    """A builder for lines that always mean this problem; with `part`, for those that only go with another line."""

    def build(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
        if part:
            envelope = msgspec.structs.replace(envelope, part_of="service_health")
        return ServiceHealth(envelope, problem, subject(found), message(envelope, found))

    return build


def storage(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    """Something could not be written to the queue: the disk is full, or there is another reason."""
    problem = "disk_full" if _FULL.search(found[0]) else "queue_write"
    return ServiceHealth(envelope, problem, subject(found), message(envelope, found))


def housekeeping(topic: str) -> Build[Housekeeping]:
    """A builder for lines that are read and mean nothing to anybody."""

    def build(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping:
        return Housekeeping(envelope, topic, message(envelope, found))

    return build
