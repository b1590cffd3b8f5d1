"""The whole core: the same log gives the same story, however it is cut, looked at or interrupted."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pfwatch.alerting.notification import Notification
from pfwatch.alerting.settings import AlertSettings
from pfwatch.detection import detector
from pfwatch.detection.change import Change
from pfwatch.detection.settings import SHIPPED, DetectionSettings
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.hits import built
from pfwatch.pipeline import Outcome, Pipeline, Settings
from pfwatch.sources.lines import LineCutter
from tests.bench.generate import generate
from tests.samples.logs import REFERENCE, VERSIONS, logs, richest_mix

CUTS = 1000
QUICK = {
    name: msgspec.structs.replace(rule, threshold=1 if rule.severity == "info" else 2, window=2, cooldown=3)
    for name, rule in SHIPPED.items()
}
SETTINGS = Settings(
    UTC,
    detection=DetectionSettings(rules=QUICK),
    alerts=AlertSettings(group_wait=1, digest_interval=5, repeat_interval=4, grew_factor=3, send_resolved=True),
)
"""So hasty that in a few seconds of log everything happens: incidents end, grow, are told again."""

BEGIN = datetime(2026, 11, 22, 10, tzinfo=UTC)


class Story:
    """Everything that came out of a pipeline."""

    def __init__(self, pipeline: Pipeline | None = None) -> None:
        self.pipeline = pipeline or Pipeline(SETTINGS, keep=True)
        self.events: list[object] = []
        self.changes: list[Change] = []
        self.notifications: list[Notification] = []
        self.lines = 0

    def add(self, outcome: Outcome) -> None:
        self.events += map(built, outcome.events)
        self.changes += outcome.changes
        self.notifications += outcome.notifications
        self.lines += outcome.tally.total if outcome.tally else 0

    def feed(self, block: bytes) -> None:
        self.add(self.pipeline.feed(block, "mail.log", REFERENCE))

    def told(self) -> tuple[list[object], list[Change], list[Notification], int]:
        return self.events, self.changes, self.notifications, self.lines

    def counters(self) -> object:
        return self.pipeline.counters.shown()


def whole_story(log: bytes) -> Story:
    story = Story()
    story.feed(log)
    story.add(story.pipeline.finish())
    return story


def lines_of(*timed: tuple[float, str], pid: int = 1) -> bytes:
    """Lines of smtpd, each at so many seconds after the beginning."""
    return b"".join(
        f"{(BEGIN + timedelta(seconds=at)).isoformat()} mx1 postfix/smtpd[{pid}]: {body}\n".encode()
        for at, body in timed
    )


def failure(ip: str = "192.0.2.7") -> str:
    return f"warning: unknown[{ip}]: SASL LOGIN authentication failed: x, sasl_username=alice"


def denial(ip: str = "192.0.2.8") -> str:
    return (
        f"NOQUEUE: reject: RCPT from unknown[{ip}]: 554 5.7.1 <x@example.net>: Relay access denied; from=<> proto=SMTP"
    )


@pytest.fixture
def log() -> bytes:
    return richest_mix()


def test_the_mix_has_incidents_that_end_and_are_told(log: bytes) -> None:
    story = whole_story(log)
    assert {change.what for change in story.changes} >= {"opened", "ended"}
    assert {told.reason for told in story.notifications} >= {"first", "resolved", "digest"}


def test_the_story_does_not_depend_on_where_the_log_is_cut(log: bytes) -> None:
    whole = whole_story(log)
    dice = random.Random(4)
    for number in range(CUTS):
        story, cutter, begin = Story(), LineCutter(65_536), 0
        for end in [*sorted(dice.randrange(len(log)) for _ in range(dice.choice((1, 3, 10, 40)))), len(log)]:
            story.feed(cutter.feed(log[begin:end]))
            begin = end
        story.add(story.pipeline.finish())
        assert story.told() == whole.told(), f"cut number {number}"
        if number % 50 == 0:
            assert story.counters() == whole.counters()


def test_every_real_log_is_the_same_line_by_line() -> None:
    for version in VERSIONS:
        for name in ("brute_force.log", "relay.log", "tls_errors.log", "rsyslog_repeated.log"):
            log, story = logs(version)[name], Story()
            for line in log.splitlines(keepends=True):
                story.feed(line)
            story.add(story.pipeline.finish())
            assert story.told() == whole_story(log).told(), (version, name)


@pytest.mark.parametrize("version", VERSIONS)
def test_hits_tell_the_same_story_as_the_events_that_they_stand_for(version: str) -> None:
    for name in ("brute_force.log", "brute_force_v6.log", "spray.log", "relay.log", "mixed.log", "compromised.log"):
        hits, events = Story(), Story(Pipeline(SETTINGS, keep=True, every_event=True))
        for story in (hits, events):
            story.feed(logs(version)[name])
            story.add(story.pipeline.finish())
        assert hits.changes
        assert (hits.changes, hits.notifications) == (events.changes, events.notifications), name


def test_many_hits_of_many_clients_are_told_as_if_they_were_few() -> None:
    """More of them than are kept as they came, from clients that take turns."""
    clients = [f"198.51.100.{number}" for number in range(1, 251)]
    times = 120
    # Within a second, for nothing is to be due meanwhile.
    block = b"".join(lines_of(*((0, failure(ip)) for ip in clients), pid=turn + 1) for turn in range(times))
    story = whole_story(block)
    ended = [change.whole() for change in story.changes if change.what == "ended" and change.whole]
    assert len(ended) == len(clients)
    for incident in ended:
        assert incident.count == times
        assert incident.tops["account"] == [("alice", times)]
        assert sum(count for _, count in incident.chart) == times
        assert len(incident.evidence) == 6


def test_a_restart_anywhere_goes_on_with_the_same_story(log: bytes) -> None:
    whole = whole_story(log)
    lines = log.splitlines(keepends=True)
    dice = random.Random(5)
    for _ in range(40):
        story = Story()
        saved: dict[str, dict[bytes, bytes]] = {}
        begin = 0
        for end in [*sorted(dice.randrange(len(lines)) for _ in range(3)), len(lines)]:
            story.feed(b"".join(lines[begin:end]))
            begin = end
            for part, rows in story.pipeline.drain().items():
                table = saved.setdefault(part, {})
                for key, value in rows.items():
                    if value is None:
                        table.pop(key, None)
                    else:
                        table[key] = value
            story.pipeline = Pipeline(SETTINGS, keep=True)
            story.pipeline.restore(saved)
        story.add(story.pipeline.finish())
        assert story.told() == whole.told()


def test_everything_that_is_kept_is_what_all_changes_came_to(log: bytes) -> None:
    lines = log.splitlines(keepends=True)
    pipeline, saved = Pipeline(SETTINGS, keep=True), dict[str, dict[bytes, bytes]]()
    for begin in range(0, len(lines), 50):
        pipeline.feed(b"".join(lines[begin : begin + 50]), "log", REFERENCE)
        for part, rows in pipeline.drain().items():
            table = saved.setdefault(part, {})
            table.update({key: value for key, value in rows.items() if value is not None})
            for key in [key for key, value in rows.items() if value is None]:
                table.pop(key, None)
    again = Pipeline(SETTINGS, keep=True)  # which no source has said anything to
    again.restore(saved)
    everything = pipeline.drain(whole=True)
    assert again.drain(whole=True) == everything
    assert saved.keys() <= everything.keys()
    for part in saved:
        if part != "diary" and not part.startswith("watch:"):  # what pages say of somebody is now in his own row
            assert everything[part] == saved[part]


def test_the_incidents_that_are_open_are_those_that_opened_and_did_not_end(log: bytes) -> None:
    story, most = Story(), 0
    for line in log.splitlines(keepends=True):
        story.feed(line)
        opened = [change.what for change in story.changes if change.what != "grew"]
        assert story.pipeline.open_incidents() == 2 * opened.count("opened") - len(opened)
        most = max(most, story.pipeline.open_incidents())
    assert most > 3
    story.add(story.pipeline.finish())
    assert story.pipeline.open_incidents() == 0


def test_incidents_and_mails_come_from_the_logs_own_time() -> None:
    story = whole_story(logs("3.10")["brute_force.log"])
    (opened, ended) = (next(c for c in story.changes if c.what == what) for what in ("opened", "ended"))
    assert opened.incident.subject == "198.51.100.1"
    assert ended.at == ended.incident.last + 2
    assert story.notifications[0].at == opened.at + 1


def test_a_deadline_before_an_event_happens_before_it() -> None:
    story = Story()
    story.feed(lines_of((0, failure()), (0, failure()), (60, failure()), (60, failure())))
    assert [change.what for change in story.changes[:3]] == ["opened", "ended", "opened"]
    assert story.changes[1].at - story.changes[0].at == 2


@pytest.mark.parametrize("every_second", [False, True])
def test_time_that_passes_without_lines_tells_what_is_due(every_second: bool) -> None:
    story = Story()
    story.feed(lines_of((0, failure()), (0, failure())))
    now = BEGIN.timestamp()
    if every_second:
        for second in range(100):
            story.add(story.pipeline.tick(now + second / 10))
    else:
        story.add(story.pipeline.tick(now + 10))
    assert [(told.reason, told.at - now) for told in story.notifications] == [("first", 1), ("resolved", 2)]


def test_two_sources_make_one_story() -> None:
    story = Story()
    story.add(story.pipeline.feed(lines_of((0, failure())), "one.log", REFERENCE))
    story.add(story.pipeline.feed(lines_of((1, failure())), "two.log", REFERENCE))
    assert [change.what for change in story.changes] == ["opened"]


def test_a_repeat_of_the_last_message_is_that_of_its_own_source() -> None:
    story = Story()
    story.add(story.pipeline.feed(lines_of((0, failure())), "one.log", REFERENCE))
    story.add(story.pipeline.feed(lines_of((0, denial())), "two.log", REFERENCE))
    repeat = b"2026-11-22T10:00:01+00:00 mx1 last message repeated 5 times\n"
    outcome = story.pipeline.feed(repeat, "one.log", REFERENCE)
    assert [(event.kind, event.envelope.weight) for event in map(built, outcome.events)] == [("auth_failed", 5)]


def test_a_source_that_goes_and_comes_back_goes_on_and_one_that_is_forgotten_begins_anew() -> None:
    pipeline = Pipeline(SETTINGS, keep=True)
    repeat = BEGIN.strftime("%b %e %H:%M:%S mx1 last message repeated 3 times\n").encode()
    pipeline.feed(lines_of((0, failure())), "one", REFERENCE)
    pipeline.release("one")
    saved = pipeline.drain()["log"]
    assert list(saved) == [b"one"]
    pipeline.feed(repeat, "one", REFERENCE)
    pipeline.drain()
    failures = pipeline.counters.shown().counters["postfix_sasl_failures_total"]
    assert sum(failures.values()) == 4
    pipeline.forget("one")
    assert pipeline.drain()["log"] == {b"one": None}
    outcome = pipeline.feed(repeat, "one", REFERENCE)
    assert outcome.tally is not None
    assert outcome.tally.malformed == 1


def test_the_lines_of_every_fate_are_exported_and_add_up(log: bytes) -> None:
    series = whole_story(log).pipeline.counters.shown().counters["pfwatch_lines_total"]
    assert sum(value for labels, value in series.items() if labels[0] == "mail.log") == log.count(b"\n")


def test_an_old_log_read_live_sends_nothing() -> None:
    pipeline = Pipeline(SETTINGS)
    block = lines_of((0, failure()), (0, failure()), (1000, failure("192.0.2.99")))
    outcome = pipeline.feed(block, "mail.log", REFERENCE, clock=BEGIN.timestamp() + 100_000)
    assert outcome.changes
    assert outcome.notifications == []


# What waits at a border: a handshake whose library line is not there yet while a mail is due.

NOW = BEGIN.timestamp()
HANDSHAKE = "SSL_accept error from unknown[192.0.2.7]: -1"
WAITING = [
    lines_of((0, HANDSHAKE), (0, HANDSHAKE), (0.1, "lost connection after CONNECT from unknown[192.0.2.7]"), pid=2),
    lines_of((4, HANDSHAKE), pid=2),
    lines_of((6.5, "connect from unknown[192.0.2.9]"), pid=3),
    lines_of((6.6, "connect from unknown[192.0.2.9]"), pid=2),
]
"""The third failure is of second 4 and complete at 6.6; the mail is due at 5."""
_TWO_TLS_FAILURES = msgspec.structs.replace(SHIPPED["tls-client-failures"], threshold=2, window=60, severity="warning")
PATIENT = Settings(
    UTC,
    detection=DetectionSettings(rules=SHIPPED | {"tls-client-failures": _TWO_TLS_FAILURES}),
    alerts=AlertSettings(group_wait=5),
)


def told_counts(blocks: list[bytes], *, tick: bool = False) -> list[tuple[str, int]]:
    story = Story(Pipeline(PATIENT))
    for block in blocks:
        story.feed(block)
        if tick and block is WAITING[2]:
            story.add(story.pipeline.tick(NOW + 6.5))
    story.add(story.pipeline.finish())
    return [(told.reason, told.incidents[0].count) for told in story.notifications]


def test_a_waiting_handshake_is_in_the_mail_wherever_the_log_is_cut() -> None:
    assert told_counts(WAITING) == told_counts([b"".join(WAITING)]) == [("first", 3)]


def test_a_waiting_handshake_is_in_the_mail_however_often_time_is_looked_at() -> None:
    assert told_counts(WAITING, tick=True) == [("first", 3)]


def test_a_record_out_of_order_is_told_alike_wherever_the_log_is_cut() -> None:
    blocks = [
        lines_of((0, failure()), (0, failure())),
        lines_of((1.5, "connect from unknown[192.0.2.9]"), pid=3),
        lines_of((0.5, failure())),
    ]
    one, other = Story(), whole_story(b"".join(blocks))
    for block in blocks:
        one.feed(block)
    one.add(one.pipeline.finish())
    assert one.told() == other.told()


@pytest.mark.parametrize(("subjects", "unpacked"), [(20_000, 10_000_000), (30, 10_000_000), (20_000, 1_000)])
def test_without_the_texts_the_story_of_incidents_is_the_same_and_nothing_is_on_the_counters(
    subjects: int, unpacked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "_MOST_UNPACKED", unpacked)
    story = b"".join(generate(20_000, "attack", seed=3, distinct_clients=400)) + b"".join(logs("3.10").values())
    settings = msgspec.structs.replace(SETTINGS, detection=DetectionSettings(max_subjects=subjects, rules=QUICK))
    bare = {rule.name for rules in GRAMMAR.values() for rule in rules if any(one.bare for one in rule.plain)}
    told = []
    for whole in (True, False):
        pipeline, heard, counts = Pipeline(settings, whole=whole), list[object](), Counter[object]()
        for outcome in (pipeline.feed(story, "log", REFERENCE), pipeline.finish()):
            heard += [(one.what, one.key, one.at, one.incident) for one in outcome.changes]
            heard += [(one.id, one.at, one.reason, one.subject_line) for one in outcome.notifications]
            for event in outcome.built:
                if event.envelope.rule in bare:
                    counts[event.envelope.rule, type(event)] += event.envelope.weight
                else:
                    heard.append(event)
            assert outcome.tally is not None
            heard.append(outcome.tally.fates())
            for (rule, kind), keys in outcome.tally.counts.items():
                counts[rule.name, kind] += sum(keys.values())
        told.append((heard, counts))
        untouched = Pipeline(settings).counters
        assert (pipeline.counters.shown() == untouched.shown()) is not whole
        assert (pipeline.counters.gauges() == untouched.gauges()) is not whole
    assert told[0] == told[1]
    assert len(told[0][0]) > 300
    assert len(told[0][1]) > 20
