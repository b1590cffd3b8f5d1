"""What the planner remembers of many incidents: a dictionary of which each commit takes only what changed.

Enters: keys and values. Leaves: the same, and the rows that changed since they were last asked for, encoded. This file
must never know what the values mean.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

V = TypeVar("V")


class Remembered(dict[str, V]):
    """A dictionary whose rows come back after a restart, and in their order. Only the methods below change it."""

    def __init__(self, value: object, begin: Mapping[str, V]) -> None:
        """Take the type of a value (for decoding), and rows that are not kept yet."""
        super().__init__()
        self._decoder = msgspec.msgpack.Decoder(tuple[int, value])  # type: ignore[valid-type]
        self._numbers: dict[str, int] = {}
        """Key -> its place in the order."""
        self._next = 0
        self._changed: set[str] = set()
        for key, one in begin.items():
            self[key] = one

    def __setitem__(self, key: str, value: V) -> None:
        """Set a row; a new one is the last."""
        if key not in self:
            self._numbers[key] = self._next
            self._next += 1
        super().__setitem__(key, value)
        self._changed.add(key)

    def __delitem__(self, key: str) -> None:
        """Remove a row."""
        super().__delitem__(key)
        del self._numbers[key]
        self._changed.add(key)

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove a row and give its value."""
        if key not in self:
            return default
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove every row."""
        self._changed.update(self)
        self._numbers.clear()
        super().clear()

    def touch_all(self) -> None:
        """Say that every row is to be kept anew, and that what else is kept is none of them."""
        self._changed = set(self)

    def drain(self, name: str) -> dict[bytes, bytes | None]:
        """The rows that changed since the last call, under keys with this name before; None for one that is gone."""
        encode = msgspec.msgpack.encode
        changed = {
            f"{name} {key}".encode(): encode((self._numbers[key], self[key])) if key in self else None
            for key in self._changed
        }
        self._changed.clear()
        return changed

    def restore(self, name: str, saved: Mapping[bytes, bytes]) -> None:
        """Take those of the rows that `drain` gave under this name."""
        begin, decode = f"{name} ".encode(), self._decoder.decode
        rows = [(*decode(row), key.removeprefix(begin).decode()) for key, row in saved.items() if key.startswith(begin)]
        for number, value, key in sorted(rows, key=lambda row: row[0]):
            super().__setitem__(key, value)
            self._numbers[key] = number
            self._next = number + 1
