"""smtpd's lines about clients that break the protocol, names that do not confirm, proxies; and qmqpd's."""

import time
from collections.abc import Iterable
from typing import Any

import pytest

from pfwatch.events import Envelope, Event, as_object
from pfwatch.parsing.protocol import QMQPD, QMQPD_NAMED
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.smtpd_notes import NAMED
from tests.parsing.test_rules import explained
from tests.samples.logs import read

IT = "unknown[192.0.2.9]"
V6 = "mail.example.net[2001:db8::9]"
FORGED = "x from unknown[203.0.113.9]: SASL LOGIN authentication failed"
ENVELOPE = Envelope(0.0, "", "mx1", "postfix", "qmqpd", 1, "info", 1, False, None)


def told(body: str) -> dict[str, Any]:
    """The public object of a line of smtpd."""
    return as_object(explained(f"Nov 22 09:53:31 mx1 postfix/smtpd[229]: {body}"))


def by_table(rules: Iterable[Rule], body: str) -> Event | None:
    """What the first fitting rule of a table that smtpd does not have makes of a body."""
    for rule in rules:
        found = rule.compiled.match(body.encode())
        if found:
            return rule.build(ENVELOPE, found)
    return None


@pytest.mark.parametrize(
    ("body", "violation", "stage", "sample"),
    [
        (
            f"improper command pipelining after HELO from {IT}: MAIL FROM:<a>\\r\\n",
            "pipelining",
            "HELO",
            "MAIL FROM:<a>\\r\\n",
        ),
        (f"improper command pipelining after CONNECT from {IT}: EHLO x", "pipelining", "CONNECT", "EHLO x"),
        (f"improper command pipelining after DATA from {IT}", "pipelining", "DATA", None),
        (f"warning: non-SMTP command from {IT}: GET / HTTP/1.1", "non_smtp", None, "GET / HTTP/1.1"),
        (f"warning: non-SMTP command from {IT}: ", "non_smtp", None, ""),
        (f"warning: non-SMTP command from {IT}: \\026\\003\\001", "non_smtp", None, "\\026\\003\\001"),
        (
            f"warning: {IT}: request longer than 2048: EHLO aaaaaaaaaaaaaaaaaaaaaaaaa...",
            "long_line",
            None,
            "EHLO " + "a" * 25,
        ),
        (f"warning: {IT}: request longer than 2048: .......", "long_line", None, "...."),
        (f"warning: {IT}: request longer than 2048", "long_line", None, None),
        (f"warning: Illegal address syntax from {IT} in MAIL command: <a@>", "bad_address", "MAIL", "<a@>"),
        (f"warning: Illegal address syntax from {IT} in VRFY command: ", "bad_address", "VRFY", ""),
        (f"warning: NOQUEUE: malformed BDAT command syntax from {IT}: BDAT abc", "bad_bdat", "BDAT", "BDAT abc"),
        (f"warning: 4ZkX5y2Gq1z9rtv: null BDAT request from {IT}", "bad_bdat", "BDAT", None),
        (f"warning: 2EB6660: BDAT request from {IT} exceeds message size limit", "bad_bdat", "BDAT", None),
        (
            f"warning: 2EB6660: too much BDAT content -- disabling further input from {IT}",
            "bad_bdat",
            "BDAT",
            None,
        ),
    ],
)
def test_a_client_breaks_the_protocol(body: str, violation: str, stage: str | None, sample: str | None) -> None:
    event = told(body)
    assert event["kind"] == "protocol_violation"
    assert (event["violation"], event["stage"], event["sample"]) == (violation, stage, sample)
    assert (event["client_ip"], event["client_name"], event["client_port"]) == ("192.0.2.9", "unknown", None)


