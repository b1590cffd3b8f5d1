"""The rotated files beside a log: where what was being read may be now.

Enters: the path of a log and a position. Leaves: open files that hold what came after the position. This file must
never know what becomes of the log itself.
"""

import contextlib
import errno
import glob
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from pfwatch.position import FilePosition
from pfwatch.sources.openlog import CompressedLog, OpenLog, open_log
from pfwatch.sources.settings import SourceSettings

_SUFFIX = re.compile(r"(?:\.(?P<count>\d{1,4})|[.-](?P<date>\d[\d.-]*\d))(?:\.(?:gz|bz2|xz|zst))?")
_TRIES = 5
"""A rotation renames its files within milliseconds; who lists them in that moment lists them again."""
T = TypeVar("T")


def rotated_files(path: Path) -> list[list[Path]]:
    """Rotated files of a log, oldest first, one list for each way of naming them: `.2.gz .1`, `-20260101.gz -20260102`.

    Of a file that is there both plain and compressed only the plain one: the other is still being written.
    """
    counted: dict[int, Path] = {}
    dated: dict[int, Path] = {}
    for entry in sorted(path.parent.glob(f"{glob.escape(path.name)}[.-]*")):
        match = _SUFFIX.fullmatch(entry.name, len(path.name))
        if match and entry.is_file():  # sorted: the plain name comes before the compressed one
            if match["count"]:
                counted.setdefault(-int(match["count"]), entry)
            else:
                dated.setdefault(int(re.sub("[.-]", "", match["date"])), entry)
    return [[files[age] for age in sorted(files)] for files in (counted, dated) if files]


class Unreadable(NamedTuple):
    """A rotated file that cannot be opened."""

    path: Path
    error: OSError
    follower: OpenLog | None
    """The file that comes after it; None: the log itself."""


class Rest(NamedTuple):
    """What comes after a position, as far as it can be found."""

    logs: list[OpenLog]
    """Open at their beginning, in order; the first where the position is, if it is `found`."""
    found: bool
    """The file of the position is among them. Else they are files that were written later than it."""
    unreadable: list[Unreadable]
    """In which the position, or what comes after it, may be as well."""

    def close(self) -> None:
        """Let go of the files."""
        for log in self.logs:
            log.close()

    def without_copies_of(self, newest: OpenLog | None) -> list[OpenLog]:
        """The logs but for copies of the newest one; those are closed."""
        kept = []
        for number, log in enumerate(self.logs):
            if newest and (number or not self.found) and newest.holds(log.position()):
                log.close()
            else:
                kept.append(log)
        return kept


def open_rest(position: FilePosition, settings: SourceSettings) -> Rest:
    """The rotated file in which the position is, and all newer ones; without it those that were written later.

    Raises FileNotFoundError when the files do not stand still.
    """
    return _standing_still(position.path, lambda: _open_rest(position, settings), Rest.close)


def open_earlier(name: str, settings: SourceSettings, start_at: Callable[[BinaryIO], int]) -> list[OpenLog]:
    """The rotated files of a log that hold lines which a first start reads, in order, each open where it begins.

    `start_at` finds that place, the end of a file if there is none. Compressed files are left alone: they would have to
    be read whole to find it. Raises FileNotFoundError as `open_rest` does.
    """

    def let_go(logs: list[OpenLog]) -> None:
        for log in logs:
            log.close()

    return _standing_still(name, lambda: _open_earlier(name, settings, start_at), let_go)


def _standing_still(name: str, opened: Callable[[], T], let_go: Callable[[T], None]) -> T:
    """What was opened while no rotated file of a log was renamed.

    Who lists a directory in which files are renamed may see one of them twice, or not at all; and behind a name that
    was listed there may be another file when it is opened. So they are listed again, behind it.
    """
    for _ in range(_TRIES):
        before = _identities(name)
        try:
            found = opened()
        except FileNotFoundError:
            continue
        if _identities(name) == before:
            return found
        let_go(found)
    raise FileNotFoundError(errno.ENOENT, "its rotated files are being renamed", name)


def _identities(name: str) -> list[tuple[Path, int, int]]:
    """Every rotated file of a log, with device and inode."""
    found = []
    for path in _every_rotated(name):
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append((path, status.st_dev, status.st_ino))
    return found


def _every_rotated(name: str) -> list[Path]:
    path = Path(name)
    target = path.resolve()
    ways = rotated_files(path) + (rotated_files(target) if target != path else [])
    return [file for files in ways for file in files]


def _open_earlier(name: str, settings: SourceSettings, start_at: Callable[[BinaryIO], int]) -> list[OpenLog]:
    ways = rotated_files(Path(name))
    if not ways:
        return []
    logs: list[OpenLog] = []
    for path in reversed(max(ways, key=lambda files: _modified(files[-1]))):
        try:
            log = open_log(name, path, settings)
        except OSError:
            break
        with log.duplicate() as file:
            offset = log.size() if isinstance(log, CompressedLog) else start_at(file)
        if offset >= log.size():
            log.close()
            break
        log.go_to(offset)
        logs.insert(0, log)
        if offset:
            break
    return logs


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _open_rest(position: FilePosition, settings: SourceSettings) -> Rest:
    opened: list[OpenLog] = []
    rest = Rest([], False, [])
    try:
        rest = _search(position, settings, opened)
    finally:
        for log in opened:
            if log not in rest.logs:
                log.close()
    return rest


def _search(position: FilePosition, settings: SourceSettings, opened: list[OpenLog]) -> Rest:
    later: list[OpenLog] = []
    unreadable: list[Unreadable] = []
    name = Path(position.path)
    target = name.resolve()
    # A link to a pod's log: its rotated files are beside the log itself.
    for files in rotated_files(name) + (rotated_files(target) if target != name else []):
        logs: list[OpenLog] = []
        closed: list[Unreadable] = []
        for path in reversed(files):
            try:
                log = open_log(position.path, path, settings)
            except FileNotFoundError:
                raise
            except OSError as error:
                closed.append(Unreadable(path, error, logs[0] if logs else None))
                continue
            opened.append(log)
            logs.insert(0, log)
            if log.holds(position):
                log.go_to(position.offset)
                return Rest(logs, True, closed)
        later = later or _written_since(logs, position)
        unreadable += closed
    return Rest(later, False, unreadable)


def _written_since(logs: list[OpenLog], position: FilePosition) -> list[OpenLog]:
    """Those after the file of the position, when that one is gone itself: they were written later than it."""
    if not position.modified:
        return []
    first = len(logs)
    while first and logs[first - 1].modified > position.modified:
        first -= 1
    return logs[first:]
