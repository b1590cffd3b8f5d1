"""Which notifications are made, when, and which are not: grouped, within a budget, once."""

import random
from typing import Any

import msgspec
import pytest

from pfwatch.alerting.notification import Notification
from pfwatch.alerting.planner import Planner
from pfwatch.alerting.settings import AlertSettings, Silence
from pfwatch.detection.detector import Detector
from pfwatch.detection.settings import SHIPPED, DetectionSettings, RuleSettings
from pfwatch.events import AuthFailed, Client, Envelope, Event, RelayDenied, TlsFailed, Untrusted

BEGIN = 1_795_341_180.0
DAY = 86_400
NOTHING = Untrusted("")


def envelope(at: float, weight: int) -> Envelope:
    return Envelope(BEGIN + at, "", "mx1", "postfix", "smtpd", 1, "warning", weight, False, "r", record=(b"x",) * 5)


def guess(at: float, ip: str = "192.0.2.7", weight: int = 10) -> Event:
    return AuthFailed(envelope(at, weight), Client(ip, None, None), Untrusted("LOGIN"), "credentials", NOTHING, None)


def relay(at: float, ip: str = "192.0.2.8", weight: int = 3) -> Event:
    client = Client(ip, None, None)
    return RelayDenied(envelope(at, weight), client, None, "RCPT", 554, None, False, None, None, None, None, None)


def tls(at: float, ip: str = "192.0.2.9", weight: int = 5) -> Event:
    return TlsFailed(envelope(at, weight), Client(ip, None, None), "inbound", None, ip, "other", NOTHING, None, None)


class Story:
    """Detector and planner, with time passing from deadline to deadline."""

    def __init__(self, rules: dict[str, RuleSettings] | None = None, clock: float | None = None, **alerts: Any) -> None:
        self.settings = (DetectionSettings(rules=SHIPPED | (rules or {})), AlertSettings(**alerts))
        self.clock = None if clock is None else BEGIN + clock
        self.detector = Detector(self.settings[0], keep=True)
        self.planner = Planner(self.settings[1], self.detector)
        self.told: list[Notification] = []

    def until(self, at: float) -> None:
        while (due := min(self.detector.next_deadline(), self.planner.next_deadline())) <= BEGIN + at:
            self.told += self.planner.feed(self.detector.tick(due), self.clock)
            self.told += self.planner.tick(due, self.clock)

    def see(self, *events: Event) -> "Story":
        for event in events:
            self.until(event.envelope.at - BEGIN)
            self.told += self.planner.feed(self.detector.feed(event), self.clock)
        return self

    def restart(self) -> None:
        saved = {part: {k: v for k, v in rows.items() if v is not None} for part, rows in self.detector.drain().items()}
        plan = {key: value for key, value in self.planner.drain().items() if value is not None}
        self.detector = Detector(self.settings[0], keep=True)
        self.detector.restore(saved)
        self.planner = Planner(self.settings[1], self.detector)
        self.planner.restore(plan)

    def reasons(self) -> list[tuple[str, float, int]]:
        """Reason, seconds since the beginning, and how many incidents it tells of."""
        return [(told.reason, told.at - BEGIN, len(told.incidents)) for told in self.told]


def test_an_incident_is_told_thirty_seconds_after_it_opened() -> None:
    story = Story().see(guess(0))
    story.until(29)
    assert story.told == []
    story.until(31)
    assert story.reasons() == [("first", 30, 1)]
    assert story.told[0].thread == story.told[0].id
    assert story.told[0].subject_line == "[pfwatch mx1] 10 failed logins from 192.0.2.7"


def test_what_opens_within_thirty_seconds_is_told_in_one_mail_the_worst_first() -> None:
    story = Story().see(relay(0), guess(10), guess(29, "192.0.2.10", 40), guess(31, "192.0.2.11"))
    story.until(100)
    assert story.reasons() == [("first", 30, 3), ("first", 61, 1)]
    assert [incident.count for incident in story.told[0].incidents] == [40, 10, 3]
    assert story.told[0].subject_line.endswith(", and 2 more")


def test_the_mail_says_how_it_stands_when_it_is_made_not_when_it_opened() -> None:
    story = Story().see(guess(0), guess(20, weight=7))
    story.until(60)
    assert story.told[0].incidents[0].count == 17


def test_small_incidents_wait_for_the_digest_of_the_day() -> None:
    story = Story().see(tls(0), tls(20_000, "192.0.2.10"))
    story.until(DAY - 1)
    assert story.told == []
    story.until(DAY)
    assert story.reasons() == [("digest", DAY, 2)]
    assert [incident.ended is not None for incident in story.told[0].incidents] == [True, True]


