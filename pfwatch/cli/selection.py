"""Which events are asked for, as the options of `pfwatch events` say it.

Enters: kinds, addresses, accounts, times. Leaves: whether an event is asked for. This file must never know how an
event is shown.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pfwatch.events import Client, Event

if TYPE_CHECKING:
    from pfwatch.detection.rules import Networks

_UNREAD = frozenset(("unsupported", "foreign", "malformed"))


class Selection:
    """Asks for whatever fits all that is given."""

    def __init__(
        self,
        kinds: frozenset[str],
        clients: Sequence[str],
        accounts: Sequence[str],
        since: datetime | None,
        until: datetime | None,
    ) -> None:
        """Take the options. Raises ValueError for an address or network that is none."""
        self._kinds = kinds
        self._networks = _networks(clients) if clients else None
        self.has_networks = self._networks is not None
        self.accounts = frozenset(accounts)
        self._begin = since.timestamp() if since else None
        self._end = until.timestamp() if until else None

    def wants(self, event: Event) -> bool:
        """Whether the event is asked for."""
        return (
            self.of_kind(event)
            and self.of_client(getattr(event, "client", None))
            and self.of_account(event)
            and self.in_time(event.envelope.at)
        )

    def of_kind(self, event: Event) -> bool:
        """Whether events of this kind are: all, but lines that no rule reads only if their kind is named."""
        return event.kind in self._kinds if self._kinds else event.kind not in _UNREAD

    def of_client(self, client: Client | None) -> bool:
        """Whether events of this client are."""
        if self._networks is None:
            return True
        return client is not None and client.ip is not None and client.ip in self._networks

    def of_account(self, event: Event) -> bool:
        """Whether an event with its user name is."""
        return not self.accounts or getattr(event, "username", None) in self.accounts

    def in_time(self, at: float) -> bool:
        """Whether events of this time are, in seconds since the epoch."""
        return (self._begin is None or at >= self._begin) and (self._end is None or at < self._end)


def _networks(texts: Sequence[str]) -> "Networks":
    from pfwatch.detection.rules import Networks  # slow to import, and seldom asked for

    return Networks(texts)
