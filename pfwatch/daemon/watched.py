"""The sources that the daemon watches, as one.

Enters: settings and the positions of the last commit. Leaves: the sources, and how they are. Which kinds there are is
known here and nowhere else; this file must never know what becomes of a block.
"""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import BinaryIO

from pfwatch.metrics.counters import Counters
from pfwatch.position import FilePosition, JournalPosition, Position
from pfwatch.records.time import TimeReader
from pfwatch.sources.begin import first_line_since
from pfwatch.sources.follow import FileFollower
from pfwatch.sources.journal import JournalSource
from pfwatch.sources.settings import SourceSettings
from pfwatch.sources.source import Source


class Watched:
    """All sources of one run. `problem` says what cannot be read at present."""

    def __init__(
        self,
        settings: SourceSettings,
        positions: Mapping[str, Position],
        zone: tzinfo | None,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._zone = zone
        self._now = now
        self.problem: str | None = None
        self.sources: list[Source] = [self._file(path, positions.get(path)) for path in settings.paths]
        self._journal = self._open_journal(positions) if settings.journal.enabled else None
        if self._journal is not None:
            self.sources.append(self._journal)

    def at_end(self) -> bool:
        """Nothing is left unread anywhere."""
        return all(source.at_end for source in self.sources)

    def names(self) -> str:
        """For messages."""
        return ", ".join(source.name for source in self.sources)

    def look(self, counters: Counters) -> bool:
        """See how the sources are; whether `problem` is another one than before."""
        problem = "; ".join(f"{one.name} {one.problem}" for one in self.sources if one.problem) or None
        for source in self.sources:
            counters.set("pfwatch_source_up", (source.name,), 0 if source.problem else 1)
            if source.at_end:
                counters.set("pfwatch_source_lag_seconds", (source.name,), 0)
        if self._journal is not None and (forged := self._journal.take_forged()):
            counters.add("pfwatch_journal_forged_total", (self._journal.name,), forged)
        before, self.problem = self.problem, problem
        return problem != before

    def _file(self, path: str, position: Position | None) -> FileFollower:
        known = position if isinstance(position, FilePosition) else None
        return FileFollower(path, self._settings, position=known, start_at=self._first_offset, now=self._now)

    def _open_journal(self, positions: Mapping[str, Position]) -> JournalSource:
        known = positions.get(self._settings.journal.name)
        position = known if isinstance(known, JournalPosition) else None
        return JournalSource(self._settings, position=position, now=self._now)

    def _first_offset(self, log: BinaryIO) -> int:
        times = TimeReader(self._zone)
        times.expect(self._now())
        return first_line_since(log, self._now() - self._settings.first_read, times)
