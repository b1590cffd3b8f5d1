"""Says what hinders the state database, and what to do about it.

Enters: an error of SQLite or the system, and the path. Leaves: the error of this part, with words. This file must never
know what was to be read or written.
"""

import errno
import os
import sqlite3
from pathlib import Path

from pfwatch.store.errors import DamagedError, PassingError, StateError

_ROOM = 64 * 1024
"""Bytes free below which nothing can be committed; a page and its neighbours need about as much."""
_FULL = {errno.ENOSPC, errno.EDQUOT}
_PRIMARY = 0xFF
"""An extended code of SQLite holds the primary one in its lowest byte."""


def explain(path: Path, cannot: str, error: sqlite3.Error | OSError) -> StateError:
    """The error to raise for a cause; `cannot` is what failed, such as `written`."""
    what = f"the state database {path} cannot be {cannot}: "
    if isinstance(error, OSError):
        return _of_system(path, what, error)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DamagedError(str(error))
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return PassingError(f"{what}another process has locked it. `fuser -v {path}` names it: let it finish or end it")
    if code == sqlite3.SQLITE_FULL or (code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and is_full(path)):
        return full(path, what)
    if code == sqlite3.SQLITE_READONLY or (code == sqlite3.SQLITE_CANTOPEN and _is_read_only(path)):
        return _read_only(path, what)
    if code == sqlite3.SQLITE_IOERR:
        return PassingError(f"{what}{error}. The disk may be failing: `dmesg` tells")
    return StateError(f"{what}{error}")


def full(path: Path, what: str) -> PassingError:
    """There is no room."""
    return PassingError(f"{what}the disk is full. `df -h {path.parent}` shows it: make room there")


def is_full(path: Path) -> bool:
    """Whether nothing more fits beside the database."""
    try:
        there = os.statvfs(path.parent)
    except OSError:
        return False
    free = there.f_bfree if os.geteuid() == 0 else there.f_bavail
    return free * there.f_frsize < _ROOM


def _of_system(path: Path, what: str, error: OSError) -> StateError:
    if error.errno in _FULL:
        return full(path, what)
    if error.errno == errno.EROFS:
        return _read_only(path, what)
    if error.errno == errno.EIO:
        return PassingError(f"{what}{error.strerror}. The disk may be failing: `dmesg` tells")
    return StateError(
        f"{what}{error.strerror}. Run pfwatch as a service, or name a place that it may write to: [state] path, or "
        "--state"
    )


def _read_only(path: Path, what: str) -> PassingError:
    return PassingError(
        f"{what}{path.parent} is read-only. `findmnt -T {path.parent}` shows the mount: make it writable, or name "
        "another [state] path"
    )


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False
