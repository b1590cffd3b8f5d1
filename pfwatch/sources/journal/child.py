"""Reads a journal through `journalctl`, for machines where neither compiled code nor systemd-python is there.

Enters: where the journal is, and where to begin. Leaves: entries, put into a `LineMaker`; the same as `LibraryReader`
to whoever drives it. This file must never know a message, or what is kept of a place.

The form is `-o export`: it says for each value how long it is, so nothing that somebody logged can look like a field.
"""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator

from pfwatch.sources.journal.lines import DROPPED, FACILITY, FIELDS, LineMaker
from pfwatch.sources.journal.place import JournalPlace

_PIECE = 64 * 1024
_LENGTH = 8
_LONGEST = 16 * 1024 * 1024
"""Bytes of one entry that are waited for; journald itself ends at less."""

_SELECTED = (FACILITY, "+", DROPPED)


class ChildReader:
    """One `journalctl` at a time, started anew for each place to begin at."""

    def __init__(self, place: JournalPlace, *, follow: bool) -> None:
        """With `follow` it goes on for ever, else it ends with the journal."""
        self._command = ["journalctl", "-o", "export", "--quiet", "--no-pager", f"--output-fields={','.join(FIELDS)}"]
        if place.file is not None:
            self._command.append(f"--file={place.file}")
        elif place.directory is not None:
            self._command.append(f"--directory={place.directory}")
        elif place.namespace is not None:
            self._command.append(f"--namespace={place.namespace}")
        self._follow = follow
        self._child: subprocess.Popen[bytes] | None = None
        self._entries = ExportReader()
        self._last = "", 0
        self.leave: Callable[[], None] = lambda: None
        self.settled = False
        """What was there when the child began has come, as far as one can tell."""
        self.files_changed = False
        """Never known here."""

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is None or child.stdout is None:
            return
        self.leave()
        child.kill()
        child.stdout.close()
        child.wait()

    def seek_first(self) -> None:
        """To the beginning. Raises OSError, as do the other two."""
        self._start()

    def seek_time(self, microseconds: int) -> None:
        """To the first entry that is not older."""
        self._start(f"--since=@{microseconds // 1_000_000}.{microseconds % 1_000_000:06}")

    def seek_cursor(self, cursor: str) -> tuple[str, int] | None:
        """To an entry: cursor and time of the one that is there, which may be another; None where there is none.

        That entry is behind the place then.
        """
        with subprocess.Popen(  # noqa: S603 - a fixed command; a cursor is one word of it
            [*self._command, f"--cursor={cursor}", *_SELECTED],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as child:
            found = _first_entry(child)
            child.kill()
        if found is not None:
            self._start(f"--after-cursor={found[0]}")
        return found

    def pull(self, lines: LineMaker, count: int) -> int:
        """Put up to `count` entries into `lines`; fewer when there are no more at present. Raises OSError."""
        taken = 0
        while taken < count:
            entry = self._entries.take()
            if entry is None:
                if not self._read():
                    break
                continue
            self._last = _text(entry, "__CURSOR"), int(_text(entry, "__REALTIME_TIMESTAMP") or 0)
            lines.add(entry, self._last[1])
            taken += 1
        return taken

    def place(self) -> tuple[str, int]:
        """Cursor and time of the last entry that was pulled."""
        return self._last

    def fileno(self) -> int | None:
        """A descriptor that can be read when the child wrote something; None before it was started."""
        return None if self._child is None or self._child.stdout is None else self._child.stdout.fileno()

    def hear(self) -> bool:
        """It can be read: there is something, or the child has ended."""
        return True

    def waited_in_vain(self) -> None:
        """Nothing came for a while: what was there when the child began has come."""
        self.settled = True

    def _start(self, *where: str) -> None:
        self.close()
        follow = ("--follow", "--no-tail") if self._follow else ()
        self._entries, self.settled = ExportReader(), not self._follow
        self._child = subprocess.Popen(  # noqa: S603 - as above
            [*self._command, *follow, *where, *_SELECTED],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        if self._follow and self._child.stdout is not None:
            os.set_blocking(self._child.stdout.fileno(), False)

    def _read(self) -> bool:
        """Read a piece; False when there is none at present."""
        if self._child is None or self._child.stdout is None:
            return False
        try:
            piece = os.read(self._child.stdout.fileno(), _PIECE)
        except BlockingIOError:
            return False
        if piece:
            self._entries.feed(piece)
        elif self._follow:
            raise OSError(errno.EPIPE, f"journalctl ended with status {self._child.wait()}")
        return bool(piece)


class ExportReader:
    """Whole entries out of the export format, which comes in any pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._entry: dict[str, bytes] = {}

    def feed(self, piece: bytes) -> None:
        """Take some bytes."""
        self._buffer += piece

    def take(self) -> dict[str, bytes] | None:
        """The next entry, None when it is not whole yet."""
        consumed = 0
        try:
            for name, value, end in self._fields():
                consumed = end
                if name:
                    self._entry[name] = value
                elif self._entry:
                    entry, self._entry = self._entry, {}
                    return entry
            if len(self._buffer) - consumed > _LONGEST:
                raise OSError(errno.EBADMSG, "journalctl wrote an entry without end")
        finally:
            del self._buffer[:consumed]
        return None

    def _fields(self) -> Iterator[tuple[str, bytes, int]]:
        """Name, value and where it ends; an empty name for the end of an entry."""
        buffer, at = self._buffer, 0
        while (end := buffer.find(b"\n", at)) >= 0:
            line = bytes(buffer[at:end])
            name, equals, value = line.partition(b"=")
            if name and not equals:
                begin = end + 1 + _LENGTH
                length = int.from_bytes(buffer[end + 1 : begin], "little")
                if len(buffer) < begin + length + 1 or begin > len(buffer):
                    return
                value, end = bytes(buffer[begin : begin + length]), begin + length
            at = end + 1
            yield name.decode("ascii", "replace"), value, at


def _first_entry(child: "subprocess.Popen[bytes]") -> tuple[str, int] | None:
    entries = ExportReader()
    while child.stdout is not None and (piece := os.read(child.stdout.fileno(), _PIECE)):
        entries.feed(piece)
        if (entry := entries.take()) is not None:
            return _text(entry, "__CURSOR"), int(_text(entry, "__REALTIME_TIMESTAMP") or 0)
    return None


def _text(entry: dict[str, bytes], name: str) -> str:
    return entry.get(name, b"").decode("ascii", "replace")
