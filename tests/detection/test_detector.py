"""Events in, incidents out: exactly at the threshold, within the window, for the right subject."""

from typing import Any

import msgspec
import pytest

from pfwatch.detection.change import Change
from pfwatch.detection.detector import Detector
from pfwatch.detection.incident import Incident
from pfwatch.detection.settings import SHIPPED, DetectionSettings
from pfwatch.events import (
    AuthFailed,
    AuthProbed,
    Client,
    DovecotAuthFailed,
    Envelope,
    Event,
    RelayDenied,
    TlsFailed,
    Untrusted,
)

BEGIN = 1_795_341_180.0
WINDOW = SHIPPED["auth-bruteforce"].window
THRESHOLD = SHIPPED["auth-bruteforce"].threshold


def envelope(at: float, weight: int = 1) -> Envelope:
    line = f"line of {at}".encode()
    return Envelope(
        BEGIN + at,
        "",
        "mx1",
        "postfix",
        "smtpd",
        1,
        "warning",
        weight,
        False,
        "r",
        record=(b"T", b"mx1", b"postfix/smtpd", b"1", line),
    )


def failure(at: float, ip: str | None = "192.0.2.7", weight: int = 1, cause: Any = "credentials") -> Event:
    name = Untrusted("alice")
    return AuthFailed(envelope(at, weight), Client(ip, "unknown", None), Untrusted("LOGIN"), cause, Untrusted(""), name)


def with_rule(**changes: Any) -> DetectionSettings:
    changed = {"auth-bruteforce": msgspec.structs.replace(SHIPPED["auth-bruteforce"], **changes)}
    return DetectionSettings(rules=SHIPPED | changed)


def run(detector: Detector, events: list[Event]) -> list[Change]:
    """What happens with time passing before each event, as the pipeline lets it."""
    changes = []
    for event in events:
        changes += detector.tick(event.envelope.at)
        changes += detector.feed(event)
    return changes


def whole(detector: Detector, change: Change) -> Incident:
    """The incident of a change with all that is known of it."""
    incident = detector.incident(change.key)
    assert incident
    return incident


@pytest.fixture
def detector() -> Detector:
    return Detector(DetectionSettings())


def test_an_incident_opens_exactly_at_the_threshold(detector: Detector) -> None:
    assert run(detector, [failure(second) for second in range(THRESHOLD - 1)]) == []
    (change,) = run(detector, [failure(THRESHOLD)])
    assert (change.what, change.incident.count) == ("opened", THRESHOLD)
    assert (change.incident.first, change.incident.last) == (BEGIN, BEGIN + THRESHOLD)
    assert change.incident.subject == "192.0.2.7"


@pytest.mark.parametrize(("rule", "threshold"), [("relay-probe", 3), ("tls-client-failures", 5)])
def test_each_rule_has_its_own_threshold(detector: Detector, rule: str, threshold: int) -> None:
    def event(at: float) -> Event:
        client, nothing = Client("192.0.2.7", None, None), Untrusted("")
        if rule == "relay-probe":
            return RelayDenied(
                envelope(at), client, None, "RCPT", 554, None, False, None, Untrusted("x"), None, None, None
            )
        return TlsFailed(envelope(at), client, "inbound", None, "192.0.2.7", "other", nothing, None, None)

    assert run(detector, [event(at) for at in range(threshold - 1)]) == []
    assert [change.key for change in run(detector, [event(threshold)])] == [(rule, "192.0.2.7")]


def test_an_outbound_tls_failure_is_no_clients_doing(detector: Detector) -> None:
    client = Client("192.0.2.7", None, None)
    events: list[Event] = [
        TlsFailed(envelope(at), client, "outbound", None, None, "other", Untrusted(""), None, None) for at in range(20)
    ]
    assert run(detector, events) == []


