"""Which year, which zone: the moment of a record."""

import random
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from pfwatch.records.time import TimeReader, stamp

BERLIN = ZoneInfo("Europe/Berlin")


def reader(reference: str, zone: timezone | ZoneInfo = UTC, year: int | None = None) -> TimeReader:
    times = TimeReader(zone, year)
    times.expect(datetime.fromisoformat(reference).timestamp())
    return times


def read(times: TimeReader, text: bytes) -> str | None:
    moment = times.read(text)
    return moment.stamp if moment else None


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        (b"Dec 31 23:59:59", "2027-01-01T00:00:01+00:00", "2026-12-31T23:59:59+00:00"),
        (b"Jan  1 00:00:01", "2027-01-01T00:00:01+00:00", "2027-01-01T00:00:01+00:00"),
        (b"Jan  1 00:00:01", "2026-12-31T23:59:59+00:00", "2027-01-01T00:00:01+00:00"),
        (b"Jan  2 00:00:01", "2026-12-31T23:59:59+00:00", "2026-01-02T00:00:01+00:00"),
        (b"Nov 22 10:00:00", "2026-11-22T09:00:00+00:00", "2026-11-22T10:00:00+00:00"),
        (b"Nov 24 10:00:00", "2026-11-22T09:00:00+00:00", "2025-11-24T10:00:00+00:00"),
        (b"Feb 29 10:00:00", "2026-11-22T09:00:00+00:00", "2024-02-29T10:00:00+00:00"),
        (b"Feb 29 10:00:00", "2028-02-28T20:00:00+00:00", "2028-02-29T10:00:00+00:00"),
        (b"Feb 29 10:00:00", "2028-02-27T20:00:00+00:00", "2024-02-29T10:00:00+00:00"),
    ],
)
def test_the_year_is_the_newest_that_is_not_later_than_a_day_after_the_reference(
    text: bytes, reference: str, expected: str
) -> None:
    assert read(reader(reference), text) == expected


def test_new_year_in_one_log_goes_on_forward() -> None:
    times = reader("2027-01-01T12:00:00+00:00")
    moments = [times.read(text) for text in (b"Dec 31 23:59:58", b"Dec 31 23:59:59", b"Jan  1 00:00:00")]
    seconds = [moment.at for moment in moments if moment]
    assert [later - earlier for earlier, later in pairwise(seconds)] == [1, 1]


def test_a_later_reference_changes_the_year_of_the_same_text() -> None:
    times = reader("2026-11-22T09:00:00+00:00")
    assert read(times, b"Nov 24 10:00:00") == "2025-11-24T10:00:00+00:00"
    times.expect(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp())
    assert read(times, b"Nov 24 10:00:00") == "2026-11-24T10:00:00+00:00"


def test_a_year_that_is_set_is_taken_for_texts_without_one_only() -> None:
    times = reader("2026-11-22T09:00:00+00:00", year=2019)
    assert read(times, b"Nov 22 10:00:00") == "2019-11-22T10:00:00+00:00"
    assert read(times, b"2026-11-22T10:00:00Z") == "2026-11-22T10:00:00+00:00"
    assert read(times, b"Feb 29 10:00:00") is None


def test_a_zone_that_is_set_is_taken_for_texts_without_one_only() -> None:
    times = reader("2026-11-22T09:00:00+00:00", BERLIN)
    assert read(times, b"Jul  1 10:00:00") == "2026-07-01T10:00:00+02:00"
    assert read(times, b"Nov 22 10:00:00") == "2026-11-22T10:00:00+01:00"
    assert read(times, b"2026-11-22T10:00:00") == "2026-11-22T10:00:00+01:00"
    assert read(times, b"2026-11-22T10:00:00-05:00") == "2026-11-22T10:00:00-05:00"


@pytest.mark.parametrize(
    "text",
    [b"Feb 30 10:00:00", b"Nov 31 10:00:00", b"Xyz 10 10:00:00", b"Nov  0 10:00:00", b"Nov 22 29:00:00",
     b"2026-13-01T10:00:00Z", b"2026-02-29T10:00:00Z", b"2026-11-22T24:30:00Z", b"2026-11-22T10:00:00+99:00", b""],
)  # fmt: skip
def test_a_moment_that_does_not_exist_is_none(text: bytes) -> None:
    assert reader("2026-11-22T09:00:00+00:00").read(text) is None