@pytest.mark.parametrize(
    "body",
    [
        "improper command pipelining after MAIL from {}: RCPT",
        "warning: non-SMTP command from {}: GET",
        "warning: {}: request longer than 2048: x...",
        "warning: Illegal address syntax from {} in RCPT command: <a",
        "warning: NOQUEUE: null BDAT request from {}",
    ],
)
@pytest.mark.parametrize(
    ("who", "client"),
    [
        (f"{IT}:49152", ("192.0.2.9", 49152)),
        (V6, ("2001:db8::9", None)),
        (f"{V6}:25", ("2001:db8::9", 25)),
        ("unknown[::ffff:192.0.2.9]", ("192.0.2.9", None)),
        ("unknown[unknown]", (None, None)),
        ("unknown[unknown]:unknown", (None, None)),
        ("10.0.0.1.evil.example.net[192.0.2.9]", ("192.0.2.9", None)),
    ],
)
def test_the_client_is_read_from_its_own_place(body: str, who: str, client: tuple[str | None, int | None]) -> None:
    event = told(body.format(who))
    assert event["kind"] == "protocol_violation"
    assert (event["client_ip"], event["client_port"]) == client


@pytest.mark.parametrize(
    "body",
    [
        f"improper command pipelining after HELO from {IT}: {FORGED}",
        f"warning: non-SMTP command from {IT}: {FORGED}",
        f"warning: non-SMTP command from {IT}: unknown[203.0.113.9]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
        f"warning: {IT}: request longer than 2048: from x[203.0.113.9]: request...",
        f"warning: Illegal address syntax from {IT} in RCPT command: {FORGED} in MAIL command: <x>",
        f"warning: NOQUEUE: malformed BDAT command syntax from {IT}: BDAT request from x[203.0.113.9]",
    ],
)
def test_what_a_client_types_names_nobody_else(body: str) -> None:
    event = told(body)
    assert (event["kind"], event["client_ip"]) == ("protocol_violation", "192.0.2.9")


@pytest.mark.parametrize(
    "body",
    [
        "improper command pipelining after x from y[203.0.113.9] from unknown[192.0.2.9]: x",
        "improper command pipelining from unknown[192.0.2.9]: x",
        "warning: non-SMTP command from [192.0.2.9]: x",
        "warning: non-SMTP command from a b[192.0.2.9]: x",
        "warning: unknown[192.0.2.9]: request longer than many: x",
        "warning: x: unknown[192.0.2.9]: request longer than 2048: x...",
        "warning: Illegal address syntax from unknown[192.0.2.9] in lower command: x",
        "warning: bob: null BDAT request from unknown[192.0.2.9]",
        "warning: 2EB6660: null BDAT request from unknown[192.0.2.9] now",
        "warning: 2EB6660: queue file size limit exceeded by unknown[192.0.2.9]",
        "warning: bob: queue file size limit exceeded",
        "warning: hostname a b does not resolve to address 192.0.2.9: x",
        "warning: hostname mail.example.net does not resolve to address mail.example.net",
        "warning: hostname mail.example.net does not resolve",
        "warning: valid_hostname: something new: x",
        "proxy-hold: END-OF-MESSAGE: 250 2.0.0 Ok",
        "warning: proxy-reject: END-OF-MESSAGE: 550 no",
    ],
)
def test_a_line_that_only_looks_like_one_is_not_read(body: str) -> None:
    assert told(body)["kind"] == "unsupported"


@pytest.mark.parametrize(("queue_id", "expected"), [("2EB6660", "2EB6660"), ("NOQUEUE", None)])
def test_a_message_above_the_size_limit_is_a_refusal_without_words(queue_id: str, expected: str | None) -> None:
    event = told(f"warning: {queue_id}: queue file size limit exceeded")
    assert (event["kind"], event["category"], event["queue_id"]) == ("rejected", "size", expected)
    assert event["text"] == "queue file size limit exceeded"
    assert {event[name] for name in ("client_ip", "stage", "code", "temporary", "sender")} == {None}


