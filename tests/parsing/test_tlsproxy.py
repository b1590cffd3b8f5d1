"""tlsproxy serves many at once: what each line says, and of whom; and the random source of tlsmgr."""

from typing import Any

import pytest

from pfwatch.events import Client, Envelope, TlsDetail, as_object
from pfwatch.parsing.tlsproxy import TLSPROXY
from tests.samples.logs import read

IT = "[192.0.2.9]:22993"
WHO = ("192.0.2.9", None, 22993)
NOBODY = (None, None, None)


def event(body: str, daemon: str = "tlsproxy") -> dict[str, Any]:
    """The public object of one line."""
    (one,), _ = read(f"Nov 22 10:27:56 mx1 postfix/{daemon}[772]: {body}\n".encode())
    return as_object(one)


def client(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["client_ip"], found["client_name"], found["client_port"]


def test_a_failed_handshake_of_a_client() -> None:
    found = event(f"TLS handshake failed for service=smtpd peer={IT}")
    assert (found["kind"], found["direction"], client(found)) == ("tls_failed", "inbound", WHO)
    assert (found["peer_name"], found["peer_ip"]) == (None, "192.0.2.9")


@pytest.mark.parametrize("service", ["smtp", "relay", "smtp-tls", "lmtp"])
def test_a_server_that_we_deliver_to_is_no_client(service: str) -> None:
    found = event(f"TLS handshake failed for service={service} peer=[198.51.100.4]:25")
    assert (found["kind"], found["direction"], client(found)) == ("tls_failed", "outbound", NOBODY)
    assert (found["peer_name"], found["peer_ip"]) == (None, "198.51.100.4")


def test_the_name_of_a_server_is_kept() -> None:
    found = event("TLS handshake failed for service=smtp peer=mx.example.net[2001:db8::4]:25")
    assert (found["peer_name"], found["peer_ip"]) == ("mx.example.net", "2001:db8::4")


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("lost connection", "lost_connection"),
        ("Connection reset by peer", "reset"),
        ("Connection timed out", "timeout"),
    ],
)
def test_a_handshake_that_ends_with_a_reason_of_its_own(reason: str, error: str) -> None:
    found = event(f"SSL_accept error from {IT}: {reason}")
    assert (found["kind"], found["error"], found["reason"]) == ("tls_failed", error, reason)
    assert (found["direction"], client(found)) == ("inbound", WHO)


def test_a_bare_number_waits_for_the_librarys_line() -> None:
    head = "Nov 22 10:27:56 mx1 postfix/tlsproxy[772]: "
    library = "warning: TLS library problem: error:0A00010B:SSL routines::wrong version number:../ssl/x.c:350:"
    events, _ = read(f"{head}SSL_accept error from {IT}: -1\n{head}{library}\n".encode())
    assert [found.error for found in events if found.kind == "tls_failed"] == ["wrong_version"]  # type: ignore[attr-defined]


def test_a_handshake_with_a_server_that_fails() -> None:
    found = event("SSL_connect error to mx.example.net[198.51.100.4]:25: lost connection")
    assert (found["kind"], found["direction"], client(found)) == ("tls_failed", "outbound", NOBODY)
    assert (found["peer_name"], found["peer_ip"], found["error"]) == (
        "mx.example.net", "198.51.100.4", "lost_connection",
    )  # fmt: skip


@pytest.mark.parametrize("tail", ["", " key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"])
@pytest.mark.parametrize("sni", ["", " to mx.example.org"])
@pytest.mark.parametrize("usage", ["established", "reused"])
def test_a_session_with_a_client(tail: str, sni: str, usage: str) -> None:
    found = event(
        f"Anonymous TLS connection {usage} from {IT}{sni}: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
        + tail
    )
    assert (found["kind"], found["direction"], client(found)) == ("tls_established", "inbound", WHO)
    assert (found["trust"], found["reused"], found["peer_ip"]) == ("anonymous", usage == "reused", "192.0.2.9")
    assert (found["protocol"], found["cipher"]) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert (found["bits"], found["algorithm_bits"]) == (256, 256)


