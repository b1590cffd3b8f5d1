"""Whatever happens to the clocks, each line is an event once, at the moment at which it happened."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest

from pfwatch.detection.change import Change
from pfwatch.parsing.hits import Hit
from pfwatch.pipeline import Outcome, Pipeline, Settings
from pfwatch.records.folds import stretches_of

BERLIN, LORD_HOWE, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/New_York")
AUTUMN = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
"""In Berlin 03:00 becomes 02:00."""
SPRING = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
"""In Berlin 02:00 becomes 03:00."""
NEW_YEAR = datetime(2026, 12, 31, 23, 0, tzinfo=UTC)
"""In Berlin."""
BODY = "mx1 postfix/smtpd[9]: warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"

Stamp = Callable[[datetime], str]


def bsd(zone: tzinfo) -> Stamp:
    return lambda moment: moment.astimezone(zone).strftime("%b %e %H:%M:%S")


def zero_padded(zone: tzinfo) -> Stamp:  # as postlogd writes it
    return lambda moment: moment.astimezone(zone).strftime("%b %d %H:%M:%S")


def wire(zone: tzinfo) -> Stamp:
    return lambda moment: "<22>" + bsd(zone)(moment)


def rfc3339(zone: tzinfo) -> Stamp:
    return lambda moment: moment.astimezone(zone).isoformat()


def full(zone: tzinfo) -> Stamp:  # journalctl -o short-full
    return lambda moment: moment.astimezone(zone).strftime("%a %Y-%m-%d %H:%M:%S %Z")


class Story:
    """One failed login every so often around a moment."""

    def __init__(self, around: datetime, stamp: Stamp, *, minutes: range = range(-100, 100, 4)) -> None:
        self.moments = [around + timedelta(minutes=minute, seconds=7) for minute in minutes]
        self.lines = [f"{stamp(moment)} {BODY}\n".encode() for moment in self.moments]

    @property
    def times(self) -> list[float]:
        return [moment.timestamp() for moment in self.moments]


def times_of(outcome: Outcome) -> Iterator[float]:
    for one in outcome.events:
        yield one.at if isinstance(one, Hit) else one.envelope.at


class Reading:
    """A pipeline that is given lines, and what came of it."""

    def __init__(self, zone: tzinfo | None = BERLIN) -> None:
        self.zone = zone
        self.pipeline = Pipeline(Settings(zone=zone), keep=True)
        self.kept: dict[str, dict[bytes, bytes]] = {}
        self.times: list[float] = []
        self.changes: list[Change] = []

    def feed(self, block: bytes, reference: float, *, live: bool = False) -> None:
        outcome = self.pipeline.feed(block, "mail.log", reference, reference if live else None)
        assert outcome.tally is not None
        assert outcome.tally.malformed == 0
        self.times += times_of(outcome)
        self.changes += outcome.changes

    def restart(self) -> None:
        for part, rows in self.pipeline.drain().items():
            known = self.kept.setdefault(part, {})
            for key, value in rows.items():
                if value is None:
                    known.pop(key, None)
                else:
                    known[key] = value
        self.pipeline = Pipeline(Settings(zone=self.zone), keep=True)
        self.pipeline.restore(self.kept)


BERLINS = [bsd(BERLIN), zero_padded(BERLIN), wire(BERLIN), rfc3339(BERLIN), full(BERLIN)]
NIGHTS = [(AUTUMN, stamp) for stamp in BERLINS] + [(SPRING, stamp) for stamp in BERLINS] + [(NEW_YEAR, bsd(BERLIN))]


@pytest.mark.parametrize(("around", "stamp"), NIGHTS)
@pytest.mark.parametrize("later", [timedelta(hours=2), timedelta(days=6)])
def test_a_finished_log_in_one_block(around: datetime, stamp: Stamp, later: timedelta) -> None:
    story, reading = Story(around, stamp), Reading()
    reading.feed(b"".join(story.lines), (around + later).timestamp())
    assert reading.times == story.times


@pytest.mark.parametrize(("around", "stamp"), NIGHTS)
def test_a_finished_log_cut_anywhere_and_restarted_at_each_cut(around: datetime, stamp: Stamp) -> None:
    for seed in range(10):
        rest, story, reading = random.Random(seed), Story(around, stamp), Reading()
        lines = story.lines.copy()
        while lines:
            count = rest.randrange(1, 9)
            reading.feed(b"".join(lines[:count]), (around + timedelta(hours=9)).timestamp())
            del lines[:count]
            reading.restart()
        assert reading.times == story.times


@pytest.mark.parametrize(("around", "stamp"), NIGHTS)
def test_a_log_read_line_by_line_as_it_is_written(around: datetime, stamp: Stamp) -> None:
    story, reading = Story(around, stamp), Reading()
    for at, line in zip(story.times, story.lines, strict=True):
        reading.feed(line, at + 0.2, live=True)
    assert reading.times == story.times


def test_a_log_read_live_that_was_silent_in_the_first_of_two_hours() -> None:
    story, reading = Story(AUTUMN, bsd(BERLIN), minutes=range(5, 60, 9)), Reading()
    for at, line in zip(story.times, story.lines, strict=True):
        reading.feed(line, at + 0.2, live=True)
    assert reading.times == story.times


def test_lines_that_stand_a_little_behind_later_ones_do_not_turn_the_clock() -> None:
    story, reading = Story(AUTUMN, bsd(BERLIN), minutes=range(-50, 0)), Reading()
    for first in range(0, 50, 2):  # each pair the other way round
        story.lines[first : first + 2] = reversed(story.lines[first : first + 2])
    reading.feed(b"".join(story.lines), AUTUMN.timestamp() + 9 * 3600)
    assert sorted(reading.times) == story.times


def test_zones_with_other_stretches_are_known_too() -> None:
    assert [(one.date, one.begin, one.end, one.length) for one in stretches_of(BERLIN, 2026)] == [
        (b"Oct 25", b"02:00:00", b"03:00:00", 3600)
    ]
    assert [(one.date, one.begin, one.end, one.length) for one in stretches_of(LORD_HOWE, 2026)] == [
        (b"Apr  5", b"01:30:00", b"02:00:00", 1800)
    ]
    assert stretches_of(UTC, 2026) == ()
    around = datetime(2026, 4, 4, 15, 0, tzinfo=UTC)
    story, reading = Story(around, bsd(LORD_HOWE)), Reading(LORD_HOWE)
    reading.feed(b"".join(story.lines), around.timestamp() + 9 * 3600)
    assert reading.times == story.times


def test_a_log_of_another_zone_is_read_in_that_zone() -> None:
    offset = timezone(timedelta(hours=-3, minutes=-30))
    for stamp, zone in ((rfc3339(offset), BERLIN), (rfc3339(NEW_YORK), None), (bsd(NEW_YORK), NEW_YORK)):
        story, reading = Story(AUTUMN, stamp), Reading(zone)
        reading.feed(b"".join(story.lines), AUTUMN.timestamp() + 9 * 3600)
        assert reading.times == story.times


def test_a_new_year_in_files_that_were_rotated_long_ago() -> None:
    story, reading = Story(NEW_YEAR, bsd(BERLIN)), Reading()
    middle = len(story.lines) // 2
    reading.feed(b"".join(story.lines[:middle]), story.times[middle - 1] + 60)  # the file's modification time
    reading.feed(b"".join(story.lines[middle:]), story.times[-1] + 30 * 86_400)
    assert reading.times == story.times


@pytest.mark.parametrize("stamp", [bsd(BERLIN), rfc3339(BERLIN)])
def test_a_clock_set_back_an_hour_while_running_loses_and_doubles_nothing(stamp: Stamp) -> None:
    """The moments are those that the log says; attacks before and after the change are told, one that had begun
    before with few attempts, too.
    """
    before = datetime(2026, 11, 19, 12, 0, tzinfo=UTC)
    reading, expected = Reading(), []
    after = before - timedelta(minutes=58)
    for client, begin, attempts in (
        ("192.0.2.7", before, 12),
        ("192.0.2.9", before, 5),
        ("192.0.2.8", after, 12),
        ("192.0.2.9", after, 10),
    ):
        for second in range(0, attempts * 10, 10):
            moment = begin + timedelta(seconds=second)
            line = f"{stamp(moment)} {BODY}\n".replace("192.0.2.7", client).encode()
            reading.feed(line, moment.timestamp(), live=True)
            expected.append(moment.timestamp())
    assert reading.times == expected
    opened = [change.incident for change in reading.changes if change.what == "opened"]
    assert [(one.subject, one.rule) for one in opened] == [
        ("192.0.2.7", "auth-bruteforce"),
        ("192.0.2.8", "auth-bruteforce"),
        ("192.0.2.9", "auth-bruteforce"),
    ]
    reading.pipeline.drain()
    failures = reading.pipeline.counters.shown().counters["postfix_sasl_failures_total"]
    assert sum(failures.values()) == len(expected)
