"""Finished logs, read: their blocks, and their events without a story around them.

Enters: paths of logs and settings. Leaves: blocks, or the events of a log. This file must never know an incident, a
mail or a counter: who only wants events does not wait for these to be loaded.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import msgspec

from pfwatch.events import Event, Unsupported
from pfwatch.parsing.hits import Hit, of_kinds
from pfwatch.parsing.log import LogReader, LogSettings
from pfwatch.parsing.tally import Tally
from pfwatch.parsing.wanted import Wanted
from pfwatch.position import Block
from pfwatch.sessions import Sessions
from pfwatch.sessions.needs import needed
from pfwatch.sources.archive import is_compressed_file, read_file, read_stream
from pfwatch.sources.beside import read_beside
from pfwatch.sources.journal.place import is_journal
from pfwatch.sources.settings import JournalSettings, SourceSettings

STANDARD_INPUT = "-"
JOURNAL = "journal:"
"""Before a directory of journal files, or one of them; alone, it is this machine's journal."""


def blocks(
    paths: Iterable[str],
    settings: SourceSettings,
    *,
    dovecot: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> Iterator[Block]:
    """The blocks of finished logs, one after the other. Raises SourceError.

    `-` is standard input, `journal:` this machine's journal, `journal:DIR` another; so is a directory of journal files,
    and one such file. Of a journal `dovecot` asks for its entries, too, and `say` hears what is not as it should be.
    """
    for path in paths:
        if path == STANDARD_INPUT:
            yield from read_stream(sys.stdin.buffer, settings, reference=time.time())
        elif not is_file(path):
            from pfwatch.sources.journal.finished import read_journal  # most logs are files

            journal = JournalSettings(directory=path.removeprefix(JOURNAL) or None, dovecot=dovecot)
            read = partial(read_journal, msgspec.structs.replace(settings, journal=journal))
            yield from read_beside(read, journal.name, say)
        elif is_compressed_file(path):
            yield from read_beside(lambda _say, path=path: read_file(path, settings), path, say)  # type: ignore[misc]
        else:
            yield from read_file(path, settings)


def is_file(path: str) -> bool:
    """Whether it is neither standard input nor a journal."""
    return path != STANDARD_INPUT and not path.startswith(JOURNAL) and not is_journal(path)


def events_of(
    kinds: frozenset[type[Event]],
    paths: Iterable[str],
    settings: LogSettings,
    source: SourceSettings,
    say: Callable[[str], None] = lambda _text: None,
    tell: Callable[[Tally], None] = lambda _tally: None,
) -> Iterator[list[Event | Hit]]:
    """Every event of finished logs after correlation, one per incident, block by block, in the order in which each is
    complete; of these kinds, or of all where none is named. Only what matters for them is read. `tell` hears of each
    block what became of its lines.
    """
    sessions, wanted = Sessions(), needed(kinds)
    for log in _read(paths, settings, source, sessions, say, wanted=wanted, every_event=wanted is None):
        tell(log.take(counts=False))
        yield of_kinds(sessions.take_unbuilt(), kinds) if kinds else sessions.take_unbuilt()
    sessions.finish()
    yield of_kinds(sessions.take_unbuilt(), kinds) if kinds else sessions.take_unbuilt()


def unread_lines(
    paths: Iterable[str],
    settings: LogSettings,
    source: SourceSettings,
    say: Callable[[str], None] = lambda _text: None,
) -> Iterator[tuple[list[Unsupported], Tally]]:
    """The lines of Postfix that no rule reads, block by block, each with what became of its lines."""
    sessions = Sessions()
    for log in _read(paths, settings, source, sessions, say, tell_unread=True):
        finished = sessions.take_unbuilt()
        yield [event for event in finished if isinstance(event, Unsupported)], log.take()


def _read(
    paths: Iterable[str],
    settings: LogSettings,
    source: SourceSettings,
    sessions: Sessions,
    say: Callable[[str], None],
    wanted: Wanted | None = None,
    **how: bool,
) -> Iterator[LogReader]:
    """The log of each block, behind the block, and each log at its end."""
    logs: dict[str, LogReader] = {}
    for block in blocks(paths, source, dovecot=settings.dovecot, say=say):
        log = logs.get(block.source)
        if log is None:
            log = logs[block.source] = LogReader(
                sessions, settings.zone, settings.year, wanted=wanted, dovecot=settings.dovecot, **how
            )
        log.read(block.data, block.reference)
        yield log
    for log in logs.values():
        log.finish()
        yield log
