"""Three ways to follow a log that everybody writes first. Each is right until something happens to the file."""

from io import FileIO
from pathlib import Path


class SeekToEnd:
    """`tail -F`: begins at the end, opens the path anew when it is another file."""

    def __init__(self, path: Path, state: tuple[int, int] | None) -> None:
        del state
        self._path = path
        self._file: FileIO | None = None
        try:
            self._file = FileIO(path)
            self._file.seek(0, 2)
        except FileNotFoundError:
            pass

    def look(self) -> bytes:
        if not self._path.exists() or (self._file and self._file.closed):  # an error ended it
            return b""
        if self._file is None or self._inode() != self._path.stat().st_ino:
            self.close()
            self._file = FileIO(self._path)
        elif self._file.tell() > self._path.stat().st_size:
            self._file.seek(0)
        return self._file.readall()

    def state(self) -> tuple[int, int] | None:
        return None

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _inode(self) -> int:
        assert self._file is not None
        return Path(f"/proc/self/fd/{self._file.fileno()}").stat().st_ino


class InodeOnly:
    """Remembers inode and offset; another inode is another log, the same inode is the same."""

    def __init__(self, path: Path, state: tuple[int, int] | None) -> None:
        self._path = path
        self._inode, self._offset = state or (0, 0)

    def look(self) -> bytes:
        if not self._path.exists():
            return b""
        inode = self._path.stat().st_ino
        if inode != self._inode:
            self._inode, self._offset = inode, 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        return data

    def state(self) -> tuple[int, int] | None:
        return self._inode, self._offset

    def close(self) -> None:
        """Nothing is open."""


class SizeOnly:
    """Remembers the offset; a file that is shorter is another one."""

    def __init__(self, path: Path, state: tuple[int, int] | None) -> None:
        self._path = path
        self._offset = state[1] if state else 0

    def look(self) -> bytes:
        if not self._path.exists():
            return b""
        if self._path.stat().st_size < self._offset:
            self._offset = 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        return data

    def state(self) -> tuple[int, int] | None:
        return 0, self._offset

    def close(self) -> None:
        """Nothing is open."""
