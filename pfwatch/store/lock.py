"""One process to a state database.

Enters: the path of the database. Leaves: a lock that ends with the process, however that ends. This file must never
know what is in the database.
"""

import fcntl
import os
from pathlib import Path

from pfwatch.store.errors import StateError


class StateLock:
    """An exclusive lock on `<path>.lock`; the file stays, for removing it would let two processes in."""

    def __init__(self, path: Path) -> None:
        """Raises StateError when another process has the lock, OSError when the file cannot be made."""
        lock = path.with_name(path.name + ".lock")
        self._descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            self.release()
            raise StateError(
                f"{path} is in use by another pfwatch (process {holder}): stop that one, or give this one another "
                "[state] path"
            ) from None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let others in."""
        os.close(self._descriptor)
