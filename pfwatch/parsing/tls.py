"""The TLS lines that smtpd, smtp, lmtp and tlsproxy share (src/tls of Postfix).

Enters: match objects. Leaves: TLS events, and the rules for both directions. This file must never know which session a
library line belongs to.
"""

import re
from functools import lru_cache

from pfwatch.events import Client, Direction, Envelope, TlsDetail, TlsEstablished, TlsFailed
from pfwatch.parsing.fragments import CLIENT, PEER, QUEUE_ID, client, peer, untrusted
from pfwatch.parsing.rule import Plain, Rule

_ERRORS: tuple[tuple[str, bytes], ...] = (
    ("no_shared_cipher", rb"no shared cipher|no ciphers available"),
    ("wrong_version", rb"wrong version number|wrong ssl version"),
    ("unsupported_protocol", rb"unsupported protocol|version too low|unknown protocol|alert protocol version"),
    ("http_request", rb"https? (?:proxy )?request"),
    ("unknown_ca", rb"alert unknown ca|unknown ca\b"),
    ("certificate_expired", rb"certificate (?:has )?expired"),
    (
        "no_client_certificate",
        rb"peer did not return a certificate|No client certificate presented"
        rb"|alert (?:certificate required|no certificate)",
    ),
    (
        "bad_certificate",
        rb"alert (?:bad certificate|certificate unknown|unsupported certificate|certificate revoked)"
        rb"|certificate verify failed|Client certificate not trusted",
    ),
    ("handshake_failure", rb"handshake failure"),
    ("packet_too_long", rb"packet length too long|data length too long|record too large|length too long"),
    ("unexpected_eof", rb"unexpected eof"),
    ("lost_connection", rb"^lost connection$"),
    ("reset", rb"Connection reset by peer|Broken pipe"),
    ("timeout", rb"timed out|timeout"),
)


@lru_cache(maxsize=1024)
def tls_error(reason: bytes) -> str:
    """The `error` of a reason: the text behind `SSL_accept error from …: `, or of a library line."""
    for name, pattern in _patterns():
        if pattern.search(reason):
            return name
    return "other"


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, re.Pattern[bytes]], ...]:
    """Compiled when a failure asks."""
    return tuple((name, re.compile(pattern)) for name, pattern in _ERRORS)


def _own_error(reason: bytes) -> str | None:
    """The error where the line itself knows it; None for a bare number, whose library line follows."""
    return None if reason.lstrip(b"-").isdigit() else tls_error(reason)


def _failed(pattern: str, *, waits: bool) -> Plain:
    peer = ("peer_name", "name"), ("peer_ip", "ip")
    return Plain(pattern, rare=True, hit=TlsFailed, bare=True, listed=True, again=peer, waits=waits)


def _accept_failed(envelope: Envelope, found: re.Match[bytes]) -> TlsFailed:
    reason = found["reason"]
    who = client(found)
    return TlsFailed(envelope, who, "inbound", who.name, who.ip, _own_error(reason), untrusted(reason), None, None)


def _connect_failed(envelope: Envelope, found: re.Match[bytes]) -> TlsFailed:
    name, ip = peer(found)
    reason = found["reason"]
    return TlsFailed(envelope, None, "outbound", name, ip, _own_error(reason), untrusted(reason), None, None)


def _aborted(envelope: Envelope, found: re.Match[bytes]) -> TlsFailed:
    who, reason = client(found), found["reason"]
    return TlsFailed(envelope, who, "inbound", who.name, who.ip, tls_error(reason), untrusted(reason), "STARTTLS", None)


def _detail(envelope: Envelope, found: re.Match[bytes]) -> TlsDetail:
    return TlsDetail(envelope, None, untrusted(found["reason"]))


def _established(
    envelope: Envelope, found: re.Match[bytes], who: Client | None, direction: Direction
) -> TlsEstablished:
    name, ip = (who.name, who.ip) if who else peer(found)
    return TlsEstablished(
        envelope,
        who,
        direction,
        name,
        ip,
        found["trust"].decode().lower(),  # type: ignore[arg-type] # the pattern knows only the four words
        found["usage"] == b"reused",
        found["protocol"].decode(),
        found["cipher"].decode(),
        int(found["bits"]),
        int(found["algorithm_bits"]),
    )


def _established_inbound(envelope: Envelope, found: re.Match[bytes]) -> TlsEstablished:
    return _established(envelope, found, client(found), "inbound")


def _established_outbound(envelope: Envelope, found: re.Match[bytes]) -> TlsEstablished:
    return _established(envelope, found, None, "outbound")


