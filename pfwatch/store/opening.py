"""Opening the state database: made if there is none, checked, brought to the newest version.

Enters: a path. Leaves: a connection in autocommit mode, and what an administrator should know about it. This file must
never know what the rows mean.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from pfwatch.store.errors import DamagedError, StateError
from pfwatch.store.explain import explain
from pfwatch.store.schema import APPLICATION_ID, MIGRATIONS, Migration, migrate, version_of

_BUSY_TIMEOUT = 1.0
"""Seconds to wait for another process. Short, as a stop waits for it, too; whoever commits tries again later."""


def make_folder(path: Path) -> None:
    """The database's directory, readable by its owner and group only if it has to be made. Raises StateError."""
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise explain(path / "state.db", "kept", error) from error


def open_database(path: Path, notes: list[str], migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """The database at `path`; a damaged one is set aside and said in `notes`. Raises StateError."""
    try:
        try:
            return _open(path, migrations)
        except DamagedError as damage:
            notes.append(set_aside(path, str(damage)))
            return _open(path, migrations)
    except DamagedError as damage:
        raise StateError(f"the state database {path} cannot be opened: {damage}") from damage
    except (OSError, sqlite3.Error) as error:
        raise explain(path, "opened", error) from error


def check_file(path: Path) -> None:
    """Read the file of an open database as somebody would who opens it now. Raises DamagedError and sqlite3.Error."""
    with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None)) as fresh:
        _check(path, fresh, MIGRATIONS)


def set_aside(path: Path, damage: str) -> str:
    """Rename a damaged database and its companions; gives a sentence about it. Raises OSError."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{now}")
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(aside.with_name(aside.name + suffix))
    return f"the state database {path} is damaged ({damage}). It was kept as {aside}"


def _open(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=True)
    try:
        _check(path, database, migrations)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA foreign_keys = ON")
        migrate(database, migrations)
    except BaseException:
        database.close()
        raise
    return database


def _check(path: Path, database: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    try:
        said = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        version = version_of(database)
        owner = database.execute("PRAGMA application_id").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise  # locked, or not to be read: the file itself may be sound
        raise DamagedError(str(error)) from error
    if said != "ok":
        raise DamagedError(said)
    tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise StateError(f"{path} is the database of another program; name another [state] path")
    if version > len(migrations):
        raise StateError(
            f"{path} was written by a newer pfwatch (version {version} of the state, this one knows {len(migrations)})"
            ": install that one again, or name another [state] path"
        )