@pytest.mark.parametrize(("last", "opened"), [(WINDOW - 1, True), (WINDOW, False)])
def test_only_what_lies_within_the_window_counts(detector: Detector, last: float, opened: bool) -> None:
    events = [failure(0), *(failure(WINDOW / 2) for _ in range(THRESHOLD - 2)), failure(last)]
    assert bool(run(detector, events)) is opened


def test_the_window_slides(detector: Detector) -> None:
    slow = [failure(number * (WINDOW / (THRESHOLD - 1) + 1)) for number in range(100)]
    assert run(detector, slow) == []
    end = slow[-1].envelope.at - BEGIN
    (change,) = run(detector, [failure(end + 1)])
    assert change.incident.count == THRESHOLD
    assert change.incident.first > BEGIN


def test_a_weight_counts_as_often_as_it_says(detector: Detector) -> None:
    (change,) = run(detector, [failure(0, weight=THRESHOLD - 1), failure(1)])
    assert change.incident.count == THRESHOLD


def test_probed_attempts_count_with_the_failures(detector: Detector) -> None:
    probed = AuthProbed(envelope(1), Client("192.0.2.7", None, None), 7, 0)
    (change,) = run(detector, [failure(0, weight=3), probed])
    assert change.incident.count == 10


def test_the_same_passwords_tried_at_dovecot_count_with_them(detector: Detector) -> None:
    nobody, who = Untrusted(""), Client("192.0.2.7", None, None)
    at_dovecot = [
        DovecotAuthFailed(envelope(at), who, "imap", nobody, "credentials", nobody, nobody) for at in range(THRESHOLD)
    ]
    (change,) = run(detector, [failure(0), *at_dovecot[1:]])
    assert change.incident.count == THRESHOLD


@pytest.mark.parametrize("cause", ["protocol", "aborted"])
def test_a_failure_that_tried_no_password_is_no_guess(detector: Detector, cause: str) -> None:
    assert run(detector, [failure(at, cause=cause) for at in range(50)]) == []


def test_a_line_that_belongs_to_another_counts_nowhere(detector: Detector) -> None:
    event = failure(0, weight=100)
    part = msgspec.structs.replace(event, envelope=msgspec.structs.replace(event.envelope, part_of="auth_failed"))
    assert not detector.feed(part)


def test_an_unknown_address_is_nobody(detector: Detector) -> None:
    assert run(detector, [failure(at, ip=None) for at in range(50)]) == []


def test_two_clients_are_two_subjects(detector: Detector) -> None:
    events = [failure(at, ip=f"192.0.2.{at % 2 + 1}") for at in range(2 * THRESHOLD - 2)]
    assert run(detector, events) == []


def test_an_ipv6_client_is_counted_by_its_64(detector: Detector) -> None:
    inside = [failure(at, ip=f"2001:db8:1:2::{at:x}") for at in range(1, THRESHOLD)]
    assert run(detector, [*inside, failure(20, ip="2001:db8:1:3::1")]) == []
    (change,) = run(detector, [failure(21, ip="2001:db8:1:2:ffff::1")])
    assert change.incident.subject == "2001:db8:1:2::/64"
    assert whole(detector, change).distinct["client"] == THRESHOLD


@pytest.mark.parametrize("allow", ["192.0.2.7", "192.0.2.0/24"])
def test_an_allowed_client_is_left_alone_by_every_rule_or_by_one(allow: str) -> None:
    of_one_rule = {"auth-bruteforce": msgspec.structs.replace(SHIPPED["auth-bruteforce"], allow=(allow,))}
    for settings in (DetectionSettings(allow=(allow,)), DetectionSettings(rules=SHIPPED | of_one_rule)):
        assert run(Detector(settings), [failure(at) for at in range(50)]) == []
        assert run(Detector(settings), [failure(at, ip="198.51.100.1") for at in range(50)])


