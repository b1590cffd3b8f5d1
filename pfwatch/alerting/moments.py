"""Moments, spans of time and numbers as people read them.

Enters: seconds, and the reader's time zone. Leaves: short texts. This file must never know what time it is now.
"""

from datetime import datetime, tzinfo


class WallTime:
    """Moments of the log as the reader's clock on the wall shows them."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone

    def moment(self, at: float) -> str:
        """To the second, with the zone."""
        return f"{self._local(at):%Y-%m-%d %H:%M:%S %Z}"

    def minute(self, at: float) -> str:
        """Hour and minute."""
        return f"{self._local(at):%H:%M}"

    def day(self, at: float) -> str:
        """The date."""
        return f"{self._local(at):%Y-%m-%d}"

    def period(self, first: float, last: float) -> str:
        """`2026-11-22 09:52 to 10:04`; the second day only where it is another one."""
        end = self.minute(last) if self.day(first) == self.day(last) else f"{self.day(last)} {self.minute(last)}"
        begin = f"{self.day(first)} {self.minute(first)}"
        return begin if begin.endswith(f" {end}") else f"{begin} to {end}"

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self.zone)


def duration(seconds: float) -> str:
    """`45 s`, `11 min`, `2 h 5 min`, `3 d 4 h`: the two largest units that matter."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def number(count: int) -> str:
    """With commas between thousands."""
    return f"{count:,}"