def test_after_a_digest_the_next_one_collects_anew() -> None:
    story = Story().see(tls(0), tls(DAY + 500, "192.0.2.10"))
    story.until(3 * DAY)
    assert story.reasons() == [("digest", DAY, 1), ("digest", 2 * DAY + 500, 1)]
    assert len({told.id for told in story.told}) == 2


def test_ten_times_as_large_is_told_at_once_in_the_same_thread() -> None:
    story = Story().see(guess(0), *(guess(60 + at / 10, weight=1) for at in range(89)))
    assert story.reasons() == [("first", 30, 1)]
    story.see(guess(100, weight=1))
    assert story.reasons()[1:] == [("grew", 100, 1)]
    assert story.told[1].incidents[0].count == 100
    assert story.told[1].thread == story.told[0].id
    story.see(guess(110, weight=899))
    assert len(story.told) == 2
    story.see(guess(111, weight=1))
    assert [told.reason for told in story.told] == ["first", "grew", "grew"]
    assert len({told.id for told in story.told}) == 3


def test_what_still_goes_on_after_a_day_is_told_again() -> None:
    story = Story().see(*(guess(at * 300, weight=1 if at else 10) for at in range(3 * 288)))
    assert story.reasons() == [
        ("first", 30, 1),
        ("grew", 27_000, 1),
        ("repeat", 27_000 + DAY, 1),
        ("repeat", 27_000 + 2 * DAY, 1),
    ]
    assert {told.thread for told in story.told} == {story.told[0].id}


def test_an_end_is_told_only_where_it_is_wanted() -> None:
    quiet, wanted = Story().see(guess(0)), Story(send_resolved=True).see(guess(0))
    for story in (quiet, wanted):
        story.until(DAY)
    assert quiet.reasons() == [("first", 30, 1)]
    assert wanted.reasons() == [("first", 30, 1), ("resolved", 600, 1)]
    assert wanted.told[1].thread == wanted.told[0].id
    assert wanted.told[1].incidents[0].ended == BEGIN + 600


def test_the_same_subject_again_within_the_cooldown_is_not_told() -> None:
    story = Story().see(guess(0), guess(2000), guess(10_000))
    story.until(20_000)
    assert story.reasons() == [("first", 30, 1), ("first", 10_030, 1)]
    assert story.planner.suppressed == {"cooldown": 1}


def test_the_cooldown_is_one_subjects_and_one_rules() -> None:
    story = Story().see(guess(0), guess(2000, "192.0.2.10"), relay(2000, "192.0.2.7"))
    story.until(3000)
    assert story.reasons() == [("first", 30, 1), ("first", 2030, 2)]


def test_a_silence_is_kept_and_counted() -> None:
    story = Story(silences=(Silence(subject="192.0.2.0/24"),)).see(guess(0), guess(5, "198.51.100.1"))
    story.until(60)
    assert [incident.subject for incident in story.told[0].incidents] == ["198.51.100.1"]
    assert story.planner.suppressed == {"silenced": 1}


def test_a_silence_that_begins_while_an_incident_goes_on_keeps_its_end_and_counts_it() -> None:
    story = Story(send_resolved=True).see(guess(0))
    story.until(60)
    silences = (Silence(subject="192.0.2.0/24"),)
    story.settings = (story.settings[0], msgspec.structs.replace(story.settings[1], silences=silences))
    story.restart()
    story.until(2 * DAY)
    assert story.reasons() == [("first", 30, 1)]
    assert story.planner.suppressed == {"silenced": 1}


def test_a_simulated_rule_tells_nobody_and_is_counted() -> None:
    rules = {"auth-bruteforce": msgspec.structs.replace(SHIPPED["auth-bruteforce"], simulate=True)}
    story = Story(rules).see(guess(0))
    story.until(DAY)
    assert story.told == []
    assert story.planner.suppressed == {"simulated": 1}


@pytest.mark.parametrize(("clock", "told"), [(60, 1), (3600, 1), (3601, 0), (DAY, 0), (None, 1)])
def test_an_old_log_read_live_mails_nothing_but_a_replay_does(clock: float | None, told: int) -> None:
    story = Story(clock=clock).see(guess(0))
    story.until(100)
    assert len(story.told) == told
    assert story.planner.suppressed == ({} if told else {"too_old": 1})


def test_beyond_the_days_budget_one_mail_says_so_and_the_rest_is_counted() -> None:
    story = Story(daily_budget=3)
    story.see(*(guess(at * 100, f"192.0.2.{at}") for at in range(1, 21)))
    story.until(3000)
    assert [told.reason for told in story.told] == ["first"] * 3 + ["overflow"]
    assert story.told[3].incidents == []
    assert "budget of 3" in story.told[3].subject_line
    assert story.planner.suppressed == {"budget": 17}


