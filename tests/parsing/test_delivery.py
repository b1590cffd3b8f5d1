"""The delivery line in all its forms, also where somebody typed its punctuation, or it was cut."""

import time
from typing import Any

import pytest

from pfwatch.events import as_object
from pfwatch.parsing import grammar
from pfwatch.parsing.agents import RULES as AGENTS
from tests.parsing.test_rules import explained

RELAY = "relay=mx.example.net[198.51.100.4]:25, delay=1.2, delays=0.1/0/0.9/0.2, dsn=2.0.0, status=sent (250 Ok)"


def told(body: str, daemon: str = "smtp") -> dict[str, Any]:
    """The public object of a body."""
    return as_object(explained(f"Nov 22 09:53:31 mx1 postfix/{daemon}[238]: {body}"))


def delivery(rest: str, daemon: str = "smtp") -> dict[str, Any]:
    event = told(f"20C0C58: to=<bob@example.net>, {rest}", daemon)
    assert event["kind"] == "delivery"
    return event


def failed(text: str, status: str = "deferred") -> Any:
    return delivery(f"relay=none, delay=1, delays=1/0/0/0, dsn=4.0.0, status={status} ({text})")["failure"]


def test_every_field_of_a_plain_delivery() -> None:
    event = delivery(f"orig_to=<postmaster>, {RELAY}")
    expected = {
        "queue_id": "20C0C58", "recipient": "bob@example.net", "orig_recipient": "postmaster",
        "relay_name": "mx.example.net", "relay_ip": "198.51.100.4", "relay_port": 25, "delay": 1.2,
        "delays": [0.1, 0.0, 0.9, 0.2], "enhanced_code": "2.0.0", "status": "sent", "failure": None, "tls": None,
        "text": "250 Ok",
    }  # fmt: skip
    assert {name: event[name] for name in expected} == expected


@pytest.mark.parametrize("daemon", ["smtp", "lmtp", "local", "virtual", "pipe", "error", "discard", "qmgr", "nqmgr"])
def test_every_agent_and_the_queue_manager_say_it_alike(daemon: str) -> None:
    event = delivery(
        "relay=none, delay=5, delays=4/1/0/0, dsn=4.3.0, status=deferred (mail transport unavailable)", daemon
    )
    assert (event["relay_name"], event["status"], event["failure"]) == (None, "deferred", "local")


@pytest.mark.parametrize(
    ("relay", "name", "ip", "port"),
    [
        ("mx.example.net[198.51.100.4]:25", "mx.example.net", "198.51.100.4", 25),
        ("2001:db8::4[2001:db8::4]:587", "2001:db8::4", "2001:db8::4", 587),
        ("mx1.example.org[private/dovecot-lmtp]", "mx1.example.org", None, None),
        ("local", "local", None, None),
        ("dovecot", "dovecot", None, None),
    ],
)
def test_the_relay(relay: str, name: str, ip: str | None, port: int | None) -> None:
    event = delivery(f"relay={relay}, conn_use=2, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (x)")
    assert (event["relay_name"], event["relay_ip"], event["relay_port"]) == (name, ip, port)


TLS = [
    "may", "may:none", "may?", "!encrypt", "!verify", "secure", "secure/requiretls", "secure/!requiretls:none",
    "may?/!requiretls:nocertmatch", "encrypt?/!requiretls:nocertmatch", "dane", "dane-only", "may:nostarttls",
]  # fmt: skip


@pytest.mark.parametrize("tls", TLS)
def test_the_tls_of_postfix_3_11(tls: str) -> None:
    rest = (
        f"relay=none, delay=0, delays=0/0/0/0, tls={tls}, dsn=4.7.5, status=deferred (Server certificate not trusted)"
    )
    event = delivery(rest)
    assert (event["tls"], event["failure"], event["enhanced_code"]) == (tls, "tls", "4.7.5")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("SOFTBOUNCE", "softbounce"),
        ("expanded", "expanded"),
        ("relayed", "relayed"),
        ("delivered", "delivered"),
        ("deliverable", "deliverable"),
        ("undeliverable", "undeliverable"),
        ("undeliverable-but-not-cached", "undeliverable"),
        ("teleported", "other"),
    ],
)
def test_the_status(word: str, status: str) -> None:
    event = delivery(f"relay=local, delay=0, delays=0/0/0/0, dsn=2.0.0, status={word} (aliased to carol)", "local")
    assert event["status"] == status


