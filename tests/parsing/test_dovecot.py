"""Failed logins at Dovecot: each try counts once, for the address that Dovecot saw."""

import time

import pytest

from pfwatch.events import AuthDetail, DovecotAuthFailed, Envelope, Event
from pfwatch.parsing.dovecot import RULES
from pfwatch.records.header import compile_form

TAIL = "rip=192.0.2.7, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>"
THREE = "imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 2 secs): "


def said(body: str, *, weight: int = 1) -> Event | None:
    """The event of a body, None where no rule reads it."""
    envelope = Envelope(0.0, "", "mx1", None, "dovecot", None, "info", weight, False, None)
    for rule in RULES:
        found = rule.compiled.match(body.encode())
        if found:
            return rule.build(envelope, found)
    return None


def failed(body: str, *, weight: int = 1) -> DovecotAuthFailed:
    event = said(body, weight=weight)
    assert isinstance(event, DovecotAuthFailed)
    return event


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_example_is_read_by_its_rule_alone_and_its_word_is_listed(rule: object) -> None:
    for one in RULES:
        found = compile_form("bsd").fullmatch(b"\n" + one.example.encode())
        assert found
        assert found[3] == b"dovecot"
        assert found[7].decode() in one.words
        assert [other.name for other in RULES if other.compiled.match(found[5])] == [one.name]


@pytest.mark.parametrize(
    ("start", "tries"),
    [
        ("imap-login: Aborted login (auth failed, 1 attempts in 2 secs): ", 1),  # 2.2
        ("imap-login: Disconnected (auth failed, 4 attempts in 2 secs): ", 4),  # 2.3.13
        ("imap-login: Disconnected: Inactivity (auth failed, 1 attempts in 178 secs): ", 1),
        (THREE, 3),  # 2.3.19
        ("imap-login: Disconnected: Aborted login by logging out (auth failed, 2 attempts in 3 secs): ", 2),
        ("imap-login: Disconnected: Connection closed: read(size=512) failed: Connection reset by peer "
         "(auth failed, 2 attempts in 3 secs): ", 2),
        ("imap-login: Login aborted: Connection closed (auth failed, 2 attempts in 0 secs) (auth_failed): ", 2),  # 2.4
    ],
)  # fmt: skip
def test_a_connection_counts_for_each_of_its_tries(start: str, tries: int) -> None:
    event = failed(f"{start}user=<carol@example.org>, method=PLAIN, {TAIL}")
    assert event.envelope.weight == tries
    assert (event.client.ip, event.username, event.method) == ("192.0.2.7", "carol@example.org", "PLAIN")
    assert (event.protocol, event.cause, event.envelope.part_of) == ("imap", "credentials", None)


def test_a_repeated_line_counts_for_the_tries_of_all() -> None:
    assert failed(f"{THREE}user=<carol>, method=PLAIN, {TAIL}", weight=5).envelope.weight == 15


@pytest.mark.parametrize(
    ("process", "protocol"),
    [("imap", "imap"), ("pop3", "pop3"), ("submission", "submission"), ("managesieve", "sieve")],
)
def test_every_protocol_is_told(process: str, protocol: str) -> None:
    line = f"{process}-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x>, method=LOGIN, {TAIL}"
    assert failed(line).protocol == protocol


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("auth failed, 2 attempts in 9 secs", "credentials"),
        ("authorization failed, 1 attempts in 9 secs", "credentials"),
        ("user disabled, 1 attempts in 9 secs", "credentials"),
        ("password expired, 1 attempts in 9 secs", "credentials"),
        ("tried to use disallowed plaintext auth", "protocol"),
        ("tried to use disabled plaintext auth", "protocol"),
        ("tried to use unsupported auth mechanism", "protocol"),
        ("client didn't finish SASL auth, waited 5 secs", "aborted"),
        ("disconnected while authenticating, waited 5 secs", "aborted"),
    ],
)
def test_the_cause_is_told(reason: str, cause: str) -> None:
    event = failed(f"pop3-login: Disconnected ({reason}): user=<>, {TAIL}")
    assert (event.cause, event.reason, event.username, event.method) == (cause, reason, None, "")


@pytest.mark.parametrize(
    ("tail", "ip"),
    [
        ("rip=2001:db8::7, lip=2001:db8::1, TLS, session=<aaaa>", "2001:db8::7"),
        ("rip=::ffff:192.0.2.7, lip=198.51.100.10, session=<aaaa>", "192.0.2.7"),
        ("rip=192.0.2.7, lip=198.51.100.10, TLS", "192.0.2.7"),
        ("rip=192.0.2.7, lip=198.51.100.10, secured, session=<a/b+=>", "192.0.2.7"),
        ("rip=192.0.2.7, lip=198.51.100.10, mpid=12, TLS: SSL_read() failed: error:0A000412:x, session=<a>",
         "192.0.2.7"),
        ("rip=192.0.2.7, lip=198.51.100.10", "192.0.2.7"),
    ],
)  # fmt: skip
def test_every_form_of_the_tail_is_read(tail: str, ip: str) -> None:
    assert failed(f"{THREE}user=<carol>, method=PLAIN, {tail}").client.ip == ip


