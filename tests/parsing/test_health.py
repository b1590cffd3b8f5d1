"""What Postfix says of its own state: each wording, what it is about, and what only looks like it."""

import time
from datetime import UTC
from typing import Any

import pytest

from pfwatch.events import PROBLEMS, Event, as_object
from pfwatch.parsing.grammar import every_rule
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from tests.samples.logs import REFERENCE

HEAD = "Nov 22 10:00:00 mx1 postfix/"


def explained(daemon: str, body: str) -> dict[str, Any]:
    """The public object of one line, as soon as it is read."""

    class Told(Sessions):
        def told(self, event: Event, process: tuple[bytes, bytes, bytes]) -> Event:  # noqa: ARG002 - the listener's form
            lines.append(event)
            return event

    lines: list[Event] = []
    Scanner(Told(), TimeReader(UTC), every_event=True).scan(f"{HEAD}{daemon}[301]: {body}\n".encode(), REFERENCE)
    assert len(lines) == 1
    return as_object(lines[0])


HEALTH = [
    # tables: the subject is the table, never the key that a client typed
    (
        "smtpd",
        'warning: hash:/etc/postfix/access lookup error for "a@example.org"',
        "map_error",
        "hash:/etc/postfix/access",
    ),
    ("smtpd", "warning: hash:/etc/postfix/access lookup error", "map_error", "hash:/etc/postfix/access"),
    (
        "cleanup",
        'warning: proxy:mysql:/etc/postfix/v.cf lookup error for "x lookup error for "y""',
        "map_error",
        "proxy:mysql:/etc/postfix/v.cf",
    ),
    (
        "smtpd",
        'warning: unionmap:{hash:/etc/a, hash:/etc/b} lookup error for "a} lookup error for "',
        "map_error",
        "unionmap:{hash:/etc/a, hash:/etc/b}",
    ),
    (
        "smtpd",
        "warning: lmdb:/etc/x is unavailable. open database /etc/x.lmdb: No such file or directory",
        "map_error",
        "lmdb:/etc/x",
    ),
    (
        "trivial-rewrite",
        "warning: virtual_mailbox_domains: proxy:mysql:/etc/v.cf: table lookup problem",
        "map_error",
        "proxy:mysql:/etc/v.cf",
    ),
    ("smtpd", "warning: cidr:/etc/postfix/clients: table lookup problem", "map_error", "cidr:/etc/postfix/clients"),
    (
        "smtpd",
        "warning: mysql:/etc/u.cf: query failed (mysql_store_result): Lost connection",
        "map_error",
        "mysql:/etc/u.cf",
    ),
    ("smtpd", "warning: mysql query failed: Server shutdown in progress", "map_error", ""),
    ("smtpd", "warning: connect to pgsql server 127.0.0.1:5432: could not connect", "map_error", "127.0.0.1:5432"),
    (
        "smtpd",
        "warning: dict_ldap_connect: Unable to bind to server ldap://ldap.example.org with dn cn=x: -1 (no)",
        "map_error",
        "ldap://ldap.example.org",
    ),
    ("smtpd", "warning: dict_ldap_get_values[1]: search error 4: Size limit exceeded ", "map_error", ""),
    (
        "smtpd",
        "error: open database /etc/postfix/access.db: No such file or directory",
        "map_error",
        "/etc/postfix/access.db",
    ),
    ("smtpd", "error: unsupported dictionary type: mysql", "map_error", "mysql"),
    ("smtpd", "warning: database /etc/a.db is older than source file /etc/a", "map_error", "/etc/a.db"),
    # Postfix's own services
    ("smtpd", "warning: problem talking to server private/tlsmgr: Connection refused", "ipc_error", "private/tlsmgr"),
    ("smtpd", "warning: problem talking to server private/anvil: Connection timed out", "ipc_error", "private/anvil"),
    ("smtp", "warning: problem talking to server private/tlsmgr: Connection refused", "ipc_error", "private/tlsmgr"),
    ("smtpd", "warning: problem talking to service rewrite: Success", "ipc_error", "rewrite"),
    ("smtpd", "warning: connect #1 to subsystem public/cleanup: Connection refused", "ipc_error", "public/cleanup"),
    (
        "smtpd",
        "warning: premature end-of-input on private/anvil socket while reading input attribute name",
        "ipc_error",
        "private/anvil",
    ),
    ("qmgr", "warning: timeout on private/smtp while reading input attribute name", "ipc_error", "private/smtp"),
    (
        "smtpd",
        "warning: unexpected attribute flags from private/rewrite socket (expecting: transport)",
        "ipc_error",
        "private/rewrite",
    ),
    ("smtpd", "warning: private/proxymap socket: service dict_proxy_open: Success", "ipc_error", "private/proxymap"),
    ("qmgr", "warning: connect to transport private/smtp: No such file or directory", "ipc_error", "private/smtp"),
    (
        "qmgr",
        "warning: transport smtp failure -- see a previous warning/fatal/panic logfile record for the problem",
        "ipc_error",
        "smtp",
    ),
    ("qmgr", "warning: private/smtp socket: malformed response", "ipc_error", "private/smtp"),
    # policy servers: whatever smtpd asks that is no service of Postfix's own
    ("smtpd", "warning: problem talking to server 127.0.0.1:9998: Connection refused", "policy_down", "127.0.0.1:9998"),
    (
        "smtpd",
        "warning: problem talking to server inet:[::1]:9998: Connection refused",
        "policy_down",
        "inet:[::1]:9998",
    ),
    ("smtpd", "warning: problem talking to server private/policy-spf: Success", "policy_down", "private/policy-spf"),
    (
        "smtpd",
        "warning: problem talking to server unix:/run/postgrey/socket: Success",
        "policy_down",
        "unix:/run/postgrey/socket",
    ),
    (
        "smtpd",
        "warning: timeout on 127.0.0.1:10023 while reading input attribute name",
        "policy_down",
        "127.0.0.1:10023",
    ),
    # filters
    (
        "smtpd",
        "warning: connect to Milter service inet:127.0.0.1:9: Connection refused",
        "milter_down",
        "inet:127.0.0.1:9",
    ),
    (
        "cleanup",
        "warning: milter unix:/run/opendkim.sock: can't read SMFIC_EOB reply packet header: Success",
        "milter_down",
        "unix:/run/opendkim.sock",
    ),
    (
        "smtpd",
        "warning: milter inet:127.0.0.1:9: unreasonable packet length: 5000000 > 2000000",
        "milter_down",
        "inet:127.0.0.1:9",
    ),
    ("smtpd", "warning: milter inet:127.0.0.1:9: read error in initial handshake", "milter_down", "inet:127.0.0.1:9"),
    ("smtpd", "warning: connect to proxy filter 127.0.0.1:10025: Connection refused", "proxy_down", "127.0.0.1:10025"),
    ("smtpd", "warning: lost connection with proxy 127.0.0.1:10025", "proxy_down", "127.0.0.1:10025"),
    ("smtpd", "warning: timeout talking to proxy 127.0.0.1:10025", "proxy_down", "127.0.0.1:10025"),
    (
        "smtpd",
        'warning: proxy 127.0.0.1:10025 rejected "EHLO mx1.example.org": "421 No"',
        "proxy_down",
        "127.0.0.1:10025",
    ),
    (
        "smtpd",
        'warning: proxy 127.0.0.1:10025 rejected "MAIL FROM:<a@example.com>": "550 No"',
        "other",
        "127.0.0.1:10025",
    ),
    # the queue and the disk
    (
        "cleanup",
        "warning: mail_queue_enter: create file incoming/1.2: No space left on device",
        "disk_full",
        "incoming",
    ),
    ("postdrop", "warning: mail_queue_enter: create file maildrop/1.2: Permission denied", "queue_write", "maildrop"),
    ("cleanup", "warning: 20C0C58: write queue file: No space left on device", "disk_full", ""),
    ("cleanup", "warning: 20C0C58: write queue file: Input/output error", "queue_write", ""),
    (
        "smtpd",
        "warning: not enough free space in mail queue: 1 bytes < 1.5*message size limit",
        "disk_full",
        "mail queue",
    ),
    ("bounce", "fatal: write file defer 20C0C58: Disk quota exceeded", "disk_full", ""),
    ("qmgr", 'warning: saving corrupt file "20C0C58" from queue "active" to queue "corrupt"', "other", "20C0C58"),
    ("qmgr", "warning: mail for example.net is using up 4001 of 5000 active queue entries", "other", "active queue"),
    ("cleanup", "warning: file system clock is 9 seconds behind local clock", "other", "file system clock"),
    # settings
    (
        "smtpd",
        "warning: /etc/postfix/main.cf, line 12: overriding earlier entry: a=b",
        "config_warning",
        "/etc/postfix/main.cf",
    ),
    (
        "smtpd",
        'warning: cidr map /etc/clients, line 3: non-null host address bits in "192.0.2.1/24": skipping this rule',
        "config_warning",
        "/etc/clients",
    ),
    ("smtpd", 'warning: unknown smtpd restriction: "reject_all"', "config_warning", "reject_all"),
    (
        "smtpd",
        'warning: access table hash:/etc/a entry "typed" has FILTER entry without value',
        "config_warning",
        "hash:/etc/a",
    ),
    (
        "smtpd",
        'warning: support for restriction "permit_naked_ip_address" has been removed in Postfix 3.9; instead, x',
        "config_warning",
        "permit_naked_ip_address",
    ),
    (
        "smtpd",
        "using backwards-compatible default setting smtputf8_enable=no to accept non-ASCII sender address "
        '"x" from unknown[203.0.113.9]',
        "compatibility",
        "smtputf8_enable",
    ),
    (
        "smtpd",
        'using backwards-compatible default setting "smtpd_relay_restrictions = (empty)" to avoid "Relay access '
        'denied" error for recipient "x" from client "unknown[203.0.113.9]"',
        "compatibility",
        "smtpd_relay_restrictions",
    ),
    # the end of a process
    ("smtpd", "fatal: open database /etc/a.db: No such file or directory", "fatal", "/etc/a.db"),
    ("master", "fatal: bind 0.0.0.0 port 25: Address already in use", "fatal", "0.0.0.0 port 25"),
    (
        "master",
        "fatal: open lock file /var/lib/postfix/master.lock: unable to set exclusive lock: Try again",
        "fatal",
        "/var/lib/postfix/master.lock",
    ),
    (
        "smtpd",
        "fatal: in parameter a_restrictions or b_restrictions, specify at least one of: reject",
        "fatal",
        "a_restrictions",
    ),
    ("qmgr", "fatal: watchdog timeout", "fatal", "watchdog"),
    ("smtpd", "fatal: mymalloc: insufficient memory for 65536 bytes: Cannot allocate memory", "fatal", "memory"),
    ("anvil", "fatal: something that no release has said so far", "fatal", ""),
    ("smtpd", "panic: vstring_ctl: bad", "panic", ""),
]