_TRUST = ("Anonymous", "Untrusted", "Trusted", "Verified")
_SUMMARY = (
    r"(?P<protocol>[A-Za-z0-9.]++) with cipher (?P<cipher>[A-Za-z0-9_:-]++)"
    r" \((?P<bits>[0-9]{1,5}+)/(?P<algorithm_bits>[0-9]{1,5}+) bits\).*"
)
_PLAIN_SUMMARY = (
    r"(?P<protocol>[A-Za-z0-9.]++) with cipher (?P<cipher>[A-Za-z0-9_:-]++)"
    r" \((?P<bits>[0-9]{1,5}+)/(?P<algorithm_bits>[0-9]{1,5}+) bits\).*+"
)
_TALLY = ("trust", "protocol", "cipher", "bits", "algorithm_bits")

LIBRARY = Rule(
    name="tls-library-problem",
    since="2.10",
    example="Nov 22 10:27:44 mx1 postfix/smtps/smtpd[668]: warning: TLS library problem: "
    "error:0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2226:",
    pattern=r"warning: TLS library problem: (?P<reason>.*)",
    words=("warning",),
    build=_detail,
    plain=(Plain(r"warning: TLS library problem: (?P<reason>.*+)", rare=True, explains=True),),
    source="tls/tls_misc.c: tls_print_errors",
)

INBOUND = (
    Rule(
        name="tls-established-inbound",
        since="2.10",
        example="Nov 22 10:27:44 mx1 postfix/submission/smtpd[728]: Anonymous TLS connection established from "
        "client.example.net[198.51.100.10]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange "
        "X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256",
        pattern=rf"(?P<trust>{'|'.join(_TRUST)}) TLS connection (?P<usage>established|reused) from {CLIENT}"
        rf"(?: to [^ :]++)?: {_SUMMARY}",
        words=_TRUST,
        build=_established_inbound,
        plain=(
            Plain(
                rf"(?P<trust>{'|'.join(_TRUST)}) TLS connection (?:established|reused) from {CLIENT}: {_PLAIN_SUMMARY}"
            ),
        ),
        kind=TlsEstablished,
        tally=_TALLY,
        source="tls/tls_misc.c: tls_log_summary",
    ),
    Rule(
        name="tls-accept-failed",
        since="2.10",
        example="Nov 22 10:27:44 mx1 postfix/submission/smtpd[724]: SSL_accept error from unknown[203.0.113.144]: -1",
        pattern=rf"SSL_accept error from {CLIENT}: (?P<reason>.*)",
        words=("SSL_accept",),
        build=_accept_failed,
        plain=(
            _failed(rf"SSL_accept error from {CLIENT}: -*+[0-9]++", waits=True),
            _failed(rf"SSL_accept error from {CLIENT}: .*+", waits=False),
        ),
        source="tls/tls_server.c: tls_server_start",
    ),
    Rule(
        name="tls-aborted",
        since="2.10",
        example="Nov 22 09:53:34 mx1 postfix/smtpd[252]: NOQUEUE: abort: TLS from unknown[192.0.2.9]: "
        "Client certificate not trusted",
        pattern=rf"{QUEUE_ID}: abort: TLS from {CLIENT}: (?P<reason>.*)",
        words=("abort",),
        build=_aborted,
        source="smtpd/smtpd.c: smtpd_start_tls",
    ),
)

OUTBOUND = (
    Rule(
        name="tls-established-outbound",
        since="2.10",
        example="Nov 22 10:27:10 mx1 postfix/smtp[611]: Trusted TLS connection established to "
        "mx.example.net[198.51.100.4]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        pattern=rf"(?P<trust>{'|'.join(_TRUST)}) TLS connection (?P<usage>established|reused) to {PEER}: {_SUMMARY}",
        words=_TRUST,
        build=_established_outbound,
        plain=(
            Plain(rf"(?P<trust>{'|'.join(_TRUST)}) TLS connection (?:established|reused) to {PEER}: {_PLAIN_SUMMARY}"),
        ),
        kind=TlsEstablished,
        tally=_TALLY,
        source="tls/tls_misc.c: tls_log_summary",
    ),
    Rule(
        name="tls-connect-failed",
        since="2.10",
        example="Nov 22 09:53:53 mx1 postfix/smtp[238]: SSL_connect error to mx.example.net[198.51.100.4]:25: -1",
        pattern=rf"SSL_connect error to {PEER}: (?P<reason>.*)",
        words=("SSL_connect",),
        build=_connect_failed,
        source="tls/tls_client.c: tls_client_start",
    ),
)
