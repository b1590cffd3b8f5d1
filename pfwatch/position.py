"""How far a source was read, in a form that survives a restart, a rotation and a crash.

Enters: nothing. Leaves: frozen positions and the `Block`. This file must never know how a source is read or stored.
"""

import msgspec


class FilePosition(msgspec.Struct, frozen=True, tag="file"):
    """A place in a file that may be renamed, truncated, compressed or replaced meanwhile."""

    path: str
    device: int
    inode: int
    fingerprint: str
    """`<length>:<BLAKE2b-128 hex of the file's first length bytes>`, length at most 1,024: an inode is used again, the
    beginning of a log (a time and a host) is not."""
    offset: int
    """Bytes of whole lines read; the next block begins here. For a compressed file: of its decompressed content."""
    size: int = 0
    """Bytes in the file when it was read: what is between offset and this was seen, and not read yet. 0: not known."""
    modified: float = 0.0
    """When the file had been written last then, seconds since the epoch: rotated files written later than this one
    come after it. 0: not known."""


class JournalPosition(msgspec.Struct, frozen=True, tag="journal"):
    """A place in the systemd journal. The time stands beside the cursor because an unknown cursor does not raise."""

    cursor: str
    realtime: int
    """Microseconds since the epoch of the entry at the cursor."""
    sequence: int | None = None
    """The journal's own sequence number, where it tells it (systemd 254 and later): measures what was vacuumed."""


Position = FilePosition | JournalPosition


class Block(msgspec.Struct, frozen=True):
    """Whole lines from one source."""

    source: str
    """The source's name, as metrics and messages show it: the path, `stdin`, `journal`."""
    data: bytes
    """Ends with a line feed. A line that was longer than the reader's bound is cut at it, never dropped. Empty where a
    source passed a gap without a line: only the position moved."""
    reference: float
    """The newest moment that a record in it can have, seconds since the epoch: the file's modification time, live the
    time of reading. Years are inferred from it."""
    position: Position | None
    """Where to go on after this block; None where there is no going on (standard input)."""
    caught_up: bool = False
    """Nothing more was to be read behind this block when it was read."""
