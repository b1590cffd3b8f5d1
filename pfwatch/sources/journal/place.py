"""Where the files of a journal are, whether they may be read, and which of them are damaged.

Enters: the settings, or a path. Leaves: `JournalPlace`, `SourceError` that says which group to join, and what is wrong
with single files. This file must never know an entry.

It looks for itself because libsystemd does not tell: no journal, no permission and a file that it ignores all look
like a journal in which nothing stands.
"""

import os
import struct
from pathlib import Path

import msgspec

from pfwatch.sources.errors import SourceError, explain
from pfwatch.sources.settings import JournalSettings

_SUFFIXES = (".journal", ".journal~")
"""The second is one that journald set aside because it was not closed properly; it is read all the same."""
_ROOTS = ("/run/log/journal", "/var/log/journal")
_MACHINE_ID = "/etc/machine-id"
_HEADER = struct.Struct("<8s II B 7x 16s 16s 16s 16s 14Q")
"""The journal file's own header as far as `tail_entry_realtime`
(https://systemd.io/JOURNAL_FILE_FORMAT/#header)."""
_SIGNATURE = b"LPKSHHRH"


class JournalPlace(msgspec.Struct, frozen=True):
    """What is handed to libsystemd or journalctl."""

    name: str
    """For messages."""
    paths: tuple[str, ...]
    """Directories in which the files are, for looking at them; one file where just that is read."""
    directory: str | None = None
    file: str | None = None
    namespace: str | None = None

    def files(self) -> list[Path]:
        """The journal files that are there now."""
        if self.file is not None:
            return [Path(self.file)]
        found: list[Path] = []
        for path in self.paths:
            found += journal_files(Path(path))
        return found


def is_journal(path: str | os.PathLike[str]) -> bool:
    """Whether a path that somebody named is a journal: one of its files, or a directory with some."""
    path = Path(path)
    try:
        return path.name.endswith(_SUFFIXES) if not path.is_dir() else bool(journal_files(path))
    except OSError:
        return False


def journal_files(directory: Path) -> list[Path]:
    """The journal files in a directory and, as libsystemd does it, in those of single machines in it."""
    try:
        inside = sorted(directory.iterdir())
        found = [path for path in inside if path.name.endswith(_SUFFIXES)]
        for path in inside:
            if _is_machine(path.name) and path.is_dir():
                found += [file for file in sorted(path.iterdir()) if file.name.endswith(_SUFFIXES)]
    except OSError:
        return []
    return found


def find_journal(settings: JournalSettings, root: str = "") -> JournalPlace:
    """The journal that the settings mean. Raises SourceError when there is none, or it may not be read."""
    if settings.directory is not None:
        return _elsewhere(settings.directory)
    machine = _machine(root)
    folder = f"{machine}.{settings.namespace}" if settings.namespace else machine
    paths = tuple(f"{root}{path}/{folder}" for path in _ROOTS)
    place = JournalPlace(settings.name, paths, namespace=settings.namespace)
    for path in map(Path, paths):
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            raise SourceError(str(path), _denied(path))
    files = place.files()
    if not files:
        what = f"the journal of namespace {settings.namespace!r}" if settings.namespace else "no journal here"
        raise SourceError(
            settings.name,
            f"{what}: there is no file in {' or '.join(paths)}. Is systemd-journald running, and is it the journal of "
            "this machine (/etc/machine-id)? [journal] directory names another place",
        )
    _check_readable([file for file in files if not file.name.startswith("user-")] or files)
    return place


def _elsewhere(directory: str) -> JournalPlace:
    path = Path(directory)
    try:
        path.stat()
        if not path.is_dir():
            path.open("rb").close()
            return JournalPlace(directory, (directory,), file=directory)
        os.listdir(path)  # noqa: PTH208 - for its error
    except FileNotFoundError as error:
        raise SourceError(directory, "does not exist; check the path of the journal") from error
    except OSError as error:
        raise SourceError(directory, explain(directory, error)) from error
    files = journal_files(path)
    if not files:
        raise SourceError(directory, "there is no journal file (*.journal) in this directory, nor in one of a machine")
    _check_readable(files)
    return JournalPlace(directory, (directory,), directory=directory)


def _check_readable(files: list[Path]) -> None:
    for file in files:
        if os.access(file, os.R_OK, effective_ids=True):
            return
    raise SourceError(str(files[0]), _denied(files[0]))


def _denied(path: Path) -> str:
    return explain(str(path), PermissionError(13, "Permission denied", str(path)))


def _machine(root: str) -> str:
    path = f"{root}{_MACHINE_ID}"
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SourceError(
            path, f"cannot be read, so it is unknown which journal is this machine's ({error})"
        ) from error


def _is_machine(name: str) -> bool:
    identity = name.partition(".")[0]
    return len(identity) == 32 and all(letter in "0123456789abcdef" for letter in identity)


def modified(path: Path) -> float:
    """When a file was written to last, seconds since the epoch; 0 when it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


class FileHead(msgspec.Struct, frozen=True):
    """What a journal file says of itself; times in microseconds since the epoch, 0 where there is no entry."""

    entries: int
    stream: str
    """Within one, entries are numbered without gaps."""
    first_number: int
    first: int
    last: int


def read_head(path: Path) -> FileHead | str:
    """The header of a journal file, or what is wrong with it in words that follow its name. Raises OSError."""
    with path.open("rb") as file:
        size, data = os.fstat(file.fileno()).st_size, file.read(_HEADER.size)
    if len(data) < _HEADER.size:
        return f"is {size} bytes long, too short for a journal file"
    signature, _, _, _, _, _, _, stream, *numbers = _HEADER.unpack(data)
    if signature != _SIGNATURE:
        return "does not begin as a journal file does"
    header_size, arena, *_, entries, _, first_number, _, first, last = numbers
    if header_size + arena > size:
        return f"is cut off: it has {size} bytes of {header_size + arena}"
    return FileHead(entries, stream.hex(), first_number, first, last)