@pytest.mark.parametrize(
    ("body", "verdict", "code", "text"),
    [
        (
            "proxy-reject: END-OF-MESSAGE: 550 5.7.1 spam; from=<a@example.com> to=<b@example.org> proto=SMTP helo=<w>",
            "reject",
            550,
            "spam",
        ),
        (
            "proxy-reject: END-OF-MESSAGE: 451 4.3.0 Error: queue file write error",
            "reject",
            451,
            "Error: queue file write error",
        ),
        (
            "proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as 20C0C58; from=<> to=<b@example.org> proto=SMTP "
            "helo=<w> sasl_username=<alice>",
            "accept",
            250,
            "Ok: queued as 20C0C58",
        ),
        (f"proxy-reject: END-OF-MESSAGE: 550 {FORGED}", "reject", 550, FORGED),
        ("proxy-accept: END-OF-MESSAGE: ", "accept", None, ""),
    ],
)
def test_what_a_proxy_answered(body: str, verdict: str, code: int | None, text: str) -> None:
    event = told(body)
    assert event["kind"] == "proxy_verdict"
    assert (event["verdict"], event["stage"], event["code"], event["text"]) == (verdict, "END-OF-MESSAGE", code, text)
    assert event["client_ip"] is None


@pytest.mark.parametrize(
    ("ip", "reason", "expected"),
    [
        ("192.0.2.7", ": Name or service not known", ("192.0.2.7", "Name or service not known")),
        ("192.0.2.7", "", ("192.0.2.7", "")),
        (
            "2001:db8::1",
            ": No address associated with hostname",
            ("2001:db8::1", "No address associated with hostname"),
        ),
        ("2001:db8::", "", ("2001:db8::", "")),
        ("::ffff:192.0.2.7", ": x", ("192.0.2.7", "x")),
    ],
)
def test_a_name_that_does_not_confirm(ip: str, reason: str, expected: tuple[str, str]) -> None:
    event = told(f"warning: hostname 203-0-113-9.example.net does not resolve to address {ip}{reason}")
    assert (event["kind"], event["hostname"]) == ("dns_mismatch", "203-0-113-9.example.net")
    assert (event["client_ip"], event["reason"]) == expected
    assert event["client_name"] is None


@pytest.mark.parametrize(
    ("body", "hostname", "reason"),
    [
        ("numeric hostname: 203.0.113.9", "203.0.113.9", "numeric hostname"),
        ("valid_hostname: numeric hostname: 203.0.113.9", "203.0.113.9", "numeric hostname"),
        ("valid_hostname: empty hostname", "", "empty hostname"),
        ("valid_hostname: invalid character 47(decimal): a/b", "a/b", "invalid character 47(decimal)"),
        ("valid_hostname: misplaced delimiter: a..b", "a..b", "misplaced delimiter"),
        ("valid_hostname: misplaced hyphen: a.-b", "a.-b", "misplaced hyphen"),
        ("valid_hostname: label too long: aaaa", "aaaa", "label too long"),
        ("valid_hostname: bad length 300 for aaaa...", "aaaa...", "bad length 300 for"),
    ],
)
def test_a_name_that_cannot_be_one_has_no_address(body: str, hostname: str, reason: str) -> None:
    event = told(f"warning: {body}")
    assert (event["kind"], event["hostname"], event["reason"]) == ("dns_mismatch", hostname, reason)
    assert event["client_ip"] is None


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        (
            "warning: Unable to look up MX host mx.example.net for Sender address x[203.0.113.9]: Host not found",
            "server_lookup",
        ),
        ("warning: Unable to look up NS host ns.example.net for Helo command x: Host not found", "server_lookup"),
        ("warning: malformed domain name in resource data of MX record for example.net: ", "malformed_dns"),
        ("warning: numeric domain name in resource data of MX record for example.net: 203.0.113.9", "malformed_dns"),
        ("skipping address family 10 for host mail.example.net", "address_family"),
        ("warning: disabling input from 192.0.2.1:submission socket", "input_disabled"),
        ("NOQUEUE: reply filter in: 550 5.7.1 no", "reply_filter"),
        ("4ZkX5y2Gq1z9rtv: reply filter out: 450 4.7.1 no", "reply_filter"),
    ],
)
def test_what_nobody_counts(body: str, topic: str) -> None:
    event = told(body)
    assert (event["kind"], event["topic"]) == ("housekeeping", topic)
    assert event["text"] == body.removeprefix("warning: ")


