"""Reads a journal through libsystemd: by compiled code, or by the package systemd-python (the extra `journal`).

Enters: where the journal is, and where to begin. Leaves: entries, put into a `LineMaker`. This file must never know a
message, or what is kept of a place.

The package's own iteration turns each field of each entry into a Python value, which takes most of its time. The
methods below it that give them as they are have names with an underscore: where one is missing, `get_next` does.
Compiled code makes no values at all.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pfwatch.sources.journal.lines import DROPPED, FACILITY, Entry, LineMaker
from pfwatch.sources.journal.place import JournalPlace

_ALL = 2**31 - 1
"""More steps than a file has entries."""
_NOP, _INVALIDATE = 0, 2
"""Of `process` (sd_journal_process(3)): nothing was written; files came or went."""
_PLACE = ("_next", "_get_realtime", "_get_cursor")
_FIELDS = "_get_all"


try:
    from pfwatch.sources.journal import native
except ImportError:  # built where there is a C compiler
    COMPILED = False
else:
    COMPILED = native.is_available()


def is_available() -> bool:
    """Whether there is a way to libsystemd."""
    return COMPILED or has_package()


def has_package() -> bool:
    """Whether the package is there, and is the one that is meant: another one has the same name."""
    try:
        from systemd.journal import Reader
    except ImportError:
        return False
    return hasattr(Reader, "seek_cursor")


def stops_early(path: Path) -> tuple[int, int | None] | None:
    """Whether reading a file ends before its last entry: the times of the last that was read, and of the last there is.

    The only sign that there is: libsystemd lets go of a file at the first entry that it cannot read.
    """

    def reader() -> Any:
        opened = _open(files=[str(path)])
        _select(opened)
        opened.seek_head()
        return opened

    last = None
    try:
        with reader() as backward:
            backward.seek_tail()
            last = backward._get_realtime() if backward._previous() else None
        with reader() as forward:
            found = forward._next(_ALL)
            # Not the same entry, perhaps: the file may be written to at this moment.
            if not found or (last is not None and forward._get_realtime() >= last):
                return None
    except AttributeError:  # a release without the fast methods: nothing is known
        return None
    except OSError:
        pass  # it let go of the file, and of its place in it
    try:
        with reader() as forward:
            number = sum(1 for _ in iter(forward._next, False))
        with reader() as up_to_there:
            if not up_to_there._next(number or 1):
                return None
            return up_to_there._get_realtime(), last
    except OSError:
        return None


def _open(**which: Any) -> Any:
    if COMPILED:
        return native.Journal(**which)
    from systemd import journal

    return journal.Reader(**which)


def _select(reader: Any) -> None:
    """What is read at all: the mail facility, and what journald says that it dropped."""
    reader.add_match(FACILITY)
    reader.add_disjunction()
    reader.add_match(DROPPED)


class LibraryReader:
    """One open journal. It stands in front of its first entry until it is told where to begin."""

    def __init__(self, place: JournalPlace, *, follow: bool, fast: bool = True) -> None:
        """With `follow`, entries and files that come later are seen, too. Raises OSError."""
        which: dict[str, Any] = {}
        if place.file is not None:
            which["files"] = [place.file]
        elif place.directory is not None:
            which["path"] = place.directory
        elif place.namespace is not None:
            which["namespace"] = place.namespace
        self._reader: Any = _open(**which)
        _select(self._reader)
        self._step: Callable[[], bool]
        self._moment: Callable[[], int]
        self._cursor: Callable[[], str]
        self._pull: Callable[[LineMaker, int], int]
        if COMPILED:
            self._step, self._moment, self._cursor = (getattr(self._reader, name) for name in _PLACE)
            self._pull = self._reader.pull
        else:
            entries = self._reader
            if not fast or not all(hasattr(entries, name) for name in (*_PLACE, _FIELDS)):
                entries = _Public(self._reader)
            self._step, self._moment, self._cursor = (getattr(entries, name) for name in _PLACE)
            fields: Callable[[], Entry] = getattr(entries, _FIELDS)
            self._pull = lambda lines, count: lines.pull(self._step, fields, self._moment, count)
        self._follow = follow
        if follow:
            self._reader.fileno()  # from now on libsystemd hears of new files
        self.leave: Callable[[], None] = lambda: None
        self.settled = True
        """What is not there now is not there at all."""
        self.files_changed = False
        """Files came or went since the last look; whoever looks sets it back."""

    def close(self) -> None:
        """Let go of the files."""
        self.leave()
        self._reader.close()

    def seek_first(self) -> None:
        """To the beginning."""
        self._reader.seek_head()

    def seek_time(self, microseconds: int) -> None:
        """To the first entry that is not older."""
        self._reader.seek_realtime(microseconds)

    def seek_cursor(self, cursor: str) -> tuple[str, int] | None:
        """To an entry: cursor and time of the one that is there, which may be another; None where there is none.

        That entry is behind the place then: the next one that is pulled follows it.
        """
        try:
            self._reader.seek_cursor(cursor)
        except (ValueError, OSError):  # no cursor at all
            return None
        return (self._cursor(), self._moment()) if self._step() else None

    def pull(self, lines: LineMaker, count: int) -> int:
        """Put up to `count` entries into `lines`; fewer when there are no more at present. Raises OSError."""
        if self._follow:
            self.hear()
        return self._pull(lines, count)

    def place(self) -> tuple[str, int]:
        """Cursor and time of the last entry that was pulled."""
        return self._cursor(), self._moment()

    def fileno(self) -> int | None:
        """A descriptor that can be read when something may have been written."""
        return int(self._reader.fileno())

    def hear(self) -> bool:
        """It can be read: whether something was written indeed."""
        try:
            change = self._reader.process()
        except OSError:  # a file went while it was looked at; the next look tells
            change = _INVALIDATE
        self.files_changed = self.files_changed or change == _INVALIDATE
        return bool(change != _NOP)

    def waited_in_vain(self) -> None:
        """It is known at every moment what is there."""


class _Public:
    """The same four by what the package documents: slower, and sure to stay."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._reader.converters = _AsTheyAre()
        self._entry: dict[str, Any] = {}

    def _next(self) -> bool:
        entry = self._reader.get_next()
        self._entry = entry or self._entry
        return bool(entry)

    def _get_all(self) -> Entry:
        return self._entry

    def _get_realtime(self) -> int:
        return int(self._entry["__REALTIME_TIMESTAMP"])

    def _get_cursor(self) -> str:
        return str(self._entry["__CURSOR"])


class _AsTheyAre(dict[str, Callable[[object], object]]):
    """A converter for every field, which converts nothing."""

    def get(self, _key: str, _default: object = None) -> Callable[[object], object]:
        return lambda value: value