@pytest.mark.parametrize(("daemon", "body", "problem", "subject"), HEALTH, ids=[row[1][:70] for row in HEALTH])
def test_a_line_about_the_service_says_what_is_wrong_with_what(
    daemon: str, body: str, problem: str, subject: str
) -> None:
    told = explained(daemon, body)
    assert (told["kind"], told["problem"], told["subject"]) == ("service_health", problem, subject)
    assert told["part_of"] is None
    text = body.split(": ", 1)[1] if told["severity"] != "info" else body
    assert told["text"] == text[:256]


PARTS = [
    ("smtpd", "warning: connect to 127.0.0.1:9998: Connection refused", "policy_down"),
    ("smtpd", "warning: connect to private/tlsmgr: Connection refused", "ipc_error"),
    ("smtp", "warning: connect to private/tlsmgr: Connection refused", "ipc_error"),
    ("qmgr", "warning: this may slow down other mail deliveries", "other"),
    ("qmgr", "warning: you may need to increase the main.cf smtp_destination_concurrency_limit from 20", "other"),
    ("qmgr", "warning: to turn off these warnings specify: qmgr_clog_warn_time = 0", "other"),
    ("smtpd", "warning: see https://www.postfix.org/DEPRECATION_README.html for details", "config_warning"),
]