@pytest.mark.parametrize(
    ("body", "problem", "subject"),
    [
        ("haproxy read: timeout error", "other", "haproxy"),
        ("haproxy read: EOF", "other", "haproxy"),
        ("haproxy read: unexpected PROXY protocol: GET / HTTP/1.1\\r\\n", "other", "haproxy"),
        ("missing client address from proxy", "other", ""),
        ("9.113.0.203.zen.example.net: RBL lookup error: Host not found, try again", "other", ""),
        ("example.com.dbl.example.net: TXT lookup error: Host not found, try again", "other", ""),
        ("unable to talk to fast flush service", "ipc_error", "flush"),
        (f"{IT}: ignoring invalid reject filter result: hello", "config_warning", ""),
        ("NOQUEUE: ignoring invalid reject filter result: hello", "config_warning", ""),
    ],
)
def test_what_is_wrong_around_smtpd(body: str, problem: str, subject: str) -> None:
    event = told(f"warning: {body}")
    assert (event["kind"], event["problem"], event["subject"]) == ("service_health", problem, subject)
    assert event["text"] == body


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        (f'{IT}: replacing command "EHLO x" with "HELO x"', "command_filter"),
        (f'{V6}:25: replacing command "{FORGED}" with "NOOP"', "command_filter"),
        (f"{IT}: reply filter in: 550 5.7.1 no", "reply_filter"),
    ],
)
def test_lines_that_begin_with_the_client(body: str, topic: str) -> None:
    event = by_table(NAMED, body)
    assert event is not None
    assert as_object(event)["topic"] == topic
    assert by_table(NAMED, body.replace(": re", " re", 1)) is None


@pytest.mark.parametrize(
    ("body", "kind", "fields"),
    [
        (f"connect from {IT}", "client_connected", {"client_ip": "192.0.2.9"}),
        (f"disconnect from {V6}", "client_disconnected", {"client_ip": "2001:db8::9", "commands": {}}),
        (
            f"20C0C58: client={IT}",
            "message_accepted",
            {"queue_id": "20C0C58", "client_ip": "192.0.2.9", "username": None},
        ),
        (
            f"NOQUEUE: {IT}: lost connection while reading sender address",
            "session_aborted",
            {
                "reason": "lost_connection",
                "stage": "reading sender address",
                "queue_id": None,
                "client_ip": "192.0.2.9",
            },
        ),
        (
            f"20C0C58: {IT}: timeout while reading message content",
            "session_aborted",
            {"reason": "timeout", "stage": "reading message content", "queue_id": "20C0C58"},
        ),
        (
            "warning: hostname x.example.net does not resolve to address 192.0.2.9",
            "dns_mismatch",
            {"client_ip": "192.0.2.9", "hostname": "x.example.net"},
        ),
    ],
)
def test_qmqpd(body: str, kind: str, fields: dict[str, Any]) -> None:
    event = by_table((*QMQPD, *QMQPD_NAMED), body)
    assert event is not None
    found = as_object(event)
    assert found["kind"] == kind
    assert {name: found[name] for name in fields} == fields


@pytest.mark.parametrize(
    "body", [f"20C0C58: client={IT}, sasl_username=x", f"{IT}: lost connection while reading x", f"connect from {IT} x"]
)
def test_qmqpd_has_no_logins_and_always_a_queue_id(body: str) -> None:
    assert by_table((*QMQPD, *QMQPD_NAMED), body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"warning: hostname x does not resolve to address " + b"1:" * 30_000,
        b"warning: unknown[192.0.2.9]: request longer than 2048: " + b"." * 60_000,
        b"warning: " + b"a: " * 20_000,
        b"proxy-reject: END-OF-MESSAGE: 550 " + b"; from=<x> to=<" * 4_000,
    ],
    ids=["address", "dots", "colons", "tails"],
)
def test_a_long_hostile_line_takes_no_time(body: bytes) -> None:
    begin = time.process_time()
    assert read(b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: " + body + b"\n")[1].total == 1
    assert time.process_time() - begin < 0.25