def test_our_own_machine_is_allowed_unless_it_is_taken_out(detector: Detector) -> None:
    assert run(detector, [failure(at, ip="127.0.0.1") for at in range(50)]) == []
    assert run(detector, [failure(at, ip="::1") for at in range(50)]) == []
    assert run(Detector(DetectionSettings(allow=())), [failure(at, ip="127.0.0.1") for at in range(50)])


def test_a_disabled_rule_finds_nothing_and_a_simulated_one_does() -> None:
    events = [failure(at) for at in range(50)]
    assert run(Detector(with_rule(enabled=False)), events) == []
    assert run(Detector(with_rule(simulate=True)), events)


def test_an_incident_ends_a_whole_window_after_its_last_event(detector: Detector) -> None:
    run(detector, [failure(at) for at in range(20)])
    assert detector.tick(BEGIN + 19 + WINDOW - 0.5) == []
    (change,) = detector.tick(BEGIN + 19 + WINDOW + 1000)
    assert (change.what, change.at, change.incident.ended) == ("ended", BEGIN + 19 + WINDOW, BEGIN + 19 + WINDOW)
    assert change.incident.count == 20
    assert list(detector.open_incidents()) == []
    assert detector.next_deadline() == float("inf")


def test_after_its_end_the_subject_begins_anew_with_another_id(detector: Detector) -> None:
    first = run(detector, [failure(at) for at in range(THRESHOLD)])
    second = run(detector, [failure(5000 + at) for at in range(THRESHOLD)])
    assert [change.what for change in first + second] == ["opened", "ended", "opened"]
    assert first[0].incident.id != second[1].incident.id
    assert second[1].incident.count == THRESHOLD


def test_the_same_log_gives_the_same_id(detector: Detector) -> None:
    events = [failure(at) for at in range(THRESHOLD)]
    (one,), (other,) = run(detector, events), run(Detector(DetectionSettings()), events)
    assert one.incident.id == other.incident.id
    assert one.incident.id.startswith("auth-bruteforce-20261122T095300Z-")


def test_the_incident_names_who_and_what_and_shows_lines(detector: Detector) -> None:
    (change,) = run(detector, [failure(at) for at in range(THRESHOLD)])
    incident = whole(detector, change)
    assert incident.tops["account"] == [("alice", THRESHOLD)]
    assert incident.tops["method"] == [("LOGIN", THRESHOLD)]
    assert incident.tops["service"] == [("postfix/smtpd", THRESHOLD)]
    assert incident.evidence[0] == "T mx1 postfix/smtpd[1]: line of 0"
    assert incident.evidence[-1] == f"T mx1 postfix/smtpd[1]: line of {THRESHOLD - 1}"
    assert len(incident.evidence) == 6
    assert sum(count for _, count in incident.chart) == THRESHOLD


def test_grew_is_said_once_when_the_mark_is_reached(detector: Detector) -> None:
    run(detector, [failure(at / 10) for at in range(20)])
    detector.mark(("auth-bruteforce", "192.0.2.7"), 100)
    changes = run(detector, [failure(2 + at / 10) for at in range(100)])
    assert [(change.what, change.incident.count) for change in changes] == [("grew", 100)]


def test_subjects_are_bounded_and_the_longest_quiet_makes_room() -> None:
    detector = Detector(DetectionSettings(max_subjects=100))
    for number in range(1000):
        detector.feed(failure(number / 10, ip=f"198.51.{number // 250}.{number % 250}"))
    assert detector.evicted()["auth-bruteforce"] == 900
    one = "198.51.3.249"
    (change,) = run(detector, [failure(101, ip=one, weight=THRESHOLD - 1)])
    assert change.incident.subject == one


def test_a_subject_seen_again_is_not_the_one_that_makes_room() -> None:
    detector = Detector(DetectionSettings(max_subjects=10))
    changes: list[Change] = []
    for number in range(200):
        changes += detector.feed(failure(number, ip=f"198.51.100.{number}"))
        if number % 5 == 0:
            changes += detector.feed(failure(number))
    assert [change.incident.subject for change in changes] == ["192.0.2.7"]


