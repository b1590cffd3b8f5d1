"""Why a log cannot be read, in words that say what to do.

Enters: a path and the operating system's error. Leaves: `SourceError` and sentences. This file must never know what is
in a log.
"""

import errno
import grp
import os
import pwd
import stat
from pathlib import Path


class SourceError(Exception):
    """A log that cannot be read, or not to its end."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def explain(path: str, error: OSError) -> str:
    """What the error means for this path and what to do, without the path itself at the front."""
    match error.errno:
        case errno.ENOENT:
            return _explain_missing(Path(path))
        case errno.EACCES | errno.EPERM:
            return _explain_denied(Path(path))
        case errno.EISDIR:
            return "is a directory; name the log file in it"
        case errno.ENOTDIR:
            return "a part of this path is not a directory; check the path"
        case errno.ELOOP:
            return "is a symbolic link that leads back to itself; check where it points"
        case _:
            return f"cannot be read: {error.strerror}"


def _explain_missing(path: Path) -> str:
    if path.is_symlink():
        return f"is a symbolic link to {path.readlink()}, which does not exist"
    if not path.parent.is_dir():
        return f"does not exist, nor does its directory {path.parent}; check the path"
    return "does not exist; check the path, and whether the syslog daemon writes there"


def _explain_denied(path: Path) -> str:
    for directory in reversed(path.parents):
        if not os.access(directory, os.X_OK, effective_ids=True):
            return (
                f"permission denied: {_who_may(directory, f'its directory {directory} can be entered', stat.S_IXUSR)}"
            )
    return f"permission denied: {_who_may(path, 'it can be read', stat.S_IRUSR)}"


def _who_may(path: Path, what: str, owner_bit: int) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return f"{path} cannot be examined: {error.strerror}"
    user, group, me = _user(status.st_uid), _group(status.st_gid), _user(os.geteuid())
    if os.geteuid() == 0 or status.st_mode & owner_bit >> 6:
        return f"the mode of {path} allows it, so look at AppArmor, SELinux or the sandbox of the systemd unit"
    if status.st_mode & owner_bit >> 3 and status.st_gid != 0:  # nobody should join root's
        return f"{what} by {user} and group {group}; add {me} to that group (usermod -a -G {group} {me}) or run as root"
    return f"{what} by {user} alone; give it to a group of {me}, or run as root"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
