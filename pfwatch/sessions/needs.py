"""What an event owes to other lines than its own.

Enters: the kinds that somebody wants. Leaves: what has to be read for them. This file must never know a wording; what
stands here is what the other files of this package do, and a test reads every log both ways.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from pfwatch.events import (
    AuthBackendFailed,
    AuthFailed,
    AuthProbed,
    ContentAction,
    Event,
    Foreign,
    Malformed,
    MessageIdentified,
    MessageQueued,
    MilterAction,
    ProxyVerdict,
    Rejected,
    ServiceHealth,
    TlsDetail,
    TlsFailed,
    Unsupported,
)
from pfwatch.parsing.rule import Note
from pfwatch.parsing.wanted import Wanted

_UNREAD: Final = frozenset((Foreign, Malformed, Unsupported))


class Need(NamedTuple):
    """What has to be read beside an event's own line."""

    kinds: frozenset[type[Event]] = frozenset()
    notes: frozenset[Note] = frozenset()


_CLIENT_OF_SESSION: Final[frozenset[Note]] = frozenset(("connect", "disconnect"))
_OF_MESSAGE: Final = Need(frozenset((MessageQueued,)), frozenset(("client", "removed")))

NEEDS: Final[Mapping[type[Event], Need]] = {
    AuthProbed: Need(frozenset((AuthFailed, AuthBackendFailed)), _CLIENT_OF_SESSION),
    AuthBackendFailed: Need(notes=_CLIENT_OF_SESSION),
    ProxyVerdict: Need(notes=_CLIENT_OF_SESSION),
    TlsFailed: Need(frozenset((TlsDetail,))),
    TlsDetail: Need(frozenset((TlsFailed,)), _CLIENT_OF_SESSION),
    MessageQueued: _OF_MESSAGE,
    MessageIdentified: _OF_MESSAGE,
    MilterAction: _OF_MESSAGE,
    ContentAction: _OF_MESSAGE,
    Rejected: Need(_OF_MESSAGE.kinds, _OF_MESSAGE.notes | _CLIENT_OF_SESSION),
    ServiceHealth: Need(frozenset((Rejected,)), frozenset(("client",))),
}
"""Kind -> its need. What these others need in turn, so as to be complete themselves, nobody asks for."""


def needed(kinds: frozenset[type[Event]]) -> Wanted | None:
    """What has to be read for all events of these kinds; None: every line."""
    if not kinds or kinds & _UNREAD:
        return None
    needs = [NEEDS[kind] for kind in kinds if kind in NEEDS]
    return Wanted(kinds.union(*(need.kinds for need in needs)), frozenset().union(*(need.notes for need in needs)))
