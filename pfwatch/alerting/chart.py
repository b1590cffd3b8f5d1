"""A chart of events over time that every mail client can show.

Enters: starts of minutes with counts, oldest first, the gaps as zeros. Leaves: columns, and a line of characters.
This file must never know templates or time zones.
"""

import msgspec

_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING = "·"


class Column(msgspec.Struct, frozen=True):
    """One bar: `count` events from `start` on; `share` is its height, 0 to 100, at least 1 where anything happened."""

    start: float
    count: int
    share: int


class Chart(msgspec.Struct, frozen=True):
    """Bars of equal length in time."""

    columns: list[Column]
    minutes: int
    """What one column stands for."""

    @property
    def end(self) -> float:
        """When the last column is over."""
        return self.columns[-1].start + 60 * self.minutes

    @property
    def peak(self) -> int:
        """Events in the tallest column."""
        return max(column.count for column in self.columns)

    @property
    def legend(self) -> str:
        """How to read it."""
        each = "a minute" if self.minutes == 1 else f"{self.minutes} minutes"
        return f"each bar is {each}, the tallest is {self.peak:,}"

    @property
    def sparkline(self) -> str:
        """One character for each column."""
        return "".join(
            _BLOCKS[(column.share * (len(_BLOCKS) - 1) + 99) // 100] if column.count else _NOTHING
            for column in self.columns
        )


def chart(minutes: list[tuple[float, int]], most_columns: int) -> Chart | None:
    """Neighbouring minutes are added up until `most_columns` are enough. None when one column would be all."""
    if len(minutes) < 2:
        return None
    each = -(-len(minutes) // most_columns)
    groups = [minutes[at : at + each] for at in range(0, len(minutes), each)]
    counts = [sum(count for _, count in group) for group in groups]
    peak = max(counts)
    if peak <= 0 or len(groups) < 2:
        return None
    columns = [
        Column(group[0][0], count, max(1, round(100 * count / peak)) if count else 0)
        for group, count in zip(groups, counts, strict=True)
    ]
    return Chart(columns, each)
