"""What of a journal can never be read, or must not be believed, in words for an administrator.

Enters: where the journal is, and how far it was read. Leaves: `Loss` and sentences. This file must never know an entry.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pfwatch.position import JournalPosition
from pfwatch.sources.journal.cursor import stream_of
from pfwatch.sources.journal.place import FileHead, JournalPlace, read_head
from pfwatch.sources.source import Loss


def damaged_files(place: JournalPlace) -> Iterator[tuple[Path, Loss]]:
    """The files that libsystemd passes over without a word."""
    for path, head in _heads(place):
        if isinstance(head, str):
            text = f"{path} {head}; nothing of it is read (journalctl --verify --file={path} says more)"
            yield path, Loss("corrupt", text)


def dropped_behind(place: JournalPlace, position: JournalPosition) -> Loss | None:
    """What the journal dropped that stood behind a position, by its own numbers where they can tell, else by time.

    The numbers count the entries of all programs: how many of them were Postfix's, nobody knows any more.
    """
    heads = [
        head
        for path, head in _heads(place)
        # A user's own file is dropped at another time, and Postfix is in none.
        if isinstance(head, FileHead) and head.entries and not path.name.startswith("user-")
    ]
    if not heads:
        return None
    same = [head for head in heads if head.stream == stream_of(position.cursor)]
    oldest = min(same or heads, key=lambda head: head.first)
    if same and position.sequence is not None:
        number = oldest.first_number - position.sequence - 1
        many = f"up to {number:,} entries of all programs"
    else:
        number, many = oldest.first - position.realtime, "an unknown number of entries"
    if number <= 0:
        return None
    return Loss(
        "vacuumed",
        f"{place.name}: {many}, from {clock(position.realtime)} to {clock(oldest.first)}, were dropped from the "
        "journal before pfwatch read them (SystemMaxUse= and MaxRetentionSec= in journald.conf say how much is kept)",
    )


def damaged_entry(name: str, at: int, why: str) -> Loss:
    """One entry that cannot be read."""
    return Loss("corrupt", f"{name}: the entry of {clock(at)} is damaged ({why}); reading goes on behind it", lines=1)


def not_there(name: str, position: JournalPosition) -> str:
    """The saved place is not in the journal, though nothing was dropped."""
    return (
        f"the entry up to which {name} was read is not in it any more: a damaged file was set aside, or this is "
        f"another journal; reading goes on with what is later than {clock(position.realtime)}"
    )


def damaged_inside(path: Path, good: int, last: int | None) -> Loss:
    """Libsystemd lets go of a file at its first damaged entry, without a word; what stands behind it is not read."""
    end = f"to {clock(last)}" if last is not None else "on"
    return Loss(
        "corrupt",
        f"{path} is damaged inside: its entries from {clock(good)} {end} cannot be read "
        f"(journalctl --verify --file={path} says more)",
    )


def forgery_note(number: int, first: str) -> str:
    """Entries only claim to be Postfix's."""
    many = "1 entry of the journal claims" if number == 1 else f"{number:,} entries of the journal claim"
    return (
        f"{many} to be Postfix's, and another program wrote it (the first {first}): not read, counted as forged. Any "
        "local user can do this (logger -t). If it is your own Postfix, in a container perhaps, set [journal] verify = "
        "false"
    )


def clock(microseconds: int) -> str:
    """A time for a person."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _heads(place: JournalPlace) -> Iterator[tuple[Path, FileHead | str]]:
    for path in place.files():
        try:
            yield path, read_head(path)
        except OSError:  # vacuumed meanwhile, or another user's
            continue
