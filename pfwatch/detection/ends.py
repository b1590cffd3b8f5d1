"""When incidents may end: the earliest moment first, and those of one moment in the order of their keys.

Enters: moments and keys. Leaves: whose moment has come. This file must never know what ends.

In a log of whole seconds many share a moment, and each moment waits in line but once.
"""

import heapq

from pfwatch.detection.change import Key

_NEVER = float("inf")


class Ends:
    """Keys, each with a moment; seconds since the epoch."""

    def __init__(self) -> None:
        self._moments: list[float] = []
        """A heap of those below."""
        self._keys: dict[float, list[Key]] = {}
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def add(self, at: float, key: Key) -> None:
        """Let a key wait for a moment."""
        keys = self._keys.get(at)
        if keys is None:
            self._keys[at] = [key]
            heapq.heappush(self._moments, at)
        else:
            keys.append(key)
        self._number += 1

    def next(self) -> float:
        """The earliest moment; infinity if nobody waits."""
        return self._moments[0] if self._moments else _NEVER

    def take(self) -> list[Key]:
        """Remove those of the earliest moment."""
        keys = self._keys.pop(heapq.heappop(self._moments))
        if len(keys) > 1:
            keys.sort()
        self._number -= len(keys)
        return keys
