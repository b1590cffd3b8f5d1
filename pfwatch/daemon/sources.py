"""The sources that the daemon watches, as one.

Enters: settings and the positions of the last commit. Leaves: the sources, and how they are. Which kinds there are is
known here and nowhere else; this file must never know what becomes of a block.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO, Final

from pfwatch.metrics.counters import Counters
from pfwatch.position import FilePosition, JournalPosition, Position
from pfwatch.records.time import TimeReader
from pfwatch.sources.begin import first_line_since
from pfwatch.sources.doorbell import Doorbells
from pfwatch.sources.follow import FileFollower
from pfwatch.sources.journal.source import JournalSource
from pfwatch.sources.patterns import is_pattern, matching
from pfwatch.sources.settings import SourceSettings
from pfwatch.sources.source import Source
from pfwatch.sources.syslog.receiver import SyslogReceiver

GONE_AFTER: Final = 60.0
"""Seconds after which a log that a pattern found, and whose file is gone, is no source any more: longer than a rotation
leaves a log without a file."""
MOST_FOUND: Final = 500
"""Logs that patterns find: each holds a file open, and systemd allows a service 1,024."""
FORGOTTEN_AFTER: Final = 7 * 86_400
"""Seconds after its last line from which the place in such a log is not kept any more: if it came back, it would be
read as a new one."""
_GAUGES: Final = ("pfwatch_source_up", "pfwatch_source_lag_seconds", "pfwatch_source_last_record_timestamp_seconds")


class WatchedSources:
    """All sources of one run. `problem` says what cannot be read at present."""

    def __init__(
        self,
        settings: SourceSettings,
        positions: Mapping[str, Position],
        zone: tzinfo | None,
        now: Callable[[], float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._zone = zone
        self._now = now
        self._monotonic = monotonic
        self._positions = dict(positions)
        """Where to go on, of sources that are not read at present; of the others where they began."""
        self._known = set(positions)
        """Names of logs, also while rotation leaves them without a file."""
        self._doorbells = Doorbells()
        self._gone: dict[str, float] = {}
        """Logs found by a pattern whose file is gone, and since when."""
        self._too_many = False
        self.problem: str | None = None
        self.ended: list[str] = []
        """Sources that are not read any more; whoever lets go of them clears it."""
        self.forgotten: list[str] = []
        """Sources whose position is not worth keeping; whoever deletes it clears it."""
        self._patterns = tuple(path for path in settings.paths if is_pattern(path))
        self._journal = self._open_journal() if settings.journal.enabled else None
        self._always = self._constant()
        self._found: dict[str, FileFollower] = {}
        self.refresh()
        self._forget()

    @property
    def sources(self) -> list[Source]:
        """Those that are read now."""
        return [*self._always, *self._found.values()]

    def refresh(self) -> None:
        """See which files the patterns mean now."""
        if not self._patterns:
            return
        self._too_many = False
        named = {source.name for source in self._always}
        open_files = {file for one in self.sources if isinstance(one, FileFollower) for file in one.files()}
        open_files |= {file for name in named if (file := _identity(name))}
        paths = dict.fromkeys(path for pattern in self._patterns for path in matching(pattern, self._known))
        for path in paths:
            if path in named or path in self._found:
                continue
            file = _identity(path)
            if file and file not in open_files:  # else the same file under two names
                if len(self._found) >= MOST_FOUND:
                    self._too_many = True
                    break
                open_files.add(file)
                self._found[path] = self._file(path)
                self._known.add(path)
        self._end_gone(paths)

    def _constant(self) -> list[Source]:
        """Those that are there from the beginning to the end: logs by their names. Every further kind of source that is
        configured, such as the journal or a receiver of syslog, is made here, with its position.
        """
        always: list[Source] = [self._file(path) for path in self._settings.paths if path not in self._patterns]
        if self._journal is not None:
            always.append(self._journal)
        if self._settings.syslog.listen:
            always.append(SyslogReceiver(self._settings.syslog, max_line=self._settings.max_line, now=self._now))
        return always

    def at_end(self) -> bool:
        """Nothing is left unread anywhere."""
        return all(source.at_end for source in self.sources)

    def names(self) -> str:
        """For messages."""
        names = [*(source.name for source in self._always), *self._patterns]
        found = f" ({len(self._found)} files)" if self._patterns else ""
        return ", ".join(names) + found

    def look(self, counters: Counters, newest: Callable[[str], float | None]) -> bool:
        """See how the sources are; whether `problem` is another one than before. `newest`: a source's latest record."""
        sources = self.sources
        problems = [f"{one.name} {one.problem}" for one in sources if one.problem]
        if not sources:
            problems.append(f"{', '.join(self._patterns)}: no file has such a name; check the pattern")
        if self._too_many:
            problems.append(
                f"{', '.join(self._patterns)}: more than {MOST_FOUND} files have such a name, and the others are not "
                "read; narrow the pattern"
            )
        problem = "; ".join(problems) or None
        now = self._now()
        lags = {one.name: _lag(one, newest(one.name), now) for one in sources}
        # Beyond the cap of a label several sources share a series, and the last one counts: the worst.
        for source in sorted(sources, key=lambda one: one.problem is not None):
            counters.set("pfwatch_source_up", (source.name,), 0 if source.problem else 1)
        for name, lag in sorted(lags.items(), key=lambda item: item[1] or 0):
            if lag is not None:
                counters.set("pfwatch_source_lag_seconds", (name,), lag)
        if self._journal is not None and (forged := self._journal.take_forged()):
            counters.add("pfwatch_journal_forged_total", (self._journal.name,), forged)
        before, self.problem = self.problem, problem
        return problem != before

    def _end_gone(self, paths: Iterable[str]) -> None:
        now, there = self._monotonic(), set(paths)
        for path in self._found.keys() & there:
            self._gone.pop(path, None)
        for path in self._found.keys() - there:
            since = self._gone.setdefault(path, now)
            if now - since >= GONE_AFTER and self._found[path].at_end and not _is_hidden(path):
                self._end(path)

    def _end(self, path: str) -> None:
        follower = self._found.pop(path)
        if follower.position:
            self._positions[path] = follower.position
        self._known.discard(path)
        del self._gone[path]
        self.ended.append(path)
        self._forget()

    def _forget(self) -> None:
        """Of files that come under a new name each day, positions would heap up."""
        read = {source.name for source in self.sources}
        for path, position in list(self._positions.items()):
            if path in read or not isinstance(position, FilePosition) or Path(path).exists():
                continue
            if position.modified and self._now() - position.modified > FORGOTTEN_AFTER:
                del self._positions[path]
                self.forgotten.append(path)

    def _file(self, path: str) -> FileFollower:
        known = self._positions.get(path)
        return FileFollower(
            path,
            self._settings,
            position=known if isinstance(known, FilePosition) else None,
            start_at=self._first_offset,
            now=self._now,
            doorbells=self._doorbells,
        )

    def _open_journal(self) -> JournalSource:
        known = self._positions.get(self._settings.journal.name)
        position = known if isinstance(known, JournalPosition) else None
        return JournalSource(self._settings, position=position, now=self._now)

    def _first_offset(self, log: BinaryIO) -> int:
        times = TimeReader(self._zone)
        times.expect(self._now())
        return first_line_since(log, self._now() - self._settings.first_read, times)


def withdraw(counters: Counters, source: str) -> None:
    """Show no state of a source that is not read any more. What was counted of it stays."""
    for gauge in _GAUGES:
        counters.withdraw(gauge, (source,))


def _lag(source: Source, newest: float | None, now: float) -> float | None:
    """Seconds; None where nothing is known yet."""
    if source.at_end and not source.problem:
        return 0.0
    return max(now - newest, 0.0) if newest is not None else None


def _is_hidden(path: str) -> bool:
    """Whether it may still be there, though it cannot be seen: a permission was lost."""
    try:
        Path(path).stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
