"""A journal from its beginning to its end, as a finished log.

Enters: the settings. Leaves: blocks without positions. This file must never know that a journal grows.
"""

import time
from collections.abc import Callable, Iterator
from threading import Thread

from pfwatch.position import Block
from pfwatch.sources.errors import SourceError
from pfwatch.sources.journal.library import LibraryReader, stops_early
from pfwatch.sources.journal.lines import LineMaker
from pfwatch.sources.journal.loss import damaged_files, damaged_inside, forgery_note
from pfwatch.sources.journal.place import JournalPlace, find_journal
from pfwatch.sources.journal.reader import JournalReader, line_maker, open_reader
from pfwatch.sources.settings import SourceSettings

_AT_ONCE = 1024


def read_journal(
    settings: SourceSettings,
    say: Callable[[str], None] = lambda _text: None,
    *,
    now: Callable[[], float] = time.time,
    library: bool | None = None,
) -> Iterator[Block]:
    """The blocks of a journal, the last one `caught_up`; `say` hears what is not as it should be.

    Raises SourceError before the first block when there is no journal, or it may not be read.
    """
    place = find_journal(settings.journal)
    for _, loss in damaged_files(place):
        say(loss.text)
    reader = open_reader(place, follow=False, library=library)
    lines, name = line_maker(settings), settings.journal.name
    held = b""
    ends = _Ends(place if isinstance(reader, LibraryReader) else None)
    try:
        reader.seek_first()
        while _pull(reader, lines, name):
            if data := lines.take():
                if held:
                    yield Block(name, held, now(), None)
                held = data
    finally:
        reader.close()
    last = lines.take()
    if held and last:
        yield Block(name, held, now(), None)
    if held or last:
        yield Block(name, last or held, now(), None, caught_up=True)
    for text in ends.told():
        say(text)
    if lines.forged:
        say(f"{place.name}: {forgery_note(lines.forged, lines.forgery)}")


class _Ends(Thread):
    """Sees which files are not read to their end, while they are read: libsystemd does so beside the interpreter."""

    def __init__(self, place: JournalPlace | None) -> None:
        super().__init__(daemon=True)  # who stops reading does not wait for it
        self._place = place
        self._told: list[str] = []
        self.start()

    def run(self) -> None:
        for path in self._place.files() if self._place else ():
            if found := stops_early(path):
                self._told.append(damaged_inside(path, *found).text)

    def told(self) -> list[str]:
        """What is to be said, when every file was looked at."""
        self.join()
        return self._told


def _pull(reader: JournalReader, lines: LineMaker, name: str) -> bool:
    """Whether there is more. Raises SourceError."""
    try:
        return reader.pull(lines, _AT_ONCE) == _AT_ONCE
    except OSError as error:
        raise SourceError(name, f"{error.strerror or error}; everything up to there was read") from error
