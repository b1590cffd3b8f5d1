"""One subject under one rule: from the first hit, over the threshold, to the end of the incident.

Enters: events that count. Leaves: the `Incident` as it stands. This file must never know which rule it serves.

Below the threshold only what an incident would need is kept, within bounds: an attacker can make many subjects.
"""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from pfwatch.detection.incident import Incident
from pfwatch.detection.rules import Facts
from pfwatch.detection.settings import RuleSettings
from pfwatch.events import Client, Envelope

_TOPS = 20
_DISTINCT = 1000
_CHART = 120
_EVIDENCE = 3
_EVIDENCE_LENGTH = 500
_MINUTE = 60.0


class Watch(msgspec.Struct):
    """What is known of one subject. Times are seconds since the epoch."""

    host: str
    hits: list[tuple[float, int]] = []
    """(time, weight) within the window, until the threshold is reached."""
    first: float = 0.0
    last: float = 0.0
    count: int = 0
    opened: float | None = None
    id: str = ""
    mark: int | None = None
    """The count at which to say that the incident grew."""
    facts: dict[str, dict[str, int]] = {}
    missed: dict[str, int] = {}
    """Field -> texts that found no room any more."""
    chart: dict[float, int] = {}
    begin: list[tuple[bytes, ...]] = []
    end: list[tuple[bytes, ...]] = []
    client: Client | None = None
    service: tuple[str | None, str | None] | None = None
    same: int = 0
    """How often this client and service, whose texts are among the facts, came again: nearly every hit of an attack."""

    def add(self, envelope: Envelope, client: Client, weight: int, facts: Facts, window: int) -> None:
        """Count one hit."""
        at = envelope.at
        if self.opened is None:
            self._forget(at - window)
            self.hits.append((at, weight))
            room = _TOPS
        else:
            room = _DISTINCT
        if not self.count or at < self.first:
            self.first = at
        if at > self.last:
            self.last = at
        self.count += weight
        if client is self.client and (envelope.service, envelope.daemon) == self.service:
            self.same += weight
        else:
            self._add_client(envelope, client, weight, room)
        self._add_facts(facts, weight, room)
        minute, chart = at - at % _MINUTE, self.chart
        if minute in chart:
            chart[minute] += weight
        else:
            chart[minute] = weight
            if len(chart) > _CHART:
                del chart[min(chart)]
        if len(self.begin) < _EVIDENCE:
            self.begin.append(envelope.record)
        else:
            self.end.append(envelope.record)
            if len(self.end) > _EVIDENCE:
                del self.end[0]

    def _add_client(self, envelope: Envelope, client: Client, weight: int, room: int) -> None:
        """A client or service that is not the one of the hit before."""
        self._settle()
        texts = _texts(client, envelope.service, envelope.daemon)
        self._add_facts(texts, weight, room)
        if all(not text or text in self.facts[field] for field, text in texts):
            self.client, self.service = client, (envelope.service, envelope.daemon)

    def _settle(self) -> None:
        """Count the hits that were like the one before them."""
        if self.client is not None and self.service is not None and self.same:
            self._add_facts(_texts(self.client, *self.service), self.same, 0)
        self.client, self.service, self.same = None, None, 0

    def _add_facts(self, found: Facts, weight: int, room: int) -> None:
        facts = self.facts
        for field, text in found:
            if not text:
                continue
            seen = facts.get(field)
            if seen is None:
                seen = facts[field] = {}
            if text in seen:
                seen[text] += weight
            elif len(seen) < room:
                seen[text] = weight
            else:
                self.missed[field] = self.missed.get(field, 0) + 1

    def _forget(self, before: float) -> None:
        """Drop hits that left the window; what was only known through all of them goes with the last."""
        hits = self.hits
        if not hits or hits[0][0] > before:
            return
        if hits[-1][0] <= before:
            self.facts, self.missed, self.chart, self.begin, self.end = {}, {}, {}, [], []
            self.hits, self.count, self.first = [], 0, 0.0
            self.client, self.service, self.same = None, None, 0
            return
        while hits[0][0] <= before:
            self.count -= hits.pop(0)[1]
        self.first = hits[0][0]

    def open(self, rule: str, subject: str, at: float) -> None:
        """Make an incident of it."""
        moment = datetime.fromtimestamp(self.first, UTC).strftime("%Y%m%dT%H%M%SZ")
        key = "\0".join((rule, self.host, subject)).encode()
        self.id = f"{rule}-{moment}-{hashlib.blake2b(key, digest_size=4).hexdigest()}"
        self.opened = at
        self.hits = []

    def outline(self, rule: str, subject: str, settings: RuleSettings) -> Incident:
        """The incident as it stands, without what fills a mail."""
        return Incident(
            id=self.id,
            rule=rule,
            severity=settings.severity,
            subject=subject,
            host=self.host,
            threshold=settings.threshold,
            window=settings.window,
            first=self.first,
            last=self.last,
            count=self.count,
            opened=self.last if self.opened is None else self.opened,
        )

    def incident(self, rule: str, subject: str, settings: RuleSettings, ended: float | None = None) -> Incident:
        """The incident as it stands, whole."""
        self._settle()
        tops = {
            field: sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:_TOPS]
            for field, seen in sorted(self.facts.items())
        }
        return msgspec.structs.replace(
            self.outline(rule, subject, settings),
            ended=ended,
            tops=tops,
            distinct={
                field: min(len(seen) + self.missed.get(field, 0), _DISTINCT)
                for field, seen in sorted(self.facts.items())
            },
            chart=sorted(self.chart.items()),
            evidence=[_line(record) for record in self.begin + self.end],
        )


@lru_cache(maxsize=1024)
def _texts(client: Client, service: str | None, daemon: str | None) -> Facts:
    """What is told of every client."""
    name = None if client.name == "unknown" else client.name
    return ("client", client.ip), ("service", "/".join(filter(None, (service, daemon)))), ("client_name", name)


def _line(record: tuple[bytes, ...]) -> str:
    """A record as it stood in the log."""
    time, host, tag, pid, body = record
    program = b"%s[%s]" % (tag, pid) if pid else tag  # Dovecot writes none
    return (b"%s %s %s: %s" % (time, host, program, body))[:_EVIDENCE_LENGTH].decode("utf-8", "backslashreplace")