@pytest.mark.parametrize(("daemon", "body", "problem"), PARTS, ids=[row[1][:70] for row in PARTS])
def test_a_line_that_always_goes_with_another_is_its_part(daemon: str, body: str, problem: str) -> None:
    told = explained(daemon, body)
    assert (told["kind"], told["problem"], told["part_of"]) == ("service_health", problem, "service_health")


def test_a_connect_without_a_second_line_is_an_event_of_its_own() -> None:
    told = explained("local", "warning: connect to private/bounce: Connection refused")
    assert (told["problem"], told["subject"], told["part_of"]) == ("ipc_error", "private/bounce", None)


@pytest.mark.parametrize(
    ("body", "part_of"),
    [
        ("fatal: SASL per-process initialization failed", None),
        ("fatal: SASL per-connection initialization failed", None),
        ("warning: SASL per-process initialization failed: generic failure", "auth_backend_failed"),
        ("warning: xsasl_cyrus_server_get_mechanism_list: no applicable SASL mechanisms", "auth_backend_failed"),
    ],
)
def test_cyrus_that_does_not_start_is_our_own_backend_once(body: str, part_of: str | None) -> None:
    told = explained("smtpd", body)
    assert (told["kind"], told["backend"], told["client_ip"], told["part_of"]) == (
        "auth_backend_failed", "cyrus", None, part_of,
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "table hash:/etc/postfix/access(0,lock|fold_fix) has changed -- restarting",
        "database lmdb:/etc/postfix/access.lmdb: using size limit 33554432 during open",
    ],
)
def test_what_needs_nobody_is_housekeeping(body: str) -> None:
    assert explained("smtpd", body)["kind"] == "housekeeping"


