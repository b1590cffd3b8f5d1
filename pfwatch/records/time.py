"""The time of a record.

Enters: the header's time text and the newest moment that a record can have. Leaves: seconds since the epoch and the
same moment as RFC 3339 text. This file must never read a clock.

A BSD time stamp has neither year nor zone: the year is the newest in which the record is not later than the reference
plus a day (the clocks of two hosts differ, a file's modification time may be an hour old), the zone is the machine's
unless it is set.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

_MONTHS = {name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_SECONDS = {b"%02d" % number: (number, f"{number:02}") for number in range(60)}
_CACHED = 4096
_MINUTES = {b"%02d" % number: 60 * number for number in range(60)}
_EXACT = 9e9
"""Seconds up to which their microseconds are exact as a float: the year 2255."""
_LAST = 253_402_300_799
"""The end of the year 9999: later there are no dates."""
_ZONE = re.compile(rb"(?:Z|[+-][0-9]{2}:?[0-9]{2})\Z")


class Moment(NamedTuple):
    """A point in time, twice."""

    at: float
    stamp: str


_UNKNOWN = Moment(0.0, "")


class TimeReader:
    """Reads time texts; remembers those of the last few thousand seconds."""

    def __init__(self, zone: tzinfo | None = None, year: int | None = None) -> None:
        """Take `zone` for texts without one (None: the machine's) and `year` for texts without a year."""
        self._zone = zone
        self._year = year
        self._newest = 0.0
        self._newest_year = 1970
        """No moment up to the newest is in a later one, whatever the zone."""
        self._fold = 0
        """1 in the second of two hours with the same local time."""
        self._known: dict[bytes, Moment | None] = {}
        self._minutes: dict[bytes, tuple[float, str, str]] = {}
        """Minute, as it stands around the seconds -> its beginning, and the RFC 3339 text around them."""
        self._hours: dict[bytes, float | None] = {}
        """Hour, as it stands around its minutes -> its beginning, as `_hour` tells it."""

    def expect(self, reference: float) -> None:
        """Say the newest moment that the following records can have, in seconds since the epoch: clocks may differ by a
        day. To the minute, for a log that is read live says another one with each block.
        """
        newest = (reference // 60 + 1) * 60 + 86_400
        if newest != self._newest:
            self._newest = newest
            self._newest_year = datetime.fromtimestamp(min(max(0, self._newest + 86_400), _LAST), UTC).year
            self._forget()

    def set_fold(self, *, second: bool) -> None:
        """Say in which pass of a local time that comes twice the following records are."""
        if self._fold != int(second):
            self._fold = int(second)
            self._forget()

    def read(self, text: bytes) -> Moment | None:
        """The moment of a time text of any form, or None where the calendar has no such day."""
        moment = self._known.get(text, _UNKNOWN)
        if moment is _UNKNOWN:  # as often as not in a quiet log, where an exception would cost as much as the rest
            if len(self._known) >= _CACHED:
                self._known.clear()
            moment = self._known[text] = self._parse(text)
        return moment

    def minute(self, text: bytes) -> float | None:
        """The beginning of a minute, out of the text of its first second, if every text of this minute (of this form,
        with this zone) is as many seconds behind it as it says, to the microsecond as a float; else None.
        """
        place = 10 if text[:1].isalpha() else 14
        before, number, behind = text[:place], text[place : place + 2], text[place + 2 :]
        begin = self._hour(before, behind)
        return begin + _MINUTES[number] if begin is not None and number in _MINUTES else self._minute(text)

    def _hour(self, before: bytes, behind: bytes) -> float | None:
        """The beginning of an hour, out of what stands around its minutes; None where it has not 60 of them."""
        hour = before + behind
        if hour not in self._hours:
            first, last = self._minute(before + b"00" + behind), self._minute(before + b"59" + behind)
            if len(self._hours) >= _CACHED:
                self._hours.clear()
            # What clocks are put forward or back by would lie between them.
            self._hours[hour] = first if first is not None and last == first + 3540 else None
        return self._hours[hour]

    def _minute(self, text: bytes) -> float | None:
        moment = self.read(text)
        if moment is None or moment.at % 60 or abs(moment.at) > _EXACT:
            return None
        if text[:1].isalpha():
            return moment.at if self._year is not None or moment.at + 60 <= self._newest else None
        return moment.at if _ZONE.search(text, 19) else None  # local time may be anything

    def _forget(self) -> None:
        self._known.clear()
        self._minutes.clear()
        self._hours.clear()

    def _parse(self, text: bytes) -> Moment | None:
        try:
            if text[:1].isalpha():
                return self._within_minute(text) or self._bsd(text)
            if text[4:5] == b"-":
                if text[10:11] == b" ":
                    return self._full(text)
                return self._within_iso_minute(text) or self._iso(text)
            return self._moment(datetime.fromtimestamp(float(text), UTC))
        except (ValueError, OverflowError, KeyError):
            return None

    def _within_iso_minute(self, text: bytes) -> Moment | None:
        """A moment of a minute that is known, as rsyslog writes it: `2026-11-22T10:27:54.000137+01:00`."""
        seconds = _SECONDS.get(text[17:19])
        if seconds is None or len(text) != 32 or text[19:20] != b"." or text[26:27] not in b"+-":
            return None
        key = text[:17] + text[26:]
        minute = self._minutes.get(key)
        if minute is None:
            first = self._iso(text[:17] + b"00" + text[26:])
            if len(self._minutes) >= _CACHED:
                self._minutes.clear()
            minute = self._minutes[key] = (first.at, first.stamp[:17], first.stamp[19:])
        (begin, before, behind), microseconds = minute, int(text[20:26])
        fraction = f".{microseconds:06}" if microseconds else ""
        at = (int(begin + seconds[0]) * 1_000_000 + microseconds) / 1_000_000  # as datetime rounds
        return Moment(at, f"{before}{seconds[1]}{fraction}{behind}")

    def _iso(self, text: bytes) -> Moment:
        if text[17:19] == b"60":  # a leap second, as below
            text = text[:17] + b"59" + text[19:]
        return self._moment(datetime.fromisoformat(text.decode().replace(",", ".")))

    def _full(self, text: bytes) -> Moment:
        """Of `journalctl -o short-full`: its abbreviation is no zone, but tells which of two equal hours it is."""
        when, abbreviation = datetime.fromisoformat(text[:19].decode()), text[20:].decode()
        if abbreviation == "UTC":
            return self._moment(when.replace(tzinfo=UTC))
        first, second = (self._local(when.replace(fold=fold)) for fold in (0, 1))
        return self._moment(second if second.tzname() == abbreviation != first.tzname() else first)

    def _within_minute(self, text: bytes) -> Moment | None:
        """A second of a minute that is known: a busy log has records in each of them."""
        seconds = _SECONDS.get(text[13:])
        if seconds is None:
            return None
        minute = self._minutes.get(text[:12])
        if minute is None:
            first = self._bsd(text[:12] + b":00")
            if first.at + 60 > self._newest and self._year is None:
                return None  # the year may change within it
            if len(self._minutes) >= _CACHED:
                self._minutes.clear()
            minute = self._minutes[text[:12]] = (first.at, first.stamp[:17], first.stamp[19:])
        at, before, behind = minute
        return Moment(at + seconds[0], f"{before}{seconds[1]}{behind}")

    def _bsd(self, text: bytes) -> Moment:
        month, day = _MONTHS[text[:3]], int(text[4:6])
        hour, minute, second = int(text[7:9]), int(text[10:12]), int(text[13:15])
        microsecond = int(text[16:22].ljust(6, b"0")) if len(text) > 16 else 0
        leap = second == 60  # a leap second has no number of its own in POSIX time
        clock = (hour, minute, 59 if leap else second, microsecond)
        if self._year is not None:
            return self._moment(datetime(self._year, month, day, *clock))  # noqa: DTZ001 - the zone is set below
        newest = self._newest_year
        for year in range(newest, newest - 9, -1):  # eight years back at most: the 29th of February over 1900 or 2100
            try:
                moment = self._moment(datetime(year, month, day, *clock))  # noqa: DTZ001
            except ValueError:
                continue
            if moment.at <= self._newest:
                return moment
        raise ValueError(text)

    def _moment(self, when: datetime) -> Moment:
        if when.tzinfo is None:
            when = self._local(when.replace(fold=self._fold))
        return Moment(when.timestamp(), when.isoformat())

    def _local(self, when: datetime) -> datetime:
        return when.replace(tzinfo=self._zone) if self._zone else when.astimezone()


def stamp(at: float, zone: tzinfo | None = UTC) -> str:
    """A moment in RFC 3339, to the second."""
    minute, second = divmod(int(at), 60)
    before, behind = _around_seconds(minute, zone)
    return f"{before}{second:02}{behind}"


@lru_cache(maxsize=4096)
def _around_seconds(minute: int, zone: tzinfo | None) -> tuple[str, str]:
    """What stands before and behind the seconds of a minute since the epoch; zones change between minutes."""
    text = (datetime.fromtimestamp(0, UTC) + timedelta(minutes=minute)).astimezone(zone).isoformat()
    return text[:17], text[19:]
