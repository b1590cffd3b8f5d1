"""Messages of one syslog connection, out of bytes that come in any pieces.

Enters: bytes as they were received. Leaves: whole messages as lines, one line for each whatever stands in it. This file
must never know a socket, or what a message means.

RFC 6587 knows two ways, and a connection keeps to one of them, which its first bytes tell: octet counting
(`<length> <message>`), or a line feed behind each message.
"""

import re

from pfwatch.sources.lines import LineCutter

LARGEST = 1024 * 1024
"""Bytes of a counted message. Of a longer line than the bound of lines its beginning is kept, and the rest is read and
dropped; a sender who announces more than this is broken, or hostile."""
_COUNT = re.compile(rb"[1-9][0-9]{0,6}(?: |\Z)")
_LONGEST_COUNT = 8
"""Digits of `LARGEST` and a blank."""


class FramingError(Exception):
    """What was received is no syslog connection; the text continues a sentence that begins with the sender."""


def line_of(message: bytes, max_line: int) -> bytes:
    """One message as one line, empty for one without text: line ends and NUL in it are shown as rsyslog shows them."""
    text = message.rstrip(b"\r\n\0")[:max_line]
    if not text:
        return b""
    if b"\n" in text or b"\0" in text or b"\r" in text:
        text = text.replace(b"\n", b"#012").replace(b"\0", b"#000").replace(b"\r", b"#015")
    return text + b"\n"


class Framing:
    """Cuts one connection into messages. Memory is bounded by `max_line` and one piece."""

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._lines = LineCutter(max_line)
        self._buffer = bytearray()
        """Octet counting: the beginning of a message, with its count."""
        self._needed = 1
        """Bytes in the buffer with which something new can be said."""
        self._skip = 0
        """Bytes of a message that was too long, still to come."""
        self._counted: bool | None = None

    @property
    def half(self) -> bool:
        """The beginning of a message is there, and its end is not."""
        return bool(self._buffer or self._skip or self._lines.pending)

    def feed(self, data: bytes) -> bytes:
        """The messages that are whole now, as lines. Raises FramingError."""
        if self._counted is None:
            data = bytes(self._buffer) + data
            self._buffer.clear()
            found = _COUNT.match(data)
            if found and found.end() == len(data) < _LONGEST_COUNT and not data.endswith(b" "):
                self._buffer += data
                return b""
            self._counted = bool(found and data[: found.end()].endswith(b" "))
        return self._feed_counted(data) if self._counted else self._feed_lines(data)

    def finish(self) -> bytes:
        """The sender has closed the connection: what is there without a line feed is its last message.

        Half of a counted message is none.
        """
        rest = bytes(self._buffer) if self._counted is None else self._lines.finish()
        return line_of(rest, self._max_line)

    def _feed_lines(self, data: bytes) -> bytes:
        lines = self._lines.feed(data)
        if b"\0" in lines:
            lines = lines.replace(b"\0\n", b"\n").replace(b"\0", b"#000")
        if b"\n\n" in lines or lines.startswith(b"\n"):
            lines = re.sub(rb"(?m)^\n", b"", lines)
        return lines

    def _feed_counted(self, data: bytes) -> bytes:
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._buffer += data
        if len(self._buffer) < self._needed:
            return b""
        received, position, lines = bytes(self._buffer), 0, []
        self._needed = 1
        while position < len(received):
            begin, size = self._count(received, position)
            if not size:
                break
            end = begin + size
            if end > len(received):
                if len(received) - begin < self._max_line:
                    self._needed = min(end, begin + self._max_line) - position
                    break
                self._skip = end - len(received)
            lines.append(line_of(received[begin : min(end, begin + self._max_line)], self._max_line))
            position = min(end, len(received))
        self._buffer = bytearray(received[position:])
        return b"".join(lines)

    def _count(self, received: bytes, position: int) -> tuple[int, int]:
        """Where the message at a position begins, and its size; 0 while that is not told."""
        found = _COUNT.match(received, position)
        if found is None:
            raise FramingError("sends something else where the length of the next message must be")
        begin = found.end()
        if received[begin - 1] != ord(" "):
            if begin - position >= _LONGEST_COUNT - 1:
                raise FramingError("sends a length without an end")
            self._needed = begin - position + 1
            return 0, 0
        size = int(received[position : begin - 1])
        if size > LARGEST:
            raise FramingError(f"announces a message of {size:,} bytes, and {LARGEST:,} are the most")
        return begin, size