def test_a_session_with_a_server() -> None:
    found = event(
        "Verified TLS connection established to mx.example.net[198.51.100.4]:25: TLSv1.2 with cipher AES (128/256 bits)"
    )
    assert (found["kind"], found["direction"], client(found)) == ("tls_established", "outbound", NOBODY)
    assert (found["trust"], found["peer_ip"]) == ("verified", "198.51.100.4")


@pytest.mark.parametrize(
    "text",
    [
        "ciphertext read/write timeout",
        "ciphertext read/write error",
        "plaintext read/write timeout",
        "deadlock on ciphertext stream",
    ],
)
def test_a_stream_that_ends_badly_is_no_failed_handshake(text: str) -> None:
    found = event(f"warning: {text} for {IT}")
    assert (found["kind"], found["reason"], found["severity"]) == ("tls_detail", text, "warning")


@pytest.mark.parametrize(
    ("endpoint", "who"),
    [
        (IT, Client("192.0.2.9", None, 22993)),
        ("[198.51.100.4]:25", None),
        ("mx.example.net[198.51.100.4]:2525", None),
    ],
)
def test_a_stream_has_a_client_unless_it_leads_to_a_server(endpoint: str, who: Client | None) -> None:
    body = f"warning: ciphertext read/write timeout for {endpoint}".encode()
    (rule,) = (rule for rule in TLSPROXY if rule.name == "tlsproxy-stream")
    found = rule.compiled.match(body)
    assert found
    event = rule.build(Envelope(0.0, "", "", None, None, None, "warning", 1, False, None), found)
    assert isinstance(event, TlsDetail)
    assert event.client == who


@pytest.mark.parametrize("body", [f"CONNECT from {IT}", "CONNECT to [198.51.100.4]:25", f"DISCONNECT {IT}"])
def test_coming_and_going_is_nothing_to_count(body: str) -> None:
    found = event(body)
    assert (found["kind"], found["text"]) == ("housekeeping", body)


def test_settings_that_differ_between_smtp_and_tlsproxy() -> None:
    found = event("warning: request from tlsproxy client with unexpected settings")
    assert (found["kind"], found["problem"], found["subject"]) == ("service_health", "config_warning", "tlsproxy")


@pytest.mark.parametrize(
    "body",
    [
        "TLS handshake failed for service=smtpd peer=192.0.2.9:22993",
        f"TLS handshake failed for service=a b peer={IT}",
        f"TLS handshake failed for service=smtpd peer={IT} peer=[203.0.113.9]:25",
        f"CONNECT {IT}",
        f"CONNECT from {IT} to [203.0.113.9]:25",
        f"warning: ciphertext read/write nonsense for {IT}",
        f"warning: ciphertext read/write timeout for {IT} x",
        f"SSL_accept error: x from {IT}: -1",
        f"Anonymous TLS connection established from x {IT}: TLSv1.3 with cipher A (256/256 bits)",
        f"Doubtful TLS connection established from {IT}: TLSv1.3 with cipher A (256/256 bits)",
    ],
)
def test_a_line_that_only_looks_like_tlsproxys_is_not_read(body: str) -> None:
    assert event(body)["kind"] == "unsupported"


def test_alert_text_that_a_client_chooses_frames_nobody() -> None:
    found = event(f"SSL_accept error from {IT}: lost connection from [203.0.113.9]:25: -1")
    assert client(found) == WHO
    library = event("warning: TLS library problem: error:1:SSL routines::x from [203.0.113.9]:25:x.c:1:")
    assert (library["kind"], client(library)) == ("tls_detail", NOBODY)


@pytest.mark.parametrize(
    "body",
    [
        "fatal: cannot open PRNG exchange file /var/lib/postfix/prng_exch: Permission denied",
        "warning: cannot open entropy device /dev/urandom: No such file or directory",
        "warning: no entropy source specified with parameter tls_random_source",
        "warning: PRNG exchange file was removed -- exiting to reopen",
    ],
)
def test_no_randomness_is_a_fault_of_ours(body: str) -> None:
    found = event(body, "tlsmgr")
    assert (found["kind"], found["reason"]) == ("tls_misconfigured", body.partition(": ")[2])
