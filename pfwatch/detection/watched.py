"""A rule at work: its numbers, whom it leaves alone, and the subjects that it watches.

Enters: addresses and clients. Leaves: whom they are counted as, and incidents as they stand. Only the detector imports
this; it must never know an event.
"""

import msgspec

from pfwatch.detection.incident import Incident
from pfwatch.detection.rules import Networks, subject_of
from pfwatch.detection.settings import RuleSettings
from pfwatch.detection.watch import Told, Watch
from pfwatch.parsing.fragments import client_of
from pfwatch.table import Table

_REMEMBERED = 16_384


class Watched(msgspec.Struct):
    """A rule at work."""

    name: str
    numbers: RuleSettings
    table: Table[str, Watch]
    allowed: tuple[Networks, ...]
    told: Told
    subjects: dict[str, str | None] = {}
    """Address -> whom it is counted as; None where it is allowed."""
    clients: dict[bytes, str | None] = {}
    """The same by client, as Postfix writes him."""
    open: int = 0
    """Incidents that are."""
    given_up: int = 0
    """Texts for which there was no room."""
    quiet_at: float = 0.0
    """A moment before which no subject can be forgotten."""

    def subject(self, ip: str) -> str | None:
        """Whom an address is counted as, for the first time."""
        if len(self.subjects) >= _REMEMBERED:
            self.subjects.clear()
        subject = None if any(ip in networks for networks in self.allowed) else subject_of(ip)
        self.subjects[ip] = subject
        return subject

    def subject_of_client(self, text: bytes) -> str | None:
        """Whom a client is counted as, for the first time."""
        if len(self.clients) >= _REMEMBERED:
            self.clients.clear()
        ip = client_of(text).ip
        subject = self.clients[text] = self.subject(ip) if ip else None
        return subject

    def read(self, watch: Watch) -> None:
        """Read the hits of a subject that nobody has read yet."""
        watch.read(self.numbers.window, self.told)

    def give_up_texts(self, most: int) -> None:
        """Let no subject keep more bytes of texts than this."""
        for subject, watch in self.table.rows.items():
            if watch.size > most:
                self.given_up += watch.give_up_texts(most)
                self.table.touch((subject,))

    def outline(self, subject: str, watch: Watch, ended: float | None = None) -> Incident:
        """The incident as it stands, without what fills a mail."""
        watch.settle(self.numbers.window)
        return watch.outline(self.name, subject, self.numbers, ended)

    def whole(self, subject: str, watch: Watch, ended: float | None = None) -> Incident:
        """The incident as it stands."""
        self.read(watch)
        return watch.incident(self.name, subject, self.numbers, ended)
