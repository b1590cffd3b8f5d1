"""smtp's own lines beside the delivery: who did not serve, which login failed, which TLS was missing."""

from typing import Any

import pytest

from pfwatch.events import Event, as_object
from tests.parsing.test_rules import explained

SERVER = "mx.example.net[198.51.100.4]"
PEER = {"peer_name": "mx.example.net", "peer_ip": "198.51.100.4"}


def told(body: str, daemon: str = "smtp") -> dict[str, Any]:
    """The public object of a body."""
    return as_object(explained(f"Nov 22 09:53:31 mx1 postfix/{daemon}[238]: {body}"))


def check(body: str, kind: str, fields: dict[str, Any]) -> None:
    event = told(body)
    assert event["kind"] == kind
    assert {name: event[name] for name in fields} == fields


ATTEMPTS: list[tuple[str, dict[str, Any]]] = [
    (f"connect to {SERVER}:25: Connection timed out", {**PEER, "peer_port": 25, "queue_id": None}),
    (f"connect to {SERVER}: Connection refused", {**PEER, "peer_port": None}),
    ("connect to 2001:db8::4[2001:db8::4]:25: No route to host", {"peer_ip": "2001:db8::4", "peer_port": 25}),
    (f"A3F0070: host {SERVER} said: 450 4.2.0 later (in reply to RCPT TO command)", {**PEER, "queue_id": "A3F0070"}),
    (f"4ZkX5y2Gq1z9rtv: host {SERVER} said: 451 x (in reply to DATA command)", {"queue_id": "4ZkX5y2Gq1z9rtv"}),
    (f"A3F0070: Protocol error: host {SERVER} said: 250 what (in reply to RCPT TO command)", PEER),
    (f"A3F0070: Protocol error: host {SERVER} refused to talk to me: 220 x", PEER),
    (f"A3F0070: host {SERVER} refused to talk to me: 421 busy", {**PEER, "queue_id": "A3F0070"}),
    (f"A3F0070: lost connection with {SERVER} while sending end of data -- message may be sent more than once", PEER),
    (f"A3F0070: lost connection with {SERVER} while performing the LHLO handshake", PEER),
    (f"A3F0070: conversation with {SERVER} timed out while sending MAIL FROM", PEER),
    (f"A3F0070: local data error while talking to {SERVER}", PEER),
    (f"A3F0070: message size 3 exceeds size limit 2 of server {SERVER}", PEER),
    (f"A3F0070: SMTPUTF8 is required, but was not offered by host {SERVER}", PEER),
    ("A3F0070: Cannot start TLS: handshake failure", {"peer_name": None, "peer_ip": None, "queue_id": "A3F0070"}),
    ("A3F0070: mail for example.net loops back to myself", {"peer_name": None, "queue_id": "A3F0070"}),
    ("A3F0070: unexpected server message", {"peer_name": None}),
    ("warning: no MX host for example.net has a valid address record", {"peer_name": None, "queue_id": None}),
]


@pytest.mark.parametrize(("body", "fields"), ATTEMPTS)
def test_a_server_that_did_not_serve(body: str, fields: dict[str, Any]) -> None:
    check(body, "delivery_attempted", fields)


def test_the_reason_is_what_stands_behind_the_queue_id() -> None:
    event = told(f"A3F0070: host {SERVER} said: 450 4.2.0 later (in reply to RCPT TO command)")
    assert event["reason"] == f"host {SERVER} said: 450 4.2.0 later (in reply to RCPT TO command)"


def test_lmtp_over_a_socket_has_no_address() -> None:
    event = told("connect to mx1.example.org[private/dovecot-lmtp]: No such file or directory", "lmtp")
    assert (event["kind"], event["peer_name"], event["peer_ip"]) == ("delivery_attempted", "mx1.example.org", None)


def test_the_server_is_the_one_that_postfix_names_not_one_that_it_names() -> None:
    text = "550 5.7.1 host evil.example[203.0.113.9] said: 535; A3F0071: to=<x>, status=sent (x) [203.0.113.9]:25: x"
    for head in ("host {} said: ", "host {} refused to talk to me: "):
        event = told(f"A3F0070: {head.format(SERVER)}{text}")
        assert (event["peer_ip"], event["queue_id"]) == ("198.51.100.4", "A3F0070")


LOGINS: list[tuple[str, dict[str, Any]]] = [
    (f"SASL authentication failed; server {SERVER} said: 535 5.7.8 Error: authentication failed", {}),
    (f"SASL [CACHED] authentication failed; server {SERVER} said: 535 5.7.8 no", {}),
    (f"SASL authentication failed; cannot authenticate to server {SERVER}: no mechanism available", {}),
    (
        f"SASL authentication failed: server {SERVER} offered no compatible authentication mechanisms for this type of "
        "connection security",
        {},
    ),
    (f"SASL authentication failed; authentication protocol loop with server {SERVER}", {}),
    (f"SASL authentication failed; non-empty initial PLAIN challenge from server {SERVER}: 334 eHl6", {}),
]


