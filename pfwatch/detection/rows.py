"""The subjects that a rule watches, in the order in which they were last seen, and the loop that counts hits for them.

Enters: hits. Leaves: the rows of those of whom somebody has to look at. This file must never know what an incident is.

A hit costs little here because little is touched: it is hung up in the row of its client, which knows how many more
there can be. Compiled where there is a C compiler: then `rows.pxd` says what stands in a row as C has it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pfwatch.detection.watch import Watch
from pfwatch.events import Event
from pfwatch.parsing.hits import Hit, Hits

_HIT = 100
"""Bytes that a hit takes beside its tail; clients are shared."""
_MOMENT = 32
"""Bytes that only a hit's moment takes."""
_MOST_NEWS = 4_000_000
"""Bytes of what happened that wait for the diary; then the rows are kept whole instead."""
NEVER = float("inf")
_SPARE_CLIENTS = 4096
"""Clients that are remembered beside two of each subject."""
_NOBODY: list["Rows"] = []


class Row:
    """A subject. `watch` is what is known of him, up to the hits that wait; None before anybody looked."""

    __slots__ = (
        "bare",
        "earliest",
        "gone",
        "held",
        "host",
        "last",
        "left",
        "older",
        "subject",
        "unkept",
        "waiting",
        "watch",
        "whole_at",
        "younger",
    )

    def __init__(self, subject: str, left: int, watch: Watch | None, last: float, host: bytes) -> None:
        self.subject, self.left, self.watch, self.host = subject, left, watch, host
        self.last = last
        """Seconds since the epoch."""
        self.waiting: list[Hit] | list[float] = []
        """Hits that nobody counted yet, or only their moments."""
        self.earliest = NEVER
        """When the first of those came that wait."""
        self.unkept = 0
        """How many more wait, of which nobody wants to know anything else."""
        self.bare = False
        """No hits are kept from now on."""
        self.gone = False
        self.held = False
        """It is not to be forgotten, however quiet it is."""
        self.whole_at = 0
        """The page of the diary before which all of it was kept whole."""
        self.older: Row | None = None
        self.younger: Row | None = None


_UNKNOWN = Row("", 0, None, 0.0, b"")
_UNKNOWN.gone = True


class Rows:
    """At most `limit` subjects of a rule; the one that was last seen longest ago makes room, and is counted."""

    __slots__ = (
        "changed",
        "ended",
        "evicted",
        "heard",
        "keep",
        "limit",
        "news",
        "of_client",
        "of_subject",
        "quiet_at",
        "ring",
        "rule",
        "texts",
        "window",
    )

    def __init__(self, rule: str, limit: int, window: float, *, keep: bool, texts: bool) -> None:
        """Who was not seen for a `window` is forgotten. With `keep`, what happens is collected for the diary, for which
        there have to be texts; without `texts`, of a hit that waits only its moment is kept.
        """
        self.rule, self.limit, self.window, self.keep, self.texts = rule, limit, window, keep, texts
        self.evicted = 0
        self.quiet_at = 0.0
        """A moment before which no subject can be forgotten."""
        self.changed: set[Row] = set()
        """Those that changed in a way that the diary does not tell."""
        self.ended: set[str] = set()
        """Subjects who are gone without that the diary tells."""
        self.news: list[tuple[Row, Any]] = []
        """What happened since the diary took it, in its order: a hit, what else the diary knows, None for the end."""
        self.heard = 0
        """Bytes that this takes."""
        self.of_subject: dict[str, Row] = {}
        self.of_client: dict[bytes, Row | None] = {}
        """By client, as Postfix writes him; None for one whom the rule leaves alone. The row may be gone meanwhile."""
        self.ring = Row("", 0, None, 0.0, b"")
        """Stands between the youngest and the oldest row."""
        self.ring.older = self.ring.younger = self.ring

    def __iter__(self) -> Iterator[Row]:
        """The rows from the oldest on; the one that was given may be dropped meanwhile."""
        row = self.ring.younger
        while row is not None and row is not self.ring:
            younger = row.younger
            yield row
            row = younger

    def add(self, subject: str, left: int, watch: Watch | None = None, last: float = 0.0, *, host: bytes = b"") -> Row:
        """A row for a subject who has none; the caller made room. Without a watch, `host` is where he was seen."""
        row = self.of_subject[subject] = Row(subject, left, watch, last, host)
        self._hang_in(row)
        return row

    def know(self, client: bytes, row: Row | None) -> None:
        """Remember whom a client is counted as."""
        most = 2 * len(self.of_subject) + _SPARE_CLIENTS
        if len(self.of_client) >= most:
            left = {known: row for known, row in self.of_client.items() if row is not None and not row.gone}
            self.of_client.clear()
            if len(left) < most // 2:  # else who has many addresses would have it sorted out again and again
                self.of_client.update(left)
        self.of_client[client] = row

    def touch(self, row: Row) -> None:
        """Make a row the youngest."""
        if row.younger is not self.ring:
            self._hang_out(row)
            self._hang_in(row)

    def hang_up(self, row: Row, hit: Hit) -> int:
        """Let a hit wait in its row. Gives the bytes that it takes."""
        if not self.texts:
            return self.hang_up_moment(row, hit.at)
        size = len(hit.tail)
        self.touch(row)
        self.heard += size
        self.note(row, hit)
        row.left -= 1
        row.last = max(row.last, hit.at)
        row.earliest = min(row.earliest, hit.at)
        if row.bare:
            row.unkept += 1
            return 0
        row.waiting.append(hit)  # type: ignore[arg-type] # it is one of hits
        return _HIT + size

    def hang_up_moment(self, row: Row, at: float) -> int:
        """Without texts: let the moment of a hit, or of an event that counts once, wait in its row; the same."""
        self.touch(row)
        row.left -= 1
        row.last = max(row.last, at)
        row.earliest = min(row.earliest, at)
        if row.bare:
            row.unkept += 1
            return 0
        row.waiting.append(at)  # type: ignore[arg-type] # it is one of moments
        return _MOMENT

    def drop(self, row: Row) -> None:
        """Remove a row; what it holds is to be taken out of it, for clients still lead to it."""
        del self.of_subject[row.subject]
        row.gone = True
        self._hang_out(row)
        self.note(row, None)
        if row in self.changed:
            self.changed.discard(row)
            self.ended.add(row.subject)

    def forget_quiet(self, at: float) -> None:
        """Drop the rows that were last seen before the window that ends now; they stand in the order of last sight."""
        row: Row | None = self.ring.younger
        while row is not None and row is not self.ring:
            if row.last > at - self.window:
                self.quiet_at = row.last + self.window
                break
            if row.held:
                self.quiet_at = at + 1  # it moves on, or ends, in its time
                break
            self.drop(row)
            row.watch, row.waiting = None, []
            row = self.ring.younger

    def make_room(self) -> Row | None:
        """Remove the oldest row where there is no room for another one."""
        row = self.ring.younger
        if len(self.of_subject) < self.limit or row is None:
            return None
        self.drop(row)
        self.evicted += 1
        return row

    def keep_anew(self, row: Row) -> None:
        """Say that a row was changed, or is gone, in a way that the diary does not tell."""
        if not self.keep:
            return
        if row.gone:
            self.ended.add(row.subject)
        else:
            self.changed.add(row)

    def note(self, row: Row, what: Any) -> None:
        """Say what happened to a row; whoever does adds the bytes to `heard`, where there are many."""
        if not self.keep:
            return
        self.heard += _HIT
        if self.heard > _MOST_NEWS:  # the disk does not answer
            for changed, _ in [*self.take_news(), (row, what)]:
                self.keep_anew(changed)
        else:
            self.news.append((row, what))

    def take_news(self) -> list[tuple[Row, Any]]:
        """What happened since the last call."""
        news, self.news, self.heard = self.news, [], 0
        return news

    def restore(self, watches: Mapping[str, Watch]) -> None:
        """Take what is known of each subject."""
        for subject, watch in sorted(watches.items(), key=lambda one: one[1].last):  # they come in no order
            self.add(subject, 0, watch, watch.last)

    def _hang_in(self, row: Row) -> None:
        ring = self.ring
        youngest = ring.older
        row.older, row.younger = youngest, ring
        youngest.younger = ring.older = row  # type: ignore[union-attr] # it is in the ring

    def _hang_out(self, row: Row) -> None:
        older, younger = row.older, row.younger
        older.younger, younger.older = younger, older  # type: ignore[union-attr] # they are in the ring
        row.older = row.younger = None