@pytest.mark.parametrize("text", [b"Dec 31 23:59:60", b"2026-12-31T23:59:60Z", b"2026-12-31T23:59:60.5+00:00"])
def test_a_leap_second_is_read(text: bytes) -> None:
    found = read(reader("2027-01-01T12:00:00+00:00"), text)
    assert found is not None
    assert found.startswith("2026-12-31T23:59:59")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Nov 22 09:53:31.5", "2026-11-22T09:53:31.500000+00:00"),
        (b"Nov 22 09:53:31.123456789", "2026-11-22T09:53:31.123456+00:00"),
        (b"2026-11-22T09:53:31,25Z", "2026-11-22T09:53:31.250000+00:00"),
        (b"2026-11-22T09:53:31.123456789+00:00", "2026-11-22T09:53:31.123456+00:00"),
        (b"1795341211.250000", "2026-11-22T09:53:31.250000+00:00"),
    ],
)
def test_fractions_of_a_second_are_kept(text: bytes, expected: str) -> None:
    assert read(reader("2026-11-22T12:00:00+00:00"), text) == expected


def test_more_different_texts_than_are_remembered_are_read_rightly() -> None:
    times = reader("2026-11-22T23:00:00+00:00")
    begin = datetime(2026, 11, 22, tzinfo=UTC)
    for second in range(10_000):
        when = begin + timedelta(seconds=second)
        moment = times.read(when.strftime("%b %d %H:%M:%S").encode())
        assert moment is not None
        assert moment.at == when.timestamp()


def test_a_stamp_is_rfc_3339_to_the_second_in_the_zone_asked_for() -> None:
    assert stamp(1_795_341_211.9) == "2026-11-22T09:53:31+00:00"
    assert stamp(1_795_341_211.9, BERLIN) == "2026-11-22T10:53:31+01:00"


def test_a_busy_minute_of_rfc_3339_is_read_as_each_of_its_moments() -> None:
    dice, times = random.Random(8), reader("2026-11-22T12:00:00+00:00", BERLIN)
    for _ in range(3_000):
        second, fraction = dice.randrange(60), dice.choice((dice.randrange(1_000_000), 0, 1, 999_999))
        zone = dice.choice(("+00:00", "-00:00", "+01:00", "-03:30", "+14:00"))
        text = f"2026-11-22T{dice.randrange(3):02}:{dice.randrange(4):02}:{second:02}.{fraction:06}{zone}"
        moment, when = times.read(text.encode()), datetime.fromisoformat(text)
        assert moment == (when.timestamp(), when.isoformat())


@pytest.mark.parametrize(
    "text",
    [b"2026-02-30T10:00:00.123456+01:00", b"2026-11-22T10:00:00.123456+25:00", b"2026-11-22T10:61:00.123456+01:00"],
)
def test_a_minute_of_rfc_3339_that_does_not_exist_is_none(text: bytes) -> None:
    assert reader("2026-11-22T12:00:00+00:00").read(text) is None


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"])
@pytest.mark.parametrize("second", [False, True], ids=["first hour", "second hour"])
def test_a_minute_begins_with_its_first_second_wherever_clocks_change(zone: str, second: bool) -> None:
    """Minutes are told out of their hour; Lord Howe's clocks change by half an hour."""
    reference, hours, told = "2026-04-05T12:30:00+00:00", set(), 0
    times, one_by_one = reader(reference, ZoneInfo(zone)), reader(reference, ZoneInfo(zone))
    times.set_fold(second=second)
    one_by_one.set_fold(second=second)
    # A year's end, the ends of summer in both hemispheres, their beginnings, and the last day of the reference.
    for day in ("2025-12-31", "2026-03-29", "2025-10-26", "2026-04-05", "2025-10-05", "2026-04-06"):
        for number in range(1440):
            local = datetime.fromisoformat(day) + timedelta(minutes=number)
            text = f"{local:%b} {local.day:2} {local:%H:%M:%S}".encode()
            minute, moment = times.minute(text), one_by_one.read(text)
            assert moment is not None
            assert minute in {None, moment.at}, text
            if minute is not None:
                told += 1
                hours.add(text[:9])
    assert told > 6 * 1440 - 3 * 60
    assert len(hours) > 6 * 24 - 3


def test_minutes_with_an_offset_are_told_and_others_are_not() -> None:
    times = reader("2026-11-22T09:00:00+00:00", BERLIN)
    for number in range(60):
        begin = datetime(2026, 10, 25, 2, number, tzinfo=timezone(timedelta(hours=2))).timestamp()
        assert times.minute(b"2026-10-25T02:%02d:00+02:00" % number) == begin
        assert times.minute(b"2026-10-25T02:%02d:00+01:00" % number) == begin + 3600
        assert times.minute(b"2026-10-25T02:%02d:00" % number) is None
    assert times.minute(b"2026-10-25T02:xx:00+02:00") is None
    assert times.minute(b"2026-10-25T02:60:00+02:00") is None