@pytest.mark.parametrize(("reason", "fields"), LOGINS)
def test_a_login_of_our_own_that_failed(reason: str, fields: dict[str, Any]) -> None:
    expected = {"queue_id": "A3F0070", "relay_name": "mx.example.net", "relay_ip": "198.51.100.4", "reason": reason}
    check(f"A3F0070: {reason}", "outbound_auth_failed", expected | fields)


def test_a_servers_words_about_a_login_are_no_failed_login() -> None:
    text = "SASL authentication failed; server evil.example[203.0.113.9] said: 535"
    assert told(f"A3F0070: host {SERVER} said: 450 {text}")["kind"] == "delivery_attempted"
    assert told(f"A3F0070: SASL authentication failed {text}")["kind"] == "unsupported"


def test_cyrus_own_line_is_a_detail() -> None:
    event = told("warning: SASL authentication failure: No worthy mechs found")
    assert (event["kind"], event["reason"], event["severity"]) == ("auth_detail", "No worthy mechs found", "warning")


POLICIES: list[tuple[str, str, str | None, str | None]] = [
    (f"A3F0070: TLS is required, but was not offered by host {SERVER}", "required", "A3F0070", None),
    (f"A3F0070: TLS is required, but host {SERVER} refused to start TLS: 454 4.7.0 no", "required", "A3F0070", None),
    ("A3F0070: TLS is required, but our TLS engine is unavailable", "required", "A3F0070", None),
    ("A3F0070: TLS is required, but unavailable", "required", "A3F0070", None),
    ("A3F0070: client TLS configuration problem", "required", "A3F0070", None),
    ("A3F0070: Server certificate not verified", "verify", "A3F0070", None),
    ("A3F0070: Server certificate not trusted", "verify", "A3F0070", None),
    ("A3F0070: TLSA lookup error for mx.example.net:25", "dane", "A3F0070", None),
    ("A3F0070: non DNSSEC destination", "dane", "A3F0070", None),
    ("A3F0070: no TLSA records found", "dane", "A3F0070", None),
    (
        f"A3F0070: Sender requested REQUIRETLS, but REQUIRETLS support was not offered by host {SERVER}",
        "requiretls",
        "A3F0070",
        None,
    ),
    (
        "warning: TLS policy lookup for example.net/mx.example.net: non DNSSEC destination",
        "dane",
        None,
        "example.net",
    ),
    (
        "warning: TLS policy lookup error for example.net/mx.example.net: Sender requested REQUIRETLS, but my "
        "configured TLS security level 'may' disables certificate matching. The last attempted server was "
        "mx.example.net",
        "requiretls",
        None,
        "example.net",
    ),
    (
        "warning: TLS policy lookup for [2001:db8::4]:25/2001:db8::4: client TLS configuration problem",
        "required",
        None,
        "[2001:db8::4]:25",
    ),
    (
        "warning: TLS policy lookup error for private/dovecot-lmtp/mx1.example.org: client TLS configuration problem",
        "required",
        None,
        None,
    ),
    (
        "warning: DANE TLSA lookup problem: Host or domain name not found. Name service error for "
        "name=_25._tcp.mx.example.net type=TLSA: Host not found, try again",
        "dane",
        None,
        None,
    ),
    ("warning: DNSSEC status lookup error for mx.example.net: Host not found, try again", "dane", None, None),
    (f"warning: {SERVER}:25: all TLSA records unusable", "dane", None, None),
    (f"warning: {SERVER}:25: all TLSA records unusable, fallback to unauthenticated TLS", "dane", None, None),
    ("warning: mx.example.net -> _25._tcp.mx.example.net: unexpected non-TLSA RR type: 1", "dane", None, None),
    (
        "warning: MX name 'mx.example.com' does not match STS MX pattern for 'example.net'",
        "mta_sts",
        None,
        "example.net",
    ),
    (f"warning: server {SERVER}:25 violates smtp_tls_block_early_mail_reply policy", "required", None, None),
]


@pytest.mark.parametrize(("body", "policy", "queue_id", "domain"), POLICIES)
def test_tls_that_was_demanded_and_missing(body: str, policy: str, queue_id: str | None, domain: str | None) -> None:
    check(body, "tls_policy_failed", {"policy": policy, "queue_id": queue_id, "domain": domain})


REPORTS = [
    ("starttls_not_supported", "required"),
    ("certificate_expired", "verify"),
    ("certificate_host_mismatch", "verify"),
    ("validation_failure, failure_reason=self-signed_certificate", "verify"),
    ("tlsa_invalid", "dane"),
    ("dnssec_invalid", "dane"),
    ("dane_required", "dane"),
    ("sts_policy_invalid", "mta_sts"),
    ("sts_webpki_invalid", "mta_sts"),
]


@pytest.mark.parametrize(("failure", "policy"), REPORTS)
def test_a_report_of_a_failure_has_domain_and_policy(failure: str, policy: str) -> None:
    body = f"TLSRPT: status=failure, domain=example.net, receiving_mx={SERVER}, failure_type={failure}"
    check(body, "tls_policy_failed", {"policy": policy, "domain": "example.net", "reason": failure})


