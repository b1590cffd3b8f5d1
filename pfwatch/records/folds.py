"""The hour that comes twice when daylight saving ends, told apart by the order of the lines.

Enters: blocks of whole lines of one source, in their order. Leaves: the same lines, cut where the clock was set back,
while the `TimeReader` of the source is told which of the two hours it is. This file must never know what a line means.

A BSD time stamp has no zone: `Oct 25 02:30:00` was twice that night in Europe/Berlin. Where the stamps jump back within
the hour, the second one begins. A log that is read live and silent in the first hour has no such jump; there the stamp
is of the hour that it is now.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from pfwatch.records.time import TimeReader

_DATE: Final = re.compile(rb"(?:<[0-9]{1,3}>)?([A-Z][a-z][a-z] [ 0-3][0-9]) ")
_MINUTE: Final = timedelta(minutes=1)
_NEAR: Final = 300.0
"""Seconds that a line read live is at most old, if it is not from an hour before."""
_DISORDER: Final = 120
"""Seconds by which a line may stand behind a later one without the clock having been set back."""


class _Twice(NamedTuple):
    """A stretch of local time that comes twice."""

    date: bytes
    """As a BSD stamp begins; `Oct  5` may be `Oct 05` as well."""
    begin: bytes
    end: bytes
    """Times of the day, `HH:MM:SS`; the end is the first that does not come twice."""
    first: float
    """Seconds since the epoch at which the first pass begins."""
    length: float
    """Seconds of one pass."""


class Folds:
    """Which pass it is, for one source."""

    def __init__(self, times: TimeReader, zone: tzinfo | None) -> None:
        self._times = times
        self._zone = zone
        self._pass: tuple[float, bool, bytes] | None = None
        """Beginning of the stretch that the latest line is in, whether it is the second pass, and its time."""
        self._looked = b"", b"", 0
        self._here: tuple[_Twice, ...] = ()
        """Those that lines of these dates may be in."""

    def pieces(self, block: bytes, reference: float, *, live: bool) -> Iterator[bytes]:
        """The block, with the time reader set for each piece. `reference`: as for the time reader; live, it is now."""
        self._times.expect(reference)
        stretches = self._stretches(block, reference)
        if not stretches:
            self.leave(reference)
            yield block
            return
        begin = 0
        for twice in stretches:
            for at, second in self._changes(block, twice, reference if live else None):
                if at > begin:
                    yield block[begin:at]
                    begin = at
                self._times.set_fold(second=second)
        yield block[begin:]

    def any_in(self, block: bytes, reference: float) -> bool:
        """Whether lines of a block may be in such an hour."""
        self._times.expect(reference)
        return bool(self._stretches(block, reference))

    def leave(self, reference: float) -> None:
        """Lines were read in which there is no such hour."""
        self._times.expect(reference)
        self._pass = None
        self._times.set_fold(second=False)

    def state(self) -> bytes | None:
        """What a restart must know; None outside of such an hour."""
        return msgspec.msgpack.encode(self._pass) if self._pass else None

    def restore(self, saved: bytes) -> None:
        """Go on behind the lines that `state` speaks of."""
        self._pass = msgspec.msgpack.decode(saved, type=tuple[float, bool, bytes])
        self._times.set_fold(second=self._pass[1])

    def _stretches(self, block: bytes, reference: float) -> tuple[_Twice, ...]:
        """Two looks at a block and a comparison, on all but two nights a year."""
        first = _DATE.match(block)
        last = _DATE.match(block, block.rfind(b"\n", 0, -1) + 1)
        looked = first[1] if first else b"", last[1] if last else b"", int(reference) // 86_400
        if looked != self._looked:
            self._looked = looked
            self._here = self._find(looked[0] or looked[1], looked[1] or looked[0])
        return self._here

    def _find(self, first: bytes, last: bytes) -> tuple[_Twice, ...]:
        if not first:
            return ()
        begin, end = self._times.read(first + b" 00:00:00"), self._times.read(last + b" 23:59:59")
        if begin is None or end is None:
            return ()
        years = range(int(begin.stamp[:4]), int(end.stamp[:4]) + 1)
        found = [twice for year in years for twice in stretches_of(self._zone, year)]
        return tuple(one for one in found if begin.at <= one.first <= end.at)

    def _changes(self, block: bytes, twice: _Twice, now: float | None) -> Iterator[tuple[int, bool]]:
        """Offsets from which on it is this pass: that of the block's first line in the stretch, and of a change."""
        stamps = [
            (found.start(), found[1])  # of the line: the search begins one byte before the block
            for found in _stamps(twice.date).finditer(b"\n" + block)
            if twice.begin <= found[1] < twice.end
        ]
        if not stamps:
            return
        known = self._pass if self._pass and self._pass[0] == twice.first else None
        second, latest = (known[1], known[2]) if known else (False, b"")
        change = None if second else _jump_back(stamps, latest)
        if not second and change is None and now is not None:
            change = next((at for at, time in stamps if _is_now(time, twice, now)), None)
        self._pass = twice.first, second or change is not None, max(time for _, time in stamps)
        if change != stamps[0][0]:
            yield stamps[0][0], second
        if change is not None:
            yield change, True