HOST = "mx.example.net[198.51.100.4]"
FAILURES = [
    (f"SASL authentication failed; server {HOST} said: 535 5.7.8 no", "auth"),
    (f"SASL [CACHED] authentication failed; server {HOST} said: 535 5.7.8 no", "auth"),
    ("Cannot start TLS: handshake failure", "tls"),
    (f"TLS is required, but was not offered by host {HOST}", "tls"),
    ("Server certificate not verified", "tls"),
    ("Server certificate not trusted", "tls"),
    ("TLSA lookup error for mx.example.net:25", "tls"),
    ("non DNSSEC destination", "tls"),
    ("client TLS configuration problem", "tls"),
    (f"Sender requested REQUIRETLS, but TLS service was not offered by host {HOST}", "tls"),
    (f"connect to {HOST}:25: Connection refused", "connection"),
    (f"lost connection with {HOST} while receiving the initial server greeting", "connection"),
    (f"conversation with {HOST} timed out while sending MAIL FROM", "connection"),
    ("Host or domain name not found. Name service error for name=example.net type=MX: Host not found", "dns"),
    ("Domain example.net does not accept mail (nullMX)", "dns"),
    ("unable to look up host mx.example.net: Name or service not known", "dns"),
    (f"host {HOST} said: 550 5.1.1 unknown (in reply to RCPT TO command)", "remote"),
    (f"host {HOST} refused to talk to me: 421 busy", "remote"),
    (f"Protocol error: host {HOST} said: 250 what (in reply to RCPT TO command)", "remote"),
    (f"message size 30000000 exceeds size limit 20480000 of server {HOST}", "remote"),
    ("mail for example.net loops back to myself", "local"),
    ('unknown user: "bob"', "local"),
    ('Command died with status 1: "x". Command output: host mx.example.net[198.51.100.4] said: 550', "local"),
]


@pytest.mark.parametrize(("text", "failure"), FAILURES)
def test_why_nothing_was_delivered(text: str, failure: str) -> None:
    assert failed(text) == failure
    assert failed(f"delivery temporarily suspended: {text}") == failure
    assert failed(text, "undeliverable") == failure
    assert failed(text, "sent") is None


def test_a_remote_servers_words_change_neither_status_nor_relay() -> None:
    text = "250 ok), relay=evil.example[203.0.113.9]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (x"
    event = delivery(
        f"relay={HOST}:25, delay=1, delays=1/0/0/0, dsn=5.1.1, status=bounced (host {HOST} said: 550 {text})"
    )
    assert (event["status"], event["relay_ip"], event["enhanced_code"]) == ("bounced", "198.51.100.4", "5.1.1")
    assert event["text"].endswith("status=sent (x")


FORGED = "x>, relay=evil.example[203.0.113.9]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (y"


def test_a_quoted_recipient_cannot_forge_the_rest_of_the_line() -> None:
    event = told(f'20C0C58: to=<"{FORGED}"@example.net>, orig_to=<"{FORGED}"@example.org>, {RELAY}')
    assert (event["kind"], event["relay_ip"], event["text"]) == ("delivery", "198.51.100.4", "250 Ok")
    assert event["orig_recipient"] == f'"{FORGED}"@example.org'


@pytest.mark.parametrize("recipient", ["a>b@example.net", 'a"b@example.net', "a, relay=b@example.net", '"a" b>c@x'])
def test_an_unquoted_recipient_of_an_old_release_is_read(recipient: str) -> None:
    event = told(f"20C0C58: to=<{recipient}>, orig_to=<{recipient}>, {RELAY}")
    assert (event["kind"], event["recipient"], event["orig_recipient"]) == ("delivery", recipient, recipient)
    assert event["relay_ip"] == "198.51.100.4"


def test_a_text_that_was_cut_is_read_as_far_as_it_goes() -> None:
    event = delivery(f"{RELAY[:-4]} ".ljust(2000, "x"))
    assert (event["status"], event["truncated"]) == ("sent", True)


@pytest.mark.parametrize("more", ["", "@example.net>, relay=mx.example.net[198.51.100.4]:25, delay=1, dela"])
def test_a_line_that_was_cut_before_its_status_is_a_delivery_of_unknown_status(more: str) -> None:
    event = told(f"20C0C58: to=<{more.rjust(1987, 'b')}")
    assert (event["kind"], event["status"], event["failure"], event["delays"]) == ("delivery", "other", None, [])
    assert event["truncated"]


