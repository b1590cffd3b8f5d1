"""The two ways to read a journal, as one.

Enters: where the journal is. Leaves: a reader. This file must never know what an entry says.
"""

import pwd
import shutil
from collections.abc import Callable
from typing import Protocol

from pfwatch.sources.errors import SourceError
from pfwatch.sources.journal.child import ChildReader
from pfwatch.sources.journal.library import LibraryReader, is_available
from pfwatch.sources.journal.lines import LineMaker
from pfwatch.sources.journal.place import JournalPlace
from pfwatch.sources.settings import JournalSettings, SourceSettings


class JournalReader(Protocol):
    """What `LibraryReader` and `ChildReader` are. Everything may raise OSError."""

    files_changed: bool
    """Files came or went since the last look; whoever looks sets it back."""
    settled: bool
    """What is not there now is not there at all."""

    def close(self) -> None:
        """Let go of the journal."""

    def seek_first(self) -> None:
        """Begin with the first entry."""

    def seek_time(self, microseconds: int) -> None:
        """Begin with the first entry that is not older."""

    def seek_cursor(self, cursor: str) -> tuple[str, int] | None:
        """Begin behind an entry: cursor and time of the one that is there, which may be another.

        None where there is none; another place has to be told then.
        """

    def pull(self, lines: LineMaker, count: int) -> int:
        """Put up to `count` entries into `lines`; fewer when there are no more at present."""

    def place(self) -> tuple[str, int]:
        """Cursor and time of the last entry that was pulled."""

    leave: Callable[[], None]
    """Called before the descriptor of `fileno` is closed; whoever listens to it sets this."""

    def fileno(self) -> int | None:
        """A descriptor that can be read when something may have been written; None while there is none."""

    def hear(self) -> bool:
        """It can be read: whether something was written indeed."""

    def waited_in_vain(self) -> None:
        """Nothing was written for a while."""


def open_reader(place: JournalPlace, *, follow: bool, library: bool | None = None) -> JournalReader:
    """Open a journal by the library, else by `journalctl`; `library` decides which. Raises SourceError."""
    if library is None:
        library = is_available()
    try:
        if library:
            return LibraryReader(place, follow=follow)
    except OSError as error:
        raise SourceError(place.name, f"libsystemd cannot open this journal: {error.strerror or error}") from error
    if shutil.which("journalctl") is None:
        raise SourceError(
            place.name,
            "there is nothing to read a journal with: install journalctl (it comes with systemd), or the package "
            "systemd-python (pip install 'pfwatch[journal]')",
        )
    return ChildReader(place, follow=follow)


def line_maker(settings: SourceSettings) -> LineMaker:
    """What makes lines of this journal's entries."""
    return LineMaker(settings.journal, settings.max_line, _postfix_user(settings.journal))


def _postfix_user(settings: JournalSettings) -> int | None:
    if settings.directory is not None:  # of another machine, perhaps, with other numbers
        return None
    try:
        return pwd.getpwnam("postfix").pw_uid
    except KeyError:
        return None