@pytest.mark.parametrize(
    "typed",
    [
        "x>, method=PLAIN, rip=203.0.113.9, lip=198.51.100.10, session=<aaaa>",
        "x>, rip=203.0.113.9, lip=198.51.100.10",
        "x>, method=PLAIN, rip=203.0.113.9, lip=198.51.100.10, TLS, session=<aaaa>, method=PLAIN",
        "rip=203.0.113.9",
        "x): user=<y>, rip=203.0.113.9, lip=198.51.100.10, session=<a>",
        "(auth failed, 99 attempts in 2 secs): user=<y",
    ],
)
def test_a_user_name_that_looks_like_the_line_names_nobody_else(typed: str) -> None:
    event = failed(f"{THREE}user=<{typed}>, method=PLAIN, {TAIL}")
    assert (event.client.ip, event.username, event.envelope.weight) == ("192.0.2.7", typed, 3)


def test_a_line_that_may_have_lost_its_true_tail_accuses_nobody() -> None:
    typed = "x" * 990 + ">, method=PLAIN, rip=203.0.113.9, lip=198.51.100.10"
    assert failed(f"{THREE}user=<{typed}").client.ip is None
    assert failed(f"{THREE}user=<{'x' * 700}>, method=PLAIN, {TAIL}").client.ip == "192.0.2.7"


@pytest.mark.parametrize(
    "body",
    [
        f"imap-login: Login: user=<carol>, method=PLAIN, {TAIL}",
        f"imap-login: Disconnected (no auth attempts in 0 secs): user=<>, {TAIL}",
        f"imap-login: Disconnected (disconnected before auth was ready, waited 0 secs): user=<>, {TAIL}",
        f"imap-login: Disconnected (auth service reported temporary failure): user=<carol>, {TAIL}",
        f"imap-login: Disconnected (internal failure, 1 successful auths): user=<carol>, method=PLAIN, {TAIL}",
        f"imap-login: Disconnected (auth failed, 0 attempts in 2 secs): user=<carol>, {TAIL}",
        f"imap-login: Login: user=<x (auth failed, 3 attempts in 2 secs): user=<y>, method=PLAIN, {TAIL}",
        f"imap(carol): Disconnected (auth failed, 3 attempts in 2 secs): user=<y>, method=PLAIN, {TAIL}",
        f"imap-login: Disconnected (no auth attempts in 0 secs): user=<(auth failed, 3 attempts in 2 secs): "
        f"user=<y>, {TAIL}",
        "imap-login: Disconnected (auth failed, 3 attempts in 2 secs): user=<carol>, method=PLAIN",
        "imap-login: Disconnected (auth failed, 3 attempts in 2 secs): user=<carol>, rip=unknown, lip=192.0.2.1",
        "master: Warning: Killed with signal 15",
        "auth: Error: auth client 0 disconnected with 1 pending requests: EOF",
    ],
)
def test_what_is_no_failed_login_is_not_read_as_one(body: str) -> None:
    assert said(body) is None


@pytest.mark.parametrize(
    ("body", "part_of", "reason"),
    [
        ("auth: passwd-file(carol@example.org,192.0.2.7,<kaD08tpgT4VkV00r>): Password mismatch",
         "dovecot_auth_failed", "Password mismatch"),
        ("auth-worker(4321): sql(carol,192.0.2.7,<kaD08tpgT4VkV00r>): unknown user", "dovecot_auth_failed",
         "unknown user"),
        ("auth-worker(4321): conn unix:auth-worker (pid=1,uid=97): auth-worker<5>: pam(carol,192.0.2.7,<a>): "
         "pam_authenticate() failed: Authentication failure (Password mismatch?)", "dovecot_auth_failed",
         "pam_authenticate() failed"),
        ("auth(carol,192.0.2.7,sasl:plain)<kaD08tpgT4VkV00r>: passwd-file: Password mismatch",
         "dovecot_auth_failed", "Password mismatch"),
        ("auth: passwd-file(carol,192.0.2.7): Password mismatch", "auth_failed", "Password mismatch"),
        ("auth(carol,192.0.2.7,sasl:login): passwd-file: unknown user", "auth_failed", "unknown user"),
        ("auth(?,192.0.2.7,sasl:plain): Empty username", "auth_failed", "Empty username"),
        ("auth(?,192.0.2.7,sasl:plain): sasl(plain): invalid input", "auth_failed", "invalid input"),
        ("auth: plain(?,192.0.2.7): Username character disallowed by auth_username_chars: 0x20 (username: x y)",
         "auth_failed", "Username character disallowed by auth_username_chars"),
    ],
)  # fmt: skip
def test_the_lines_of_auth_belong_to_the_failure_that_is_counted_elsewhere(
    body: str, part_of: str, reason: str
) -> None:
    event = said(body)
    assert isinstance(event, AuthDetail)
    assert (event.envelope.part_of, event.reason) == (part_of, reason)


def test_a_password_that_dovecot_logs_goes_nowhere() -> None:
    event = said("auth: sql(carol,192.0.2.7,<a>): Password mismatch (given password: hunter2)")
    assert isinstance(event, AuthDetail)
    assert "hunter2" not in event.reason


@pytest.mark.parametrize(
    "shape",
    [
        THREE + "user=<" + ">, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1" * 1_300,
        THREE + "user=<" + ">, rip=" * 9_000,
        "imap-login: Disconnected: " + "(" * 60_000,
        "auth: sql(" + "x,<a>): " * 8_000,
        "auth(" + "x,1,sasl:a): " * 5_000,
    ],
    ids=["tails", "beginnings", "parentheses", "sessions", "mechanisms"],
)
def test_a_long_hostile_line_does_not_hold_up_the_others(shape: str) -> None:
    begin = time.process_time()
    said(shape)
    assert time.process_time() - begin < 0.25