def _jump_back(stamps: list[tuple[int, bytes]], latest: bytes) -> int | None:
    """The offset of the first line after the clock was set back."""
    reached = _seconds(latest) if latest else 0
    for at, time in stamps:
        seconds = _seconds(time)
        if reached - seconds > _DISORDER:
            return at
        reached = max(reached, seconds)
    return None


def _is_now(time: bytes, twice: _Twice, now: float) -> bool:
    """Whether a line that is read live, in a log that was silent in the first pass, is of the second."""
    return -60 <= now - (twice.first + twice.length + _seconds(time) - _seconds(twice.begin)) <= _NEAR


def _seconds(time: bytes) -> int:
    return int(time[:2]) * 3600 + int(time[3:5]) * 60 + int(time[6:8])


@lru_cache(maxsize=16)
def _stamps(date: bytes) -> re.Pattern[bytes]:
    month, day = date[:3], date[4:].lstrip(b" 0")
    padded = b"[ 0]" + day if len(day) == 1 else day
    return re.compile(rb"\n(?:<[0-9]{1,3}>)?" + month + b" " + padded + rb" ([0-2][0-9]:[0-5][0-9]:[0-5][0-9])")


@lru_cache(maxsize=32)
def stretches_of(zone: tzinfo | None, year: int) -> tuple[_Twice, ...]:
    """The stretches of local time that come twice in a year; None: in the machine's zone."""
    found = []
    day = datetime(year, 1, 1)  # noqa: DTZ001 - local time is what this is about
    while day.year == year:
        following = day + timedelta(days=1)
        if _offset(day, zone) > _offset(following, zone):
            minutes = [moment for moment in (day + _MINUTE * number for number in range(1440)) if _twice(moment, zone)]
            if minutes:
                begin, end = minutes[0], minutes[-1] + _MINUTE
                first = (begin.replace(tzinfo=zone) if zone else begin.astimezone()).timestamp()
                found.append(_Twice(
                    begin.strftime("%b %e").encode(), begin.strftime("%H:%M:%S").encode(),
                    end.strftime("%H:%M:%S").encode() if end.date() == begin.date() else b"24:00:00",
                    first, (end - begin).total_seconds(),
                ))  # fmt: skip
        day = following
    return tuple(found)


def _twice(moment: datetime, zone: tzinfo | None) -> bool:
    return _offset(moment, zone) > _offset(moment.replace(fold=1), zone)


def _offset(moment: datetime, zone: tzinfo | None) -> timedelta:
    aware = moment.replace(tzinfo=zone) if zone else moment.astimezone()
    return aware.utcoffset() or timedelta()
