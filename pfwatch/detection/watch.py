"""One subject under one rule: from the first hit, over the threshold, to the end of the incident.

Enters: hits. Leaves: the `Incident` as it stands. This file must never know which rule it serves.

Below the threshold only what an incident would need is kept, within bounds: an attacker can make many subjects.
"""

import hashlib
from datetime import UTC, datetime

import msgspec

from pfwatch.detection.incident import Incident
from pfwatch.detection.rules import Hit
from pfwatch.detection.settings import RuleSettings
from pfwatch.events import Envelope

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

    def add(self, envelope: Envelope, hit: Hit, window: int) -> None:
        """Count one hit."""
        at, weight = envelope.at, hit.weight
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
        self._add_facts(hit.facts, weight, room)
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

    def _add_facts(self, found: tuple[tuple[str, str | None], ...], weight: int, room: int) -> None:
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
        if self.hits and self.hits[-1][0] <= before:
            self.facts, self.missed, self.chart, self.begin, self.end = {}, {}, {}, [], []
            self.hits, self.count, self.first = [], 0, 0.0
            return
        while self.hits and self.hits[0][0] <= before:
            self.count -= self.hits.pop(0)[1]
            self.first = self.hits[0][0]

    def open(self, rule: str, subject: str, at: float) -> None:
        """Make an incident of it."""
        moment = datetime.fromtimestamp(self.first, UTC).strftime("%Y%m%dT%H%M%SZ")
        key = "\0".join((rule, self.host, subject)).encode()
        self.id = f"{rule}-{moment}-{hashlib.blake2b(key, digest_size=4).hexdigest()}"
        self.opened = at
        self.hits = []

    def incident(self, rule: str, subject: str, settings: RuleSettings, ended: float | None = None) -> Incident:
        """The incident as it stands."""
        tops = {
            field: sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:_TOPS]
            for field, seen in sorted(self.facts.items())
        }
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
            ended=ended,
            tops=tops,
            distinct={
                field: min(len(seen) + self.missed.get(field, 0), _DISTINCT)
                for field, seen in sorted(self.facts.items())
            },
            chart=sorted(self.chart.items()),
            evidence=[_line(record) for record in self.begin + self.end],
        )


def _line(record: tuple[bytes, ...]) -> str:
    """A record as it stood in the log."""
    time, host, tag, pid, body = record
    return (b"%s %s %s[%s]: %s" % (time, host, tag, pid, body))[:_EVIDENCE_LENGTH].decode("utf-8", "backslashreplace")