def test_a_failure_without_a_server_is_reported_too() -> None:
    body = "TLSRPT: status=failure, domain=example.net, failure_type=sts_policy_fetch_error"
    check(body, "tls_policy_failed", {"policy": "mta_sts", "domain": "example.net"})


def test_a_report_of_success_is_no_failure() -> None:
    check(f"TLSRPT: status=success, domain=example.net, receiving_mx={SERVER}", "housekeeping", {"topic": "tlsrpt"})


HEALTH = [
    ("Could not report TLS handshake result to tlsrpt library: No such file or directory (errno 2)", "ipc_error"),
    ("DNSSEC validation may be unavailable", "config_warning"),
    ('smtp_tls_wrappermode requires "smtp_tls_security_level = encrypt" (or stronger)', "config_warning"),
    ("example.net: dane-only configured with dnssec lookups disabled", "config_warning"),
    ('smtp_tls_policy_maps, next-hop destination "example.net": invalid empty policy', "config_warning"),
]


@pytest.mark.parametrize(("text", "problem"), HEALTH)
def test_our_own_setting_is_wrong(text: str, problem: str) -> None:
    check(f"warning: {text}", "service_health", {"problem": problem, "severity": "warning"})


QUIET = [
    ("A3F0070: breaking line > 998 bytes with <CR><LF>SPACE", "long_line"),
    (f"A3F0070: enabling PIX workarounds: disable_esmtp delay_dotcrlf for {SERVER}:25", "pix_workaround"),
    ("discarding EHLO keywords: CHUNKING DSN", "ehlo_keywords"),
    ('A3F0070: replacing server reply "521 [203.0.113.9]" with "421 x"', "reply_filter"),
    (f"host {SERVER}:25 offers SMTPUTF8 support, but not 8BITMIME", "server_offer"),
    (f'warning: bad EHLO SIZE limit "many" from {SERVER}:25', "server_offer"),
    (f"warning: {SERVER}:587 offered null AUTH mechanism list", "server_offer"),
    (f"warning: {SERVER}:587 offered no supported AUTH mechanisms: 'NTLM'", "server_offer"),
    (f"warning: host {SERVER}:25 greeted me with my own hostname mx1.example.org", "server_name"),
    (f"warning: host {SERVER} said: 501 x (in reply to XFORWARD name/address command)", "xforward"),
    (f"warning: {SERVER}:25: response longer than 2048: 250-aaaaaaaaaaaaaaaaaaaaaaaaaa...", "server_reply"),
    (f"warning: {SERVER}:25: multi-line response longer than 500 250-aaa...", "server_reply"),
    (f"warning: A3F0070: non-ESMTP response from {SERVER}:25: Hello", "server_reply"),
    (
        f"warning: to prevent loss of mail, turn off command pipelining for {SERVER} with the "
        "lmtp_discard_lhlo_keyword_address_maps parameter",
        "server_reply",
    ),
    ("SASL authentication debug: DIGEST-MD5 client step 2", "sasl"),
]


@pytest.mark.parametrize(("body", "topic"), QUIET)
def test_what_a_server_says_of_itself_counts_nowhere(body: str, topic: str) -> None:
    check(body, "housekeeping", {"topic": topic})


NEAR_MISSES = [
    "A3F0070: connect to mx.example.net[198.51.100.4]:25: Connection timed out",
    "connect to mx.example.net:25: Connection timed out",
    "connect to mx.example.net [198.51.100.4]:25: Connection timed out",
    "host mx.example.net[198.51.100.4] said: 450 x",
    "A3F0070: host mx.example.net said: 450 x",
    "A3F0070: host mx example[198.51.100.4] said: 450 x",
    "A3F0070: I think host mx.example.net[198.51.100.4] said: 450 x",
    "lost connection with mx.example.net[198.51.100.4] while sending RCPT TO",
    "A3F0070: lost connection after DATA from mx.example.net[198.51.100.4]",
    "A3F0070: TLS is required, but I do not care",
    "TLS is required, but unavailable",
    "A3F0070: Server certificate not verified at all",
    "TLSRPT: status=maybe, domain=example.net",
    "warning: MX name 'mx.example.com' is strange",
    "warning: A3F0070: TLS policy lookup for example.net/mx.example.net: x",
]


@pytest.mark.parametrize("body", NEAR_MISSES)
def test_a_line_that_only_looks_alike_is_not_read(body: str) -> None:
    assert told(body)["kind"] == "unsupported"


@pytest.mark.parametrize("body", [attempt[0] for attempt in ATTEMPTS] + [policy[0] for policy in POLICIES])
def test_only_smtp_and_lmtp_say_so(body: str) -> None:
    assert told(body, "lmtp")["kind"] in {"delivery_attempted", "tls_policy_failed"}
    assert told(body, "smtpd")["kind"] not in {"delivery_attempted", "tls_policy_failed"}


def test_an_overlong_line_is_read_as_far_as_it_goes() -> None:
    event: Event = explained(
        f"Nov 22 09:53:31 mx1 postfix/smtp[238]: A3F0070: host {SERVER} said: 450 ".ljust(2039, "x")
    )
    assert (event.kind, event.envelope.truncated) == ("delivery_attempted", True)
