"""One subject under one rule: from the first hit, over the threshold, to the end of the incident.

Enters: events that count. Leaves: the `Incident` as it stands. This file must never know which rule it serves.

Below the threshold only what an incident would need is kept, within bounds: an attacker can make many subjects.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from typing import Any

import msgspec

try:
    from _blake2 import blake2b  # hashlib's own, without OpenSSL, whose start takes as long as that of ten modules
except ImportError:
    from hashlib import blake2b

from pfwatch.detection.incident import Incident
from pfwatch.detection.rules import Facts
from pfwatch.detection.settings import RuleSettings
from pfwatch.detection.texts import as_evidence, cut_record, line_of, read_text, size_of, texts_of_client
from pfwatch.events import Client, Event
from pfwatch.parsing.fragments import client_of
from pfwatch.parsing.hits import Hit, Hits, count_alike, count_minutes, record_of

Pairs = tuple[tuple[str, str], ...]
Told = Mapping[type[Event], Pairs]
"""Kind of hits -> what is told of one beside client and service: field, and group of the plain form."""
_TOPS = 20
_DISTINCT = 1000
_CHART = 120
_EVIDENCE = 3
_MINUTE = 60.0
_MOST_ALIKE = 256
"""Of one subject; beyond, they are read."""
_SECONDS = [f"{second:02}Z" for second in range(60)]
_NEVER = 1 << 60
_NONE: dict[str, Any] = {}
_EMPTY: list[Any] = []
"""What an outline has instead of what fills a mail; the same in all of them."""
_PACKED = 250
"""Bytes that a hit among those alike takes beside what stands in it."""


class Happened(msgspec.Struct, frozen=True, tag=1, array_like=True, gc=False):
    """An event that counts, and what is told of it."""

    at: float
    weight: int
    host: str
    service: str | None
    daemon: str | None
    record: tuple[bytes, ...]
    client: Client
    facts: Facts


class Watch(msgspec.Struct):
    """What is known of one subject, up to the hits that wait in his row. Times are seconds since the epoch."""

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
    size: int = 0
    """Bytes of the facts."""
    known: dict[str, int] = {}
    """Field -> how many texts there were before some were given up."""
    full: bool = False
    """Texts were given up, so no new ones are taken: one of them might come again, and its count would be wrong."""
    chart: dict[float, int] = {}
    begin: tuple[tuple[bytes, ...], ...] = ()
    end: tuple[tuple[bytes, ...], ...] = ()
    client: Client | None = None
    service: tuple[str | None, str | None] | None = None
    same: int = 0
    """How often this client and service, whose texts are among the facts, came again."""
    unread: list[Any] = []
    """Hits that are counted, and whose texts nobody needed yet."""
    alike: dict[Any, int] = {}
    """The same, once they were packed: (what they have in common, client, tail) -> how many."""
    packed: int = 0
    """Bytes that these take, or will once they were read."""
    early: tuple[Any, ...] = ()
    late: tuple[Any, ...] = ()
    """Those of them that are evidence."""
    page: int = 0
    """Of a watch that is kept: the page of the diary up to which all is in it."""

    def count_hits(
        self,
        hits: list[Hit] | list[float],
        number: int,
        earliest: float,
        last: float,
        numbers: RuleSettings,
        *,
        keep: bool,
    ) -> None:
        """Count so many hits, the earliest of which came then; `last` is the latest of all that there were. With `keep`
        they are kept until somebody wants to know what they tell; without, these are only their moments. Only of an
        incident there may be more than `hits`.
        """
        self.last = last
        if self.opened is None and last - min(earliest, self.hits[0][0] if self.hits else earliest) >= numbers.window:
            self._count_leaving(hits, numbers.window, keep=keep)
            return
        self.first = min(self.first, earliest) if self.count else earliest
        self.count += number
        if keep:
            self.unread = self.unread + hits if self.unread else hits
        if self.opened is None and self.count < numbers.threshold:  # else it opens now
            self.hits += [(at, 1) for at in _moments(hits)]

    def pack(self, told: Told) -> None:
        """Keep of all hits that are unread what an incident needs of them."""
        unread: list[Hit] = self.unread
        if not unread:
            return
        self.unread = []
        for minute, times in count_minutes(unread):
            self._add_minute(minute, times)
        missing = max(0, _EVIDENCE - len(self.begin) - len(self.early))
        self.early = (*self.early, *map(as_evidence, unread[:missing]))
        self.late = (*self.late, *map(as_evidence, unread[missing:][-_EVIDENCE:]))[-_EVIDENCE:]
        before = len(self.alike)
        size = count_alike(unread, self.alike)
        self.packed += _PACKED * (len(self.alike) - before) + 4 * size  # \xff, and any other character
        if len(self.alike) > _MOST_ALIKE:
            self.read(told)

    def read(self, told: Told) -> None:
        """Read what the hits tell."""
        self.pack(told)
        if not self.alike:
            return
        self._count_same()
        for hits, same in groupby(self.alike.items(), lambda item: item[0][0]):
            self._add_hits(hits, list(same), told[hits.kind])
        self.begin = (*self.begin, *(cut_record(record_of(hit)) for hit in self.early))
        self.end = (*self.end, *(cut_record(record_of(hit)) for hit in self.late))[-_EVIDENCE:]
        self.alike, self.packed, self.early, self.late = {}, 0, (), ()

    def give_up_texts(self, most: int) -> int:
        """Keep of what was read only the most frequent texts, in so many bytes. Gives how many others there were."""
        self._count_same()
        self.full, self.size, given_up = True, 0, 0
        facts, size = self.facts, 0
        for field, seen in facts.items():
            self.known[field] = max(self.known.get(field, 0), len(seen))
        every = [(-times, field, text) for field, seen in facts.items() for text, times in seen.items()]
        for times, field, text in sorted(every):
            size += size_of(text)
            if size <= most:
                self.size = size
                continue
            del facts[field][text]
            self.missed[field] = self.missed.get(field, 0) - times
            given_up += 1
        return given_up

    def _count_leaving(self, hits: list[Hit] | list[float], window: int, *, keep: bool) -> None:
        """Count hits below the threshold where some may leave the window."""
        for hit, at in zip(hits, _moments(hits), strict=True):
            self._forget(at - window)
            self.hits.append((at, 1))
            if not self.count or at < self.first:
                self.first = at
            self.count += 1
            if keep:
                self.unread.append(hit)

    def _add_hits(self, hits: Hits, alike: list[tuple[tuple[Hits, bytes, bytes], int]], told: Pairs) -> None:
        """Add what is told of hits that have nearly all in common."""
        for (_, client, _), times in alike:
            self._add_facts(texts_of_client(client_of(client), hits.service, hits.daemon), times)
        columns = hits.texts([tail for (_, _, tail), _ in alike], tuple(group for _, group in told))
        for (field, _), column in zip(told, columns, strict=True):
            for text, (_, times) in zip(column, alike, strict=True):
                self._add_facts(((field, read_text(text)),), times)

    def add(self, at: float, weight: int, window: int) -> None:
        """Count one event, behind the hits that waited."""
        if self.opened is None:
            self._forget(at - window)
            self.hits.append((at, weight))
        if not self.count or at < self.first:
            self.first = at
        if at > self.last:
            self.last = at
        self.count += weight

    def happen(self, one: Happened, window: int, *, tell: bool) -> None:
        """Count an event, and keep what it tells if it is to; behind the hits that were read."""
        self.add(one.at, one.weight, window)
        if not tell:
            return
        if one.client is self.client and (one.service, one.daemon) == self.service:
            self.same += one.weight
        else:
            self._add_client(one)
        self._add_facts(one.facts, one.weight)
        self._add_minute(one.at - one.at % _MINUTE, one.weight)
        if len(self.begin) < _EVIDENCE:
            self.begin = (*self.begin, one.record)
        else:
            self.end = (*self.end, one.record)[-_EVIDENCE:]

    def _add_minute(self, minute: float, weight: int) -> None:
        chart = self.chart
        if minute in chart:
            chart[minute] += weight
        else:
            chart[minute] = weight
            if len(chart) > _CHART:
                del chart[min(chart)]

    def _add_client(self, one: Happened) -> None:
        """A client or service that is not the one of the hit before."""
        self._count_same()
        texts = texts_of_client(one.client, one.service, one.daemon)
        self._add_facts(texts, one.weight)
        if all(not text or text in self.facts[field] for field, text in texts):
            self.client, self.service = one.client, (one.service, one.daemon)

    def _count_same(self) -> None:
        """Count the hits that were like the one before them."""
        if self.client is not None and self.service is not None and self.same:
            self._add_facts(texts_of_client(self.client, *self.service), self.same)
        self.client, self.service, self.same = None, None, 0

    def _add_facts(self, found: Facts, weight: int) -> None:
        facts = self.facts
        for field, text in found:
            if not text:
                continue
            seen = facts.get(field)
            if seen is None:
                seen = facts[field] = {}
            if text in seen:
                seen[text] += weight
            elif len(seen) < _DISTINCT and not self.full:
                seen[text] = weight
                self.size += size_of(text)
            else:
                self.missed[field] = self.missed.get(field, 0) + weight

    def _forget(self, before: float) -> None:
        """Drop hits that left the window; what was only known through all of them goes with the last."""
        hits = self.hits
        if not hits or hits[0][0] > before:
            return
        if hits[-1][0] <= before:
            self.facts, self.missed, self.chart, self.begin, self.end = {}, {}, {}, (), ()
            self.hits, self.count, self.first = [], 0, 0.0
            self.client, self.service, self.same = None, None, 0
            self.unread, self.alike, self.packed, self.early, self.late = [], {}, 0, (), ()
            self.size, self.known, self.full = 0, {}, False
            return
        while hits[0][0] <= before:
            self.count -= hits.pop(0)[1]
        self.first = hits[0][0]

    def open(self, rule: str, subject: str, at: float) -> None:
        """Make an incident of it."""
        key = f"{rule}\0{self.host}\0{subject}".encode()
        self.id = f"{rule}-{_utc(int(self.first))}-{blake2b(key, digest_size=4).hexdigest()}"
        self.opened = at
        self.hits = []

    def room(self, threshold: int) -> int:
        """How many more hits there can be before something happens."""
        if self.opened is None:
            return threshold - self.count
        return _NEVER if self.mark is None else self.mark - self.count

    def outline(self, rule: str, subject: str, settings: RuleSettings, ended: float | None = None) -> Incident:
        """The incident as it stands, without what fills a mail."""
        opened = self.last if self.opened is None else self.opened
        # By their places, which takes half the time: there are three outlines of each incident.
        return Incident(
            self.id, rule, settings.severity, subject, self.host, settings.threshold, settings.window,
            self.first, self.last, self.count, opened, ended, _NONE, _NONE, _EMPTY, _EMPTY,
        )  # fmt: skip

    def incident(self, rule: str, subject: str, settings: RuleSettings, ended: float | None = None) -> Incident:
        """The incident as it stands, whole."""
        self._count_same()
        tops = {
            field: sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:_TOPS]
            for field, seen in sorted(self.facts.items())
        }
        return msgspec.structs.replace(
            self.outline(rule, subject, settings, ended),
            tops=tops,
            distinct={field: self._distinct(field) for field in sorted(self.facts)},
            incomplete=tuple(sorted(self.missed)),
            chart=sorted(self.chart.items()),
            evidence=[line_of(record) for record in self.begin + self.end],
        )

    def _distinct(self, field: str) -> int:
        """How many texts there were at least; exact where none was missed."""
        kept, missed = len(self.facts[field]), self.missed.get(field, 0)
        if self.full:  # what was missed may be what was given up
            return max(self.known.get(field, 0), kept + bool(missed))
        return min(kept + missed, _DISTINCT)


def _moments(hits: list[Hit] | list[float]) -> list[float]:
    return [hit if isinstance(hit, float) else hit.at for hit in hits]


def _utc(second: int) -> str:
    minute, seconds = divmod(second, 60)
    return _utc_minute(minute) + _SECONDS[seconds]


@lru_cache(maxsize=1024)
def _utc_minute(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).isoformat("T", "minutes")[:16].replace("-", "").replace(":", "")