def test_an_incident_given_up_for_want_of_room_ends_silently() -> None:
    detector = Detector(DetectionSettings(max_subjects=2))
    run(detector, [failure(at) for at in range(THRESHOLD)])
    run(detector, [failure(11, ip="198.51.100.1"), failure(12, ip="198.51.100.2"), failure(13, ip="198.51.100.3")])
    assert detector.tick(BEGIN + 10_000) == []
    assert list(detector.open_incidents()) == []


def saved_by(detector: Detector) -> dict[str, dict[bytes, bytes]]:
    """As a database gives it back: in the order of the keys, not in that of the last sight."""
    return {
        part: {key: value for key, value in sorted(rows.items()) if value is not None}
        for part, rows in detector.drain().items()
    }


def test_a_restart_at_any_event_changes_nothing() -> None:
    events = [failure(at * 7, ip=f"192.0.2.{at % 3}") for at in range(90)]
    events += [failure(5000 + at, ip="192.0.2.1") for at in range(30)]
    expected = run(Detector(DetectionSettings()), events)
    assert expected
    for place in range(0, len(events), 7):
        before = Detector(DetectionSettings(), keep=True)
        changes = run(before, events[:place])
        after = Detector(DetectionSettings(), keep=True)
        after.restore(saved_by(before))
        assert list(after.open_incidents()) == list(before.open_incidents())
        assert changes + run(after, events[place:]) == expected


def test_after_a_restart_still_the_longest_quiet_makes_room() -> None:
    settings = DetectionSettings(max_subjects=3)
    before = Detector(settings, keep=True)
    run(before, [failure(0, ip="192.0.2.9"), failure(1, ip="192.0.2.5"), failure(2, ip="192.0.2.1", weight=9)])
    after = Detector(settings, keep=True)
    after.restore(saved_by(before))
    changes = run(after, [failure(3, ip="192.0.2.200"), failure(4, ip="192.0.2.1")])
    assert [change.incident.subject for change in changes] == ["192.0.2.1"]


def test_an_incident_for_which_there_is_no_room_any_more_is_dropped_and_counted_nowhere_as_open() -> None:
    detector = Detector(DetectionSettings(max_subjects=50))
    changes = run(detector, [failure(number, f"192.0.2.{number}", weight=THRESHOLD) for number in range(1, 201)])
    dropped = [change.key[1] for change in changes if change.what == "dropped"]
    assert dropped == [f"192.0.2.{number}" for number in range(1, 151)]
    assert detector.open_count("auth-bruteforce") == len(list(detector.open_incidents())) == 50
    ended = [change.key[1] for change in detector.tick(BEGIN + 10 * WINDOW) if change.what == "ended"]
    assert ended == [f"192.0.2.{number}" for number in range(151, 201)]
    assert detector.next_deadline() == float("inf")


def test_a_dropped_incident_leaves_no_deadline_behind_for_ever() -> None:
    detector = Detector(DetectionSettings(max_subjects=10))
    run(detector, [failure(0, f"10.0.{number // 250}.{number % 250}", weight=THRESHOLD) for number in range(5000)])
    assert len(detector._ends) < 2000


def test_who_is_dropped_and_opens_again_ends_once() -> None:
    detector = Detector(DetectionSettings(max_subjects=1))
    events = [failure(0, weight=THRESHOLD), failure(1, "192.0.2.8"), failure(2, weight=THRESHOLD)]
    changes = run(detector, [*events, failure(WINDOW + 1)])
    changes += detector.tick(BEGIN + 5 * WINDOW)
    assert [(change.what, change.at - BEGIN) for change in changes] == [
        ("opened", 0),
        ("dropped", 1),
        ("opened", 2),
        ("ended", 2 * WINDOW + 1),
    ]