@pytest.mark.parametrize(
    "body",
    [
        "20C0C58: to=<bob@example.net>, relay=none, delay=1",
        "20C0C58: to=<bob@example.net>, relay=none, delay=1.2.3, delays=0/0/0/0, dsn=2.0.0, status=sent (x)",
        "20C0C58: to=<bob@example.net>, relay=none, delay=1, delays=0/0/0, dsn=2.0.0, status=sent (x)",
        "20C0C58: to=<bob@example.net>, relay=a b, delay=1, delays=0/0/0/0, dsn=2.0.0, status=sent (x)",
        f"20C0C58: to=<b@example.net>, relay=a[192.0.2.1]:{'9' * 5000}, delay=1, delays=0/0/0/0, dsn=2.0.0, status=x (",
        "to=<bob@example.net>, relay=none, delay=1, delays=0/0/0/0, dsn=2.0.0, status=sent (x)",
    ],
)
def test_what_no_agent_writes_is_no_delivery(body: str) -> None:
    event = told(body)
    assert event["kind"] == "unsupported" or (event["kind"], event["status"]) == ("delivery", "other")


def test_a_delivery_of_smtpd_is_none() -> None:
    assert told(f"20C0C58: to=<bob@example.net>, {RELAY}", "smtpd")["kind"] == "unsupported"


def test_the_lines_beside_a_delivery() -> None:
    passed = told("20C0C58: passing <bob@example.org> to transport=lmtp", "local")
    assert (passed["kind"], passed["topic"]) == ("housekeeping", "transport")
    for body in ("20C0C58: status=deferred (bounce failed)", "warning: 20C0C58: bounce service failure"):
        stuck = told(body, "local")
        assert (stuck["kind"], stuck["problem"], stuck["subject"]) == ("service_health", "ipc_error", "bounce")
    assert told("20C0C58: status=deferred (host failed)")["kind"] == "unsupported"


@pytest.mark.parametrize(
    "shape",
    [
        ">, orig_to=<" * 5_000,
        "\\" * 60_000,
        '"' * 60_000,
        ">, relay=a, delay=1, delays=0/0/0/0, " * 1_500,
        "a>, orig_to=<b>, relay=c[" * 2_000,
    ],
)
def test_a_hostile_recipient_takes_no_time(shape: str) -> None:
    begin = time.process_time()
    told(f"20C0C58: to=<{shape}")
    assert time.process_time() - begin < 0.25


AGENT_LINES = [
    ("local", "warning: maildir access problem for UID/GID=1000/1000: create maildir file x: Permission denied"),
    ("virtual", 'warning: specify "strict_mailbox_ownership = no" to ignore mailbox ownership mismatch'),
    ("local", "warning: :include: file /etc/list is world writable"),
    ("local", "warning: cannot open include file /etc/list: Permission denied"),
    ("local", "warning: file /home/alice/.forward has bad owner uid 0"),
    ("local", "warning: error looking up passwd info for alice: Input/output error"),
    ("virtual", "warning: recipient bob@example.org: bad uid 0 in virtual_uid_maps"),
    ("pipe", "warning: pipe_command_wait_or_kill: child wait time limit exceeded"),
    ("pipe", "warning: pipe flag `D' requires dovecot_destination_recipient_limit = 1"),
    ("local", "warning: biff_notify: Connection refused"),
]
QUIET_AGENT_LINES = [
    ("local", "warning: perhaps you need to create the maildirs in advance"),
    ("pipe", "warning: no @ in recipient address: file /etc/passwd is world writable"),
    ("local", "warning: 20C0C58: address with illegal extension: bob+/../x"),
]


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agents' tables with these rules in them, wherever the grammar has them."""
    with_them = {
        daemon: (*rules, *(rule for rule in AGENTS if rule not in rules))
        if daemon in {"local", "virtual", "pipe", "error", "discard"}
        else rules
        for daemon, rules in grammar.GRAMMAR.items()
    }
    monkeypatch.setattr(grammar, "GRAMMAR", with_them)


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize(
    ("daemon", "body", "kind"),
    [(*line, "service_health") for line in AGENT_LINES] + [(*line, "housekeeping") for line in QUIET_AGENT_LINES],
)
def test_what_stands_in_an_agents_way(daemon: str, body: str, kind: str) -> None:
    assert told(body, daemon)["kind"] == kind


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("rule", AGENTS, ids=lambda rule: rule.name)
def test_an_agents_example_is_read_by_its_rule(rule: Any) -> None:
    assert explained(rule.example).envelope.rule == rule.name


@pytest.mark.usefixtures("agents")
def test_a_typed_address_hides_no_trouble_of_ours() -> None:
    body = 'warning: hash:/etc/aliases lookup error for "x: address with illegal extension: y"'
    assert told(body, "local")["rule"] != "agents-strange-address"
