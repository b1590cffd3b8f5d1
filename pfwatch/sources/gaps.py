"""What of a followed log is lost, measured and in words.

Enters: the position up to which it was read, and what was found in its place. Leaves: a `Loss` for each gap. This file
must never know how a log is opened or which file is read next.
"""

import re
from pathlib import Path

from pfwatch.loss import Loss
from pfwatch.position import FilePosition
from pfwatch.sources.errors import explain

_COMPRESSED = re.compile(r".*\.(?:gz|bz2|xz|zst)")


def bytes_seen(position: FilePosition) -> int | None:
    """Bytes that were seen behind the position; None when there were none, which says nothing of later ones."""
    return position.size - position.offset if position.size > position.offset else None


def gone(position: FilePosition, *, truncated: bool) -> Loss | None:
    """The file of the position is nowhere; `truncated`: because it was seen to lose its content."""
    if not position.offset and not position.size:
        return None
    what = (
        "it was emptied or overwritten, and no copy is beside it"
        if truncated
        # Of an inode that is used again nobody can say whether the file was overwritten or deleted.
        else "it is not the file that was read before, which is not beside it as a rotated one either"
    )
    text = (
        f"{what}: {_unread(position)}. What comes after that is read from its beginning. If rotation moves files to "
        "another directory (olddir) or deletes them at once, let it leave the last one beside the log"
    )
    return Loss("truncated" if truncated else "rotated_away", text, size=bytes_seen(position))


def cut_off(position: FilePosition, size: int) -> Loss:
    """The file ends before the position."""
    text = (
        f"it is {size} bytes long, though {position.offset} had been read: its end was cut off, {_unread(position)}; "
        "reading goes on with what is written from now on"
    )
    return Loss("truncated", text, size=bytes_seen(position))


def short_copy(position: FilePosition, unread: int) -> Loss | None:
    """A copy was made before the truncation, with so many bytes behind the position: more may have been seen."""
    lost = (bytes_seen(position) or 0) - unread
    if lost <= 0:
        return None
    text = (
        f"it was copied and truncated, and {lost} bytes that were written in between are in neither file: let rotation "
        "rename the file (create in place of copytruncate)"
    )
    return Loss("truncated", text, size=lost)


def unreadable(position: FilePosition, path: Path, error: OSError, *, found: bool, held: bool) -> Loss | None:
    """A rotated file that cannot be opened; `found`: the position is in an older one; `held`: its file is open."""
    try:
        status = path.stat()
    except OSError:
        return None
    same = (status.st_dev, status.st_ino) == (position.device, position.inode)
    if (same and held) or (not same and not found and status.st_mtime <= position.modified):
        return None  # from before the position, or being read
    size = max(status.st_size - (position.offset if same else 0), 0)
    text = f"{path}, where unread lines are: {explain(str(path), error)}"
    return Loss("unreadable", text, size=None if _COMPRESSED.fullmatch(path.name) else size)


def damaged(error: OSError) -> Loss:
    """A compressed file gave an error on the way."""
    return Loss("unreadable", f"a rotated file {explain('', error)}; all before that was read")


def given_up(error: OSError, unread: int | None) -> Loss:
    """A rotated file gave an error on the way, and the next one is there."""
    return Loss("unreadable", f"the file before its rotation {explain('', error)}; going on with the next", size=unread)


def _unread(position: FilePosition) -> str:
    seen = bytes_seen(position)
    what = f"at least {seen} bytes of it" if seen else "what was written to it since it was read last"
    return f"{what} cannot be read any more"
