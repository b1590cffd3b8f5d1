"""Certificates that do not verify, our own TLS settings, and what TLS tells when it is verbose."""

import time
from typing import Any

import pytest

from pfwatch.events import as_object
from pfwatch.parsing.certificate import NAMED, PROXIED
from tests.parsing.test_protocol import by_table
from tests.parsing.test_rules import explained
from tests.samples.logs import read

IT = "unknown[192.0.2.9]"
SERVER = "mx.example.net[198.51.100.4]:25"
NOBODY = (None, None, None)
REASONS = [
    "self-signed certificate",
    "self signed certificate",
    "not trusted by local or TLSA policy",
    "not designated for use as a client certificate",
    "certificate chain longer than limit(9)",
    "external policy failure (MTA-STS)",
    "certificate has expired",
    "certificate not yet valid",
    "num=62:hostname mismatch",
    "untrusted issuer /O=x from y[203.0.113.9]: SASL LOGIN authentication failed",
    "",
]


def told(body: str, daemon: str = "smtpd") -> dict[str, Any]:
    """The public object of a body."""
    return as_object(explained(f"Nov 22 09:53:34 mx1 postfix/{daemon}[252]: {body}"))


def client(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["client_ip"], found["client_name"], found["client_port"]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("whose", ["", "CA ", "client ", "server "])
def test_the_certificate_of_a_client(whose: str, reason: str) -> None:
    event = told(f"{whose}certificate verification failed for {IT}: {reason}")
    assert (event["kind"], event["direction"], event["reason"]) == ("certificate_rejected", "inbound", reason)
    assert (event["peer_name"], event["peer_ip"]) == ("unknown", "192.0.2.9")
    assert client(event) == ("192.0.2.9", "unknown", None)


@pytest.mark.parametrize("daemon", ["smtp", "lmtp"])
@pytest.mark.parametrize("reason", REASONS)
def test_the_certificate_of_a_server(daemon: str, reason: str) -> None:
    event = told(f"server certificate verification failed for {SERVER}: {reason}", daemon)
    assert (event["kind"], event["direction"], event["reason"]) == ("certificate_rejected", "outbound", reason)
    assert (event["peer_name"], event["peer_ip"], client(event)) == ("mx.example.net", "198.51.100.4", NOBODY)


def test_lmtp_over_a_socket_has_no_address() -> None:
    event = told("certificate verification failed for mx1.example.org[private/dovecot-lmtp]: x", "lmtp")
    assert (event["kind"], event["peer_name"], event["peer_ip"]) == ("certificate_rejected", "mx1.example.org", None)


def test_a_line_that_was_cut_before_its_reason() -> None:
    event = told(f"certificate verification failed for {IT}:25")
    assert (event["kind"], event["reason"], event["client_port"]) == ("certificate_rejected", "", 25)


@pytest.mark.parametrize(
    ("body", "direction", "name", "ip", "port"),
    [
        ("certificate verification failed for [192.0.2.9]:2299: x", "inbound", None, "192.0.2.9", 2299),
        ("CA certificate verification failed for [2001:db8::9]:2299: x", "inbound", None, "2001:db8::9", 2299),
        (f"certificate verification failed for {SERVER}: x", "outbound", "mx.example.net", "198.51.100.4", None),
    ],
)
def test_tlsproxy_talks_to_both(body: str, direction: str, name: str | None, ip: str, port: int | None) -> None:
    event = by_table(PROXIED, body)
    assert event is not None
    found = as_object(event)
    assert (found["direction"], found["peer_name"], found["peer_ip"], found["client_port"]) == (
        direction,
        name,
        ip,
        port,
    )
    assert found["client_ip"] == (ip if direction == "inbound" else None)


@pytest.mark.parametrize(
    "body",
    [
        "certificate verification failed for x from y[203.0.113.9]: self-signed certificate",
        "peer certificate verification failed for unknown[192.0.2.9]: x",
        "certificate verification failed",
        "warning: cannot get RSA something from file x",
        "warning: error loading everything",
        "warning: unable to set mail in motion",
        "warning: unknown[192.0.2.9]: whatever: aborting TLS session",
        "subject: x",
        "read 5 from 7",
        "looking for trouble",
        "SSL3 alert: x",
        "TLS SN mail.example.org",
    ],
)
@pytest.mark.parametrize("daemon", ["smtpd", "smtp"])
def test_a_line_that_only_looks_like_one_is_not_read(daemon: str, body: str) -> None:
    assert told(body, daemon)["kind"] == "unsupported"


@pytest.mark.parametrize("daemon", ["smtpd", "smtp", "lmtp", "tlsproxy"])
@pytest.mark.parametrize(
    "reason",
    [
        'cannot get RSA certificate from file "/etc/postfix/mx1.pem": disabling TLS support',
        'cannot get ECDSA private key from file "/etc/postfix/mx1.pem": disabling TLS support',
        "RSA private key in /etc/a.key does not match public key in /etc/a.pem: disabling TLS support",
        "error loading certificate chain from /etc/postfix/chain.pem",
        "error loading private keys and certificates from: /etc/postfix/chain.pem: aborting TLS server",
        "key at index 1 in /etc/postfix/chain.pem does not match next certificate",
        'cannot load Certification Authority data, CAfile="/etc/ca.pem": disabling TLS support',
        'error opening DH parameter file "/etc/dh.pem": No such file or directory -- using compiled-in defaults',
        'error decoding DH parameters from file "/etc/dh.pem" -- using compiled-in defaults',
        'unknown curve "prime": disabling EECDH support',
        'unable to use curve "prime256v1": disabling EECDH support',
        'Invalid TLS protocol list "x": disabling TLS support',
        "unable to set TLS protocols",
        f"{SERVER}: Invalid cipher grade: aborting TLS session",
        "no entropy for TLS key generation: disabling TLS support",
        'smtp_tls_security_level: unsupported TLS level "x", using "encrypt"',
        "run-time library vs. compile-time header version mismatch: OpenSSL 3.0.0 may not be compatible",
        "TLS has been selected, but TLS support is not compiled in",
    ],
)
def test_our_own_settings(daemon: str, reason: str) -> None:
    event = told(f"warning: {reason}", daemon)
    assert (event["kind"], event["reason"], event["severity"]) == ("tls_misconfigured", reason, "warning")


@pytest.mark.parametrize(
    "reason",
    [
        f"Wrapper-mode request dropped from {IT} for service smtps. TLS context initialization failed. For details see "
        "earlier warnings in your logs.",
        "No server certs available. TLS won't be enabled",
        "Can't require client certs unless TLS is required",
    ],
)
def test_smtpds_own_settings_are_no_clients_fault(reason: str) -> None:
    event = told(f"warning: {reason}")
    assert (event["kind"], event["reason"]) == ("tls_misconfigured", reason)
    assert "client_ip" not in event


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        (f"TLS SNI mail.example.org from {IT} not matched, using default chain", "sni"),
        (f"warning: TLS SNI from {IT} is invalid: x from y[203.0.113.9]", "sni"),
        (f"warning: TLS SNI changed from {IT} initially a.example.org, b.example.org after hello retry", "sni"),
        (f"warning: tls_text_name: {SERVER}: peer certificate has no subject CN", "certificate_names"),
        (f"warning: tls_text_name: {SERVER}: NULL character in peer subject CN", "certificate_names"),
        (f"warning: tls_text_name: {IT}: non-printable content in peer issuer CN", "certificate_names"),
        (f"warning: {IT}: peer subject CN too long: 300", "certificate_names"),
        ("SSL_accept:before SSL initialization", "tls_verbose"),
        ("SSL_accept:error in SSLv3/TLS write session ticket", "tls_verbose"),
        ("SSL_connect:SSLv3/TLS read server hello", "tls_verbose"),
        ("SSL3 alert read:fatal:unknown CA", "tls_verbose"),
        (f"setting up TLS connection from {IT}", "tls_verbose"),
        (f"setting up TLS connection to {SERVER}", "tls_verbose"),
        ("initializing the server-side TLS engine", "tls_verbose"),
        ("subject=/CN=x from y[203.0.113.9]: SASL LOGIN authentication failed", "tls_verbose"),
        ("issuer=/CN=x", "tls_verbose"),
        ("save session smtp&x to smtp cache", "tls_verbose"),
        ("looking for session smtp&x in smtp cache", "tls_verbose"),
        ("read from 55D0A1B2C3D4 [55D0A1B2C400] (5 bytes => -1 (0xFFFFFFFFFFFFFFFF))", "tls_verbose"),
        (f"TLS protocol trace for {IT} saved to /tmp/x", "tls_trace"),
        ("warning: skipping TLS trace output - rate limit (1) exceeded", "tls_trace"),
    ],
)
@pytest.mark.parametrize("daemon", ["smtpd", "smtp", "tlsproxy"])
def test_what_is_only_noted(daemon: str, body: str, topic: str) -> None:
    event = told(body, daemon)
    assert (event["kind"], event["topic"]) == ("housekeeping", topic)
    assert "client_ip" not in event


