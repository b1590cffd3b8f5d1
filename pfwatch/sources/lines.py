"""Whole lines out of bytes that come in any pieces.

Enters: bytes as they were read. Leaves: whole lines, and how many bytes of the input they stand for. This file must
never know where the bytes come from or what a line means.
"""


class LineCutter:
    """Cuts at line feeds only and keeps the half line at the end for the next piece.

    A line longer than `max_line` bytes leaves as its first `max_line` bytes and a line feed, but only once its own line
    feed has come: so `consumed` always stands at the beginning of a line, and reading again from there gives the same.
    The result does not depend on the pieces. Memory is bounded by one piece and `max_line`.
    """

    __slots__ = ("_half", "_max_line", "consumed", "cut", "pending")

    def __init__(self, max_line: int) -> None:
        if max_line < 1:
            raise ValueError(f"max_line must be at least 1 byte, not {max_line}")
        self._max_line = max_line
        self._half = bytearray()
        """The beginning of the half line: one byte more than `max_line` is enough to know that it is too long."""
        self.consumed = 0
        """Bytes of input up to the beginning of the half line."""
        self.pending = 0
        """Bytes of input in the half line, kept or dropped."""
        self.cut = 0
        """Lines that were too long."""

    def feed(self, data: bytes) -> bytes:
        """The lines that are whole now, each with its line feed; empty when there is none."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep(data, 0)
            return b""
        lines = b"".join((self._half, memoryview(data)[:end])) if self._half else data[:end]
        self.consumed += self.pending + end
        self._half.clear()
        self.pending = 0
        if end < len(data):
            self._keep(data, end)
        return self._bounded(lines)

    def finish(self) -> bytes:
        """The last line of a finished input that does not end with a line feed, given one; empty when there is none."""
        lines = self._bounded(bytes(self._half) + b"\n") if self._half else b""
        self.consumed += self.pending
        self._half.clear()
        self.pending = 0
        return lines

    def _keep(self, data: bytes, start: int) -> None:
        room = self._max_line + 1 - len(self._half)
        self._half += memoryview(data)[start : start + room]
        self.pending += len(data) - start

    def _bounded(self, lines: bytes) -> bytes:
        # One search per max_line bytes, not per line: a line feed in reach proves everything before it short enough.
        reach = self._max_line + 1
        start = copied = 0
        pieces: list[bytes] = []
        while len(lines) - start > reach:
            newline = lines.rfind(b"\n", start, start + reach)
            if newline >= 0:
                start = newline + 1
                continue
            pieces += (lines[copied : start + self._max_line], b"\n")
            start = copied = lines.index(b"\n", start + self._max_line) + 1
            self.cut += 1
        if not pieces:
            return lines
        pieces.append(lines[copied:])
        return b"".join(pieces)
