"""Dovecot beside Postfix: its lines are read where that is asked for, and nobody's failure counts twice."""

from collections import Counter
from datetime import UTC

import pytest

from pfwatch.events import AuthDetail, AuthFailed, DovecotAuthFailed, Event, TlsDetail, TlsFailed, as_object
from pfwatch.parsing.dovecot import RULES
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.listener import Process
from pfwatch.parsing.programs import Programs
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.scanner import Scanner
from pfwatch.parsing.tally import Tally
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from tests.samples.logs import REFERENCE, STORIES, VERSIONS, logs, truth

HEAD = "Nov 22 10:29:17 mx1 "
TAIL = "user=<carol@example.org>, method=PLAIN, rip=192.0.2.7, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>"
FAILED = f"imap-login: Disconnected (auth failed, 3 attempts in 2 secs): {TAIL}"
DETAIL = "auth: passwd-file(carol@example.org,192.0.2.7,<kaD08tpgT4VkV00r>): Password mismatch"


class _Told(Sessions):
    """Keeps every event that it is told, parts of others too."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Event] = []

    def told(self, event: Event, process: Process) -> Event:
        self.lines.append(super().told(event, process))
        return self.lines[-1]


def read(log: str | bytes, *, dovecot: bool = True, every_event: bool = True) -> tuple[list[Event], list[Event], Tally]:
    """What every line says, the finished events, and what became of the lines."""
    sessions = _Told()
    scanner = Scanner(sessions, TimeReader(UTC), every_event=every_event, dovecot=dovecot)
    scanner.scan(log if isinstance(log, bytes) else log.encode(), REFERENCE)
    sessions.finish()
    return sessions.lines, sessions.take(), scanner.take()


def one(line: str, *, dovecot: bool = True) -> Event:
    (event,), _, _ = read(line + "\n", dovecot=dovecot)
    return event


def attempts(events: list[Event]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for event in events:
        if isinstance(event, DovecotAuthFailed):
            found[str(event.client.ip)] += event.envelope.weight
    return dict(found)


# Whose line it is


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_line_of_dovecot_is_read_only_where_that_is_asked_for(rule: Rule) -> None:
    assert one(rule.example).envelope.rule == rule.name
    assert one(rule.example, dovecot=False).kind == "foreign"


@pytest.mark.parametrize(
    "header",
    [
        f"{HEAD}dovecot: ",
        f"{HEAD}dovecot[815]: ",
        "2026-11-22T10:29:17.345678+00:00 mx1 dovecot: ",
        "<22>1 2026-11-22T10:29:17Z mx1 dovecot - - - ",
        "<22>1 2026-11-22T10:29:17Z mx1 dovecot 815 - - ",
        "<22>Nov 22 10:29:17 mx1 dovecot: ",
        "1795343357.345678 mx1 dovecot[815]: ",
    ],
)
def test_every_header_will_do_with_a_pid_or_without(header: str) -> None:
    shown = as_object(one(header + FAILED))
    assert shown["kind"] == "dovecot_auth_failed"
    assert (shown["service"], shown["daemon"], shown["host"], shown["severity"]) == (None, "dovecot", "mx1", "info")
    assert shown["pid"] == (815 if "815" in header else None)
    assert shown["weight"] == 3


@pytest.mark.parametrize(
    "body",
    [
        "auth-worker(4321): sql(carol,192.0.2.7,<kaD08tpgT4VkV00r>): unknown user",
        "auth(carol,192.0.2.7,sasl:plain)<kaD08tpgT4VkV00r>: passwd-file: Password mismatch",
        "auth(carol of the office,192.0.2.7,sasl:plain): passwd-file: Password mismatch",
        "auth(user=carol,192.0.2.7,sasl:plain): passwd-file: Password mismatch",
        "auth(a(b,192.0.2.7,sasl:plain): passwd-file: Password mismatch",
    ],
)
def test_who_speaks_ends_at_the_parenthesis(body: str) -> None:
    assert isinstance(one(f"{HEAD}dovecot: {body}"), AuthDetail)


@pytest.mark.parametrize(
    "line",
    [
        f"{HEAD}dovecot: imap-login: Login: {TAIL}, mpid=7",
        f"{HEAD}dovecot: imap(carol@example.org)<123><kaD08tpgT4VkV00r>: Disconnected: Logged out in=412 out=2871",
        f"{HEAD}dovecot: master: Dovecot v2.3.19.1 starting up for imap",
        f"{HEAD}dovecot: warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x",
        f"{HEAD}dovecot: message repeated 2 times: [ master: x]",
        f"{HEAD}dovecot:",
        f"{HEAD}dovecot-imapd: {FAILED}",
        f"{HEAD}Dovecot: {FAILED}",
        f"{HEAD}imap-login: {FAILED}",
    ],
)
def test_what_is_nothing_to_us_stays_foreign(line: str) -> None:
    lines, _, tally = read(line + "\n")
    assert [event.kind for event in lines] in (["foreign"], ["malformed"])
    assert (tally.foreign + tally.malformed, tally.unsupported, tally.unread) == (1, 0, {})
    assert [event.kind for event in read(line + "\n", dovecot=False)[0]] == [lines[0].kind]


def test_a_line_of_postfix_without_a_pid_stays_foreign() -> None:
    body = "warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x"
    assert one(f"{HEAD}postfix/smtpd: {body}").kind == "foreign"
    assert one(f"{HEAD}postfix/smtpd: {FAILED}").kind == "foreign"
    assert one(f"{HEAD}postfix/smtpd[1]: {body}").kind == "auth_failed"


def test_postfix_says_nothing_in_the_words_of_dovecot() -> None:
    assert one(f"{HEAD}postfix/smtpd[1]: {FAILED}").kind == "unsupported"


@pytest.mark.parametrize("every_event", [True, False])
def test_repeated_lines_count_as_often_as_they_stand_for(every_event: bool) -> None:
    log = (
        f"{HEAD}dovecot: {FAILED}\n"
        f"{HEAD}last message repeated 2 times\n"
        f"{HEAD}dovecot: message repeated 4 times: [ {FAILED}]\n"
        f"{HEAD}dovecot: {DETAIL}\n"
        f"{HEAD}last message repeated 5 times\n"
    )
    _, finished, tally = read(log, every_event=every_event)
    assert attempts(finished) == {"192.0.2.7": 3 + 6 + 12}
    assert (tally.parts, tally.foreign, tally.unsupported, tally.malformed) == (2, 0, 0, 0)


def test_thousands_of_names_that_are_tried_take_no_room() -> None:
    program = Programs(10, dovecot=True).of(b"dovecot")
    assert program
    for number in range(20_000):
        body = b"auth(%d%s,192.0.2.7,sasl:plain): passwd-file: unknown user" % (number, b"x" * 1000)
        assert len(program.rules(body.partition(b":")[0], body)) == 1
    assert len(program._chosen) <= 4096
    assert max(map(len, program._chosen)) < 20


# Nobody's failure counts twice


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("story", [story for story in STORIES if not story.startswith("postlogd")])
def test_what_both_log_of_a_login_at_postfix_is_one_failure(version: str, story: str) -> None:
    log = logs(version)[f"{story}.log"]
    lines, finished, tally = read(log)
    assert _not_foreign(finished) == _not_foreign(read(log, dovecot=False)[1])
    assert tally.malformed == 0
    details = [event for event in lines if _is_detail(event)]
    assert {event.envelope.part_of for event in details} <= {"auth_failed"}
    if truth(version)[story]["auth_failed"]:
        assert len(details) > 0, "Dovecot says nothing here"
    failed = sum(event.envelope.weight for event in finished if _is_credentials(event))
    assert failed == sum(truth(version)[story]["auth_failed"].values())


def _not_foreign(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind != "foreign"]


def _is_detail(event: Event) -> bool:
    return event.envelope.daemon == "dovecot" and event.kind != "foreign"


def _is_credentials(event: Event) -> bool:
    return isinstance(event, AuthFailed) and event.cause == "credentials"


# (of the login process, of auth) by release of Dovecot, as they stand in a real log but for address and name
RELEASES = {
    "2.3.13": (
        "imap-login: Disconnected (auth failed, {n} attempts in 1 secs): {tail}",
        "auth: passwd-file(carol@example.org,192.0.2.7,<kaD08tpgT4VkV00r>): Password mismatch",
    ),
    "2.3.19": (
        "imap-login: Disconnected: Connection closed (auth failed, {n} attempts in 1 secs): {tail}",
        "auth: passwd-file(carol@example.org,192.0.2.7,<kaD08tpgT4VkV00r>): Password mismatch",
    ),
    "2.4": (
        "imap-login: Login aborted: Connection closed (auth failed, {n} attempts in 0 secs) (auth_failed): {tail}",
        "auth(carol@example.org,192.0.2.7,sasl:plain)<kaD08tpgT4VkV00r>: passwd-file: Password mismatch",
    ),
}


@pytest.mark.parametrize("release", RELEASES)
def test_every_attempt_at_dovecot_counts_once(release: str) -> None:
    login, auth = RELEASES[release]
    bodies = [line for n in (1, 1, 1, 2, 3) for line in [auth] * n + [login.format(n=n, tail=TAIL)]]
    lines, finished, tally = read("".join(f"{HEAD}dovecot: {body}\n" for body in bodies))
    assert attempts(finished) == {"192.0.2.7": 8}
    assert len(finished) == tally.events == 5
    assert tally.parts == 8
    assert {event.envelope.part_of for event in lines if isinstance(event, AuthDetail)} == {"dovecot_auth_failed"}


@pytest.mark.parametrize("dovecot", [True, False])
def test_the_counters_of_a_pipeline_have_what_its_settings_ask_for(dovecot: bool) -> None:
    pipeline = Pipeline(Settings(zone=UTC, dovecot=dovecot))
    for at in range(2):
        pipeline.feed(f"{HEAD}dovecot: {DETAIL}\n{HEAD}dovecot: {FAILED}\n".encode(), f"/log/{at}", REFERENCE)
    shown = {key: value for key, value in pipeline.counters.changed().items() if value}
    counted = shown.get(("postfix_dovecot_auth_failures_total", ("imap", "credentials")), 0)
    assert counted == (6 if dovecot else 0)
    fates = [shown.get(("pfwatch_lines_total", ("/log/0", fate)), 0) for fate in ("events", "parts", "foreign")]
    assert fates == ([1, 1, 0] if dovecot else [0, 0, 2])


def test_whoever_may_have_failed_in_tls_is_known_to_be_waited_for() -> None:
    programs = Programs(1024)
    for daemon, rules in GRAMMAR.items():
        program = programs.of(f"postfix/{daemon}".encode())
        assert program is not None
        assert program.has_words() == any(rule.makes & {TlsFailed, TlsDetail} for rule in rules), daemon