NOT_HEALTH = [
    ("smtpd", "warning: something that no rule names"),
    ("smtpd", "error: something that no rule names"),
    ("smtpd", "warning: No space left on device"),
    ("smtpd", "warning: x: No space left on device"),
    # what a client types stands behind what Postfix says, and makes nothing of it
    ("smtpd", 'warning: non-SMTP command from unknown[192.0.2.9]: fatal: hash:/etc/a lookup error for "x"'),
    ("smtpd", 'warning: unknown[192.0.2.9]: hash:/etc/a lookup error for "x"'),
    ("smtpd", "warning: unknown[192.0.2.9]: SASL connect to Milter service x: Refused authentication failed: no"),
    ("smtpd", "warning: Illegal address syntax from unknown[192.0.2.9] in RCPT command: <panic: watchdog timeout>"),
    (
        "smtpd",
        "NOQUEUE: reject: RCPT from unknown[192.0.2.9]: 554 5.7.1 <x>: fatal: watchdog timeout; from=<a@example.com>",
    ),
    ("cleanup", "20C0C58: message-id=<fatal: watchdog timeout>"),
    ("cleanup", "20C0C58: warning: header Subject: connect to Milter service x: Refused from unknown[192.0.2.9]; x"),
    # a queue id in front is not a severity
    ("smtpd", "20C0C58: fatal: watchdog timeout"),
    ("smtpd", "NOQUEUE: panic: x"),
    # near misses
    ("smtpd", "warning: connect to "),
    ("smtpd", "warning: problem talking to server: Connection refused"),
    ("smtpd", "warning: milter inet:127.0.0.1:9: ignoring unknown macro type 9"),
    ("smtpd", "connect to Milter service inet:127.0.0.1:9999: Connection refused"),
    ("smtpd", "warning: fatal: x"),
    ("smtpd", "fatal error"),
    ("smtpd", "fatality: none"),
]


@pytest.mark.parametrize(("daemon", "body"), NOT_HEALTH, ids=[row[1][:70] for row in NOT_HEALTH])
def test_what_only_looks_like_trouble_is_none(daemon: str, body: str) -> None:
    assert explained(daemon, body)["kind"] not in {"service_health", "housekeeping", "auth_backend_failed"}


def test_an_address_in_a_text_is_never_a_subject() -> None:
    for body in (
        'warning: hash:/etc/a lookup error for "unknown[203.0.113.9]"',
        'using backwards-compatible default setting mynetworks_style=host to permit request from "h[203.0.113.9]"',
        "warning: table hash:/etc/a: key 203.0.113.9: x",
        "warning: mail for [203.0.113.9] is using up 4001 of 5000 active queue entries",
    ):
        told = explained("smtpd", body)
        assert told["kind"] == "service_health"
        assert "203.0.113.9" not in told["subject"]
        assert "client_ip" not in told


def test_the_subject_is_cut() -> None:
    told = explained("smtpd", f'warning: hash:/{"a" * 1900} lookup error for "x"')
    assert told["kind"] == "service_health"
    assert len(told["subject"]) == len(told["text"]) == 256


@pytest.mark.parametrize("daemon", ["smtpd", "smtp", "qmgr", "spawn", "postfix", "postfix-script", "nbdb_reindexd"])
def test_every_daemon_can_end_with_fatal_or_panic(daemon: str) -> None:
    assert explained(daemon, "fatal: x")["problem"] == "fatal"
    assert explained(daemon, "panic: x")["problem"] == "panic"


def test_every_problem_is_of_the_closed_list() -> None:
    told = [explained_rule(rule.example) for rule, _ in every_rule().values()]
    problems = {one["problem"] for one in told if one["kind"] == "service_health"}
    assert problems == set(PROBLEMS)


def explained_rule(example: str) -> dict[str, Any]:
    head, _, body = example.partition("]: ")
    return explained(head.partition(" mx1 ")[2].rpartition("[")[0].rpartition("/")[2] or "postfix", body)


@pytest.mark.parametrize(
    "body",
    [
        "warning: hash:/" + "a" * 60_000,
        "warning: inline:{" + "} " * 30_000,
        "warning: connect to " + "a:" * 30_000,
        "fatal: " + ": No space left on devic" * 2_500,
        "warning: dict_ldap_lookup: " + "a:b" * 20_000,
        "warning: mail for " + " is using up" * 5_000,
        "warning: problem talking to service " + " socket" * 8_000,
    ],
    ids=["table", "braces", "server", "full", "ldap", "queue", "socket"],
)
def test_a_long_hostile_line_does_not_hold_up_the_others(body: str) -> None:
    begin = time.process_time()
    explained("smtpd", body)
    assert time.process_time() - begin < 0.25