@pytest.mark.parametrize(
    "body",
    [
        f"{IT}: subject_CN=x from y[203.0.113.9]: SASL LOGIN authentication failed, issuer=x, fingerprint=1",
        f"{SERVER}: subject_CN=x, issuer=y, cert fingerprint=1, pkey fingerprint=2",
        f"{IT}: Reusing old session",
        f"{SERVER}: re-using session with untrusted peer credential, look for details earlier in the log",
        f"{SERVER}: certificate verification depth=0 verify=1 subject=/CN=mx.example.net",
        f'{SERVER}: TLS cipher list "aNULL:-aNULL:HIGH"',
        f"{IT}: Issuing session ticket, key expiration: 1795341211",
        "0000 16 03 01 02 00 01 00 01-fc 03 03 5a 11 22 33 44 ...........Z..3D",
        "0010 - <SPACES/NULS>",
    ],
)
def test_lines_that_begin_with_a_name_or_a_number(body: str) -> None:
    event = by_table(NAMED, body)
    assert event is not None
    assert as_object(event)["topic"] == "tls_verbose"


def test_lines_that_begin_otherwise_are_not_taken() -> None:
    for body in ("x y: subject_CN=z", f"warning: {IT}: subject_CN=z", "0000 hello", f"{IT}: anything else"):
        assert by_table(NAMED, body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"warning: " + b"RSA private key in " * 3_000,
        b"warning: error loading " + b"chai " * 12_000,
        b"warning: x: Invalid " + b": aborting TLS sessio" * 3_000,
        b"certificate verification failed for " + b"a" * 60_000,
        b"SSL_accept:" + b"x: " * 20_000,
    ],
    ids=["key", "chain", "aborting", "name", "state"],
)
def test_a_long_hostile_line_takes_no_time(body: bytes) -> None:
    begin = time.process_time()
    assert read(b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: " + body + b"\n")[1].total == 1
    assert time.process_time() - begin < 0.25
