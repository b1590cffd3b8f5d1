"""The state of a database in which nothing can be written at present: read from a copy of its files.

Enters: the path of a database. Leaves: the state at its last commit. This file must never write beside the database.

SQLite itself cannot read one there: its write-ahead log, in which the latest commits are, has an index that needs room.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from pfwatch.store.changes import Saved
from pfwatch.store.database import Store
from pfwatch.store.errors import StateError

_PLACES = (None, "/dev/shm", "/run/pfwatch")  # noqa: S108 - mkdtemp makes a folder of its own in it
"""None: where temporary files usually are."""


def read_beside(path: Path, notes: list[str]) -> Saved:
    """The state at the last commit; an empty one where there is no database yet. Raises StateError."""
    if not path.exists():
        return Saved({}, {}, {}, [])
    reason: OSError | None = None
    for place in _PLACES:
        try:
            with tempfile.TemporaryDirectory(prefix="pfwatch-", dir=place) as folder:
                return _read_copy(path, Path(folder), notes)
        except OSError as error:
            reason = reason or error
    raise StateError(f"the state database {path} cannot be read: {reason}")


def _read_copy(path: Path, folder: Path, notes: list[str]) -> Saved:
    for name in (path.name, f"{path.name}-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(path.with_name(name), folder / name)
    store = Store(folder / path.name)
    try:
        if store.notes:  # the copy was damaged, and set aside as a copy
            notes.append(f"the state database {path} is damaged and nothing can be written beside it")
        return store.load()
    finally:
        store.close()
