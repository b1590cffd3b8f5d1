"""A bounded dictionary that knows what changed: the ground that sessions, windows and incidents stand on.

Enters: keys and values that msgspec can encode. Leaves: the same, and what changed since it was last asked, encoded,
so that the store can keep it. Every core part that remembers something may import this; it must never know what.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K")
V = TypeVar("V")
_MOVES_UP = 16
"""Rows move up when one in so many made room: then a row costs as much to move as the gaps before it cost to walk."""


class Table(Generic[K, V]):
    """At most `limit` rows; the one that was put in longest ago makes room, and is counted."""

    def __init__(self, key: object, value: object, limit: int, *, keep: bool) -> None:
        """Take the types of key and value (for decoding); with `keep`, changes are collected for `drain`."""
        self.rows: dict[K, V] = {}
        self.evicted = 0
        self.limit = limit
        self.keep = keep
        self.changed: set[K] = set()
        self._drained: set[K] = set()
        """Keys of the rows that the store has."""
        self._gaps = 0
        """Rows that made room since the others were last moved up."""
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_key = msgspec.msgpack.Decoder(key).decode
        self._decode_value = msgspec.msgpack.Decoder(value).decode

    def get(self, key: K) -> V | None:
        """The row of a key."""
        return self.rows.get(key)

    def put(self, key: K, value: V) -> None:
        """Set a row and make it the youngest; also to say that a value was changed in place."""
        rows = self.rows
        if key in rows:
            del rows[key]
        elif len(rows) >= self.limit:
            self.make_room()
        rows[key] = value
        if self.keep:
            self.changed.add(key)

    def make_room(self) -> tuple[K, V]:
        """Remove the row that was put in longest ago, and give it."""
        if self._gaps > self.limit // _MOVES_UP:
            self._move_up()
        key, value = next(iter(self.rows.items()))
        self.drop(key)
        self.evicted += 1
        self._gaps += 1
        return key, value

    def _move_up(self) -> None:
        # A dictionary's first row is found by walking over all that were removed before it since it last grew. The
        # object stays the same: others hold it.
        rows = dict(self.rows)
        self.rows.clear()
        self.rows.update(rows)
        self._gaps = 0

    def touch(self, keys: Iterable[K]) -> None:
        """Say that the rows of these keys were changed by whoever writes to `rows` himself, for speed."""
        if self.keep:
            self.changed.update(keys)

    def touch_all(self) -> None:
        """Say that every row is to be kept anew, and that what else is kept of this table is none of it."""
        if self.keep:
            self.changed = set(self.rows)
            self._drained.clear()

    def drop(self, key: K) -> V | None:
        """Remove a row."""
        value = self.rows.pop(key, None)
        if value is not None and self.keep:
            self.changed.add(key)
        return value

    def oldest(self) -> Iterator[tuple[K, V]]:
        """The rows from the oldest to the youngest; rows may be dropped meanwhile."""
        return iter(list(self.rows.items()))

    def drain(self) -> dict[bytes, bytes | None]:
        """What changed since the last call, encoded; None for a row that is gone.

        Of a row that came and went in between nothing is told: of messages and connections those are most.
        """
        rows, encode, drained = self.rows, self._encode, self._drained
        changed: dict[bytes, bytes | None] = {}
        for key in self.changed:
            if key in rows:
                drained.add(key)
                changed[encode(key)] = encode(rows[key])
            elif key in drained:
                drained.remove(key)
                changed[encode(key)] = None
        self.changed.clear()
        return changed

    def restore(self, saved: Mapping[bytes, bytes]) -> None:
        """Take rows that `drain` gave."""
        for key, value in saved.items():
            self.rows[self._decode_key(key)] = self._decode_value(value)
        if self.keep:
            self._drained.update(self.rows)
