"""A rule at work: its numbers, whom it leaves alone, and the subjects that it watches.

Enters: addresses and clients. Leaves: whom they are counted as, and incidents as they stand. Only the detector and its
diary import this; it must never know an event.
"""

import msgspec

from pfwatch.detection.incident import Incident
from pfwatch.detection.rows import NEVER, Row, Rows
from pfwatch.detection.rules import Networks, subject_of
from pfwatch.detection.settings import RuleSettings
from pfwatch.detection.watch import Told, Watch
from pfwatch.parsing.fragments import address_of_client

_REMEMBERED = 4096


class Watched(msgspec.Struct):
    """A rule at work."""

    name: str
    numbers: RuleSettings
    rows: Rows
    allowed: Networks
    told: Told
    texts: bool
    """Keep what hits and events tell."""
    subjects: dict[str, str | None] = {}
    """Address -> whom it is counted as; None where it is allowed."""
    open: int = 0
    """Incidents that are."""
    given_up: int = 0
    """Texts for which there was no room."""

    def subject(self, ip: str) -> str | None:
        """Whom an address is counted as; None where it is left alone."""
        if ip in self.subjects:
            return self.subjects[ip]
        if len(self.subjects) >= _REMEMBERED:
            self.subjects.clear()
        subject = None if ip in self.allowed else subject_of(ip)
        self.subjects[ip] = subject
        return subject

    def subject_of_client(self, client: bytes) -> str | None:
        """The same of a client as Postfix writes him; None, too, where he has no address."""
        ip = address_of_client(client)
        return None if ip is None or ip in self.allowed else subject_of(ip)

    def settled(self, row: Row) -> Watch:
        """What is known of a subject, every hit counted."""
        watch, waiting, unkept = row.watch, row.waiting, row.unkept
        if watch is None:
            watch = row.watch = Watch(row.host.decode("utf-8", "backslashreplace"))
        if waiting or unkept:
            earliest, row.waiting, row.earliest, row.unkept = row.earliest, [], NEVER, 0
            watch.count_hits(waiting, len(waiting) + unkept, earliest, row.last, self.numbers, keep=self.texts)
        return watch

    def read(self, row: Row) -> Watch:
        """The same, every hit read."""
        watch = self.settled(row)
        watch.read(self.told)
        return watch

    def take(self, row: Row) -> Watch:
        """What is known of a subject whose row was dropped."""
        watch = self.settled(row)
        row.watch = None
        return watch

    def give_up_texts(self, most: int) -> None:
        """Let no subject keep more bytes of texts than this."""
        for row in self.rows:
            if row.watch is not None and row.watch.size > most:
                self.given_up += row.watch.give_up_texts(most)
                self.rows.keep_anew(row)

    def outline(self, subject: str, watch: Watch, ended: float | None = None) -> Incident:
        """The incident as it stands, without what fills a mail."""
        return watch.outline(self.name, subject, self.numbers, ended)

    def whole(self, subject: str, watch: Watch, ended: float | None = None) -> Incident:
        """The incident as it stands."""
        watch.read(self.told)
        return watch.incident(self.name, subject, self.numbers, ended)