class Looker(Protocol):
    """Whoever looks at rows."""

    def meet(self, rows: Rows, hit: Hit, gone: str, changes: list[Any]) -> Row | None:
        """The row of a client who has none, or none any more: the subject then was `gone`. None for one whom the rule
        leaves alone. Adds to the changes.
        """

    def look(self, rows: Rows, row: Row, at: float) -> Sequence[Any]:
        """There were as many hits as can change something: gives what changed."""


class HitCounter:
    """Counts the hits that rules want, up to one of whom somebody has to look."""

    __slots__ = ("changes", "looker", "number", "room", "wanted")

    def __init__(self, looker: Looker, wanted: dict[type[Event], list[Rows]], room: int) -> None:
        """`wanted` says which kind counts for which subjects."""
        self.looker, self.wanted = looker, wanted
        self.room = room
        """Bytes of hits that there may be; each takes some of it."""
        self.number = 0
        """Where it stands among the events."""
        self.changes: list[Any] = []

    def count(self, events: list[Any], begin: int, until: float) -> tuple[int, list[Any]]:
        """Count the hits that stand at `begin` and behind it, up to the first event that is none, the first at `until`
        or later, one that changes something, or one behind which there is no room left. Gives where it stopped, and
        the changes.
        """
        end = len(events)
        hits: Hits | None = None
        of_kind: list[Rows] = _NOBODY
        one: Any
        hit: Hit
        rows: Rows
        self.number, self.changes = begin, []
        while self.number < end and self.room > 0 and not self.changes:
            one = events[self.number]
            if type(one) is not Hit:
                break
            hit = one
            if hit.at >= until:
                break
            self.number += 1
            if hit.hits is not hits:
                hits = hit.hits
                of_kind = self.wanted.get(hits.kind, _NOBODY)
            for rows in of_kind:
                self._count_one(rows, hit)
        return self.number, self.changes

    def _count_one(self, rows: Rows, hit: Hit) -> None:
        row: Row | None = rows.of_client.get(hit.client, _UNKNOWN)
        if row is not None and row.gone:
            row = self.looker.meet(rows, hit, row.subject, self.changes)
        if row is None:
            return
        self.room -= rows.hang_up(row, hit)
        if hit.at >= rows.quiet_at:
            rows.forget_quiet(hit.at)
        if row.left <= 0:
            self.changes += self.looker.look(rows, row, hit.at)
