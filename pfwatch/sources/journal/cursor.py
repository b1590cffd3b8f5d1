"""Places in a journal, compared.

Enters: cursors. Leaves: whether two are of the same entry, and the number and stream in one. This file must never know
how a journal is read.
"""

from pfwatch.position import JournalPosition

_ENTRY = ("b", "m", "t", "x")
"""Boot, monotonic time, real time and hash of an entry stay what they are when journald copies it from /run to /var;
its stream (s) and number (i) do not."""


def is_same_entry(one: str, other: str) -> bool:
    """Whether two cursors are of one entry."""
    first, second = _parts(one), _parts(other)
    return one == other or ("t" in first and all(first.get(part) == second.get(part) for part in _ENTRY))


def position_at(cursor: str, realtime: int) -> JournalPosition:
    """The position of the entry with this cursor."""
    try:
        number = int(_parts(cursor).get("i", ""), 16)
    except ValueError:
        number = None
    return JournalPosition(cursor, realtime, number)


def stream_of(cursor: str) -> str:
    """Within one stream, entries are numbered without gaps."""
    return _parts(cursor).get("s", "")


def _parts(cursor: str) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in cursor.split(";"))}
