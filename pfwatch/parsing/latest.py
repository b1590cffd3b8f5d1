"""The latest record of a log, of which a line may say that it was repeated.

Enters: blocks of whole lines. Leaves: the record before a place, and the time of the last one; a state for a restart.
Only what reads blocks imports this; it must never know what a record means.
"""

from typing import NamedTuple

import msgspec

from pfwatch.records.header import last_repeated, row_of


class Last(NamedTuple):
    """The record that a `last message repeated` speaks of."""

    tag: bytes
    pid: bytes
    body: bytes
    queue_id: bytes
    word: bytes


_DECODER = msgspec.msgpack.Decoder(tuple[Last | None, bytes])


class Latest:
    """What the next block may need of those before."""

    def __init__(self) -> None:
        self.time = b""
        """Of the latest record, as it stands in the log."""
        self._last: Last | None = None

    def before(self, block: bytes, end: int) -> Last | None:
        """The record that a line repeats which stands behind the line feed at `end`."""
        while end >= 0:
            begin = block.rfind(b"\n", 0, end)
            line = block[begin + 1 : end]
            if not last_repeated(line):
                row = row_of(b"\n" + line)
                return Last(*row[2:7]) if row else None
            end = begin
        return self._last

    def remember(self, block: bytes) -> None:
        """Keep of a block what the next one may need."""
        end = len(block) - 1
        self._last = self.before(block, end)
        while end >= 0:
            begin = block.rfind(b"\n", 0, end)
            row = row_of(b"\n" + block[begin + 1 : end])
            if row:
                self.time = row.time
                return
            end = begin

    def follow(self, saved: bytes) -> None:
        """Keep what the next block may need of the lines that `state` speaks of, which were read apart."""
        before = self.time
        self.restore(saved)
        self.time = self.time or before

    def state(self) -> bytes:
        """All of it, encoded."""
        return msgspec.msgpack.encode((self._last, self.time))

    def restore(self, saved: bytes) -> None:
        """Go on behind the lines that `state` speaks of."""
        self._last, self.time = _DECODER.decode(saved)