def test_the_next_day_utc_has_a_budget_of_its_own() -> None:
    story = Story(daily_budget=1)
    story.see(guess(0), guess(100, "192.0.2.2"), guess(DAY, "192.0.2.3"), guess(DAY + 100, "192.0.2.4"))
    story.until(DAY + 200)
    assert [told.reason for told in story.told] == ["first", "overflow", "first", "overflow"]
    assert len({told.id for told in story.told}) == 4


def test_hostile_text_makes_no_second_line_in_a_subject() -> None:
    story = Story().see(guess(0))
    story.until(60)
    assert story.told[0].subject_line.isprintable()
    assert len(story.told[0].subject_line) <= 200


def many_events(seed: int) -> list[Event]:
    dice = random.Random(seed)
    events: list[Event] = []
    at = 0.0
    for _ in range(400):
        at += dice.choice((0.1, 1, 10, 60, 700))
        make = dice.choice((guess, relay, tls))
        events.append(make(round(at, 1), f"192.0.2.{dice.randrange(6)}", dice.choice((1, 3, 10, 50))))
    return events


@pytest.mark.parametrize("seed", range(5))
def test_the_same_story_whether_time_is_looked_at_every_second_or_never(seed: int) -> None:
    events = many_events(seed)
    never, often = Story(send_resolved=True), Story(send_resolved=True)
    never.see(*events)
    second = 0
    for event in events:
        while second < event.envelope.at - BEGIN:
            often.until(second)
            second += 1
        often.see(event)
    assert len(never.told) > 10
    assert often.told == never.told
    assert often.planner.suppressed == never.planner.suppressed


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_at_any_event_tells_nothing_twice_and_loses_nothing(seed: int) -> None:
    events = many_events(seed)
    whole = Story(send_resolved=True, daily_budget=20).see(*events)
    whole.until(10 * DAY)
    for place in range(0, len(events), 25):
        story = Story(send_resolved=True, daily_budget=20).see(*events[:place])
        story.restart()
        story.see(*events[place:])
        story.until(10 * DAY)
        assert story.told == whole.told, f"restarted before event {place}"


def test_an_incident_that_was_dropped_for_want_of_room_is_told_no_more() -> None:
    story = Story(group_wait=0, repeat_interval=100, daily_budget=10_000)
    story.detector = Detector(msgspec.structs.replace(story.settings[0], max_subjects=2), keep=True)
    story.planner = Planner(story.settings[1], story.detector)
    story.see(*(guess(number, f"192.0.2.{number}") for number in range(1, 30)))
    assert len(story.told) == 28  # the last one is due
    story.told.clear()
    story.until(250)
    assert {incident.subject for told in story.told for incident in told.incidents} == {"192.0.2.28", "192.0.2.29"}
    assert set(story.planner._plan.told) == {incident.id for incident in story.detector.open_incidents()}


def test_a_notification_is_about_a_thousand_incidents_at_most_and_says_how_many_were_left_out() -> None:
    story = Story(group_wait=60).see(*(guess(0, f"10.0.{number // 250}.{number % 250}") for number in range(1200)))
    story.until(100)
    (told,) = story.told
    assert len(told.incidents) == 1000
    assert story.planner.suppressed == {"crowded": 200}
    assert told.incidents[0].evidence
    assert told.incidents[99].evidence
    assert not told.incidents[500].evidence


def test_a_commit_takes_what_happened_since_the_last_one_and_not_all_that_was_ever_told() -> None:
    story = Story().see(*(guess(0, f"10.0.0.{number}") for number in range(200)))
    story.until(60)
    story.planner.drain()
    story.see(guess(100, "192.0.2.1"))
    kept = story.planner.drain()
    assert len(story.planner._plan.told) == 200
    assert sum(len(key) + len(value or b"") for key, value in kept.items()) < 1000


@pytest.mark.parametrize("restart", [False, True])
def test_what_an_earlier_version_kept_in_one_row_goes_on(restart: bool) -> None:
    story = Story(send_resolved=True).see(guess(0), tls(1))
    story.until(60)
    story.see(guess(100, "192.0.2.10"))
    plan = story.planner._plan
    assert plan.told
    assert plan.group
    assert plan.digest
    story.planner = Planner(story.settings[1], story.detector)
    story.planner.restore({b"plan": msgspec.msgpack.encode(plan)})
    story.see(guess(101, "192.0.2.11"))
    if restart:
        story.restart()
    story.until(5000)
    assert story.reasons() == [("first", 30, 1), ("first", 130, 2), ("resolved", 600, 1), ("resolved", 700, 1),
                               ("resolved", 701, 1)]  # fmt: skip
    story.until(DAY + 1)
    assert story.reasons()[-1] == ("digest", DAY + 1, 1)
