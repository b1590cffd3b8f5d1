"""tlsproxy and tlsmgr: TLS on behalf of other daemons.

Enters: match objects. Leaves: events and rules. This file must never know a session.

One tlsproxy serves many connections at once, postscreen's clients and (with smtp_tls_connection_reuse) the servers that
smtp delivers to. So a library line in it belongs only to the failed handshake that the same process names right after
it, never to a current client.
"""

import re
from typing import Final

from pfwatch.events import (
    Envelope,
    TlsDetail,
    TlsEstablished,
    TlsFailed,
    TlsMisconfigured,
)
from pfwatch.parsing.fragments import address, untrusted, word
from pfwatch.parsing.postscreen import NAMELESS, nameless
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.tls import LIBRARY, OUTBOUND, tls_error
from pfwatch.parsing.trouble import health, housekeeping


def _handshake_failed(envelope: Envelope, found: re.Match[bytes]) -> TlsFailed:
    if b"smtpd" in found["service"]:  # smtpd_service_name; all other services are transports of smtp and lmtp
        return _inbound(envelope, found, None, b"")
    name, ip = word(found["peer_name"] or None), address(found["ip"])
    return TlsFailed(envelope, None, "outbound", name, ip, None, untrusted(b""), None, None)


def _accept_failed(envelope: Envelope, found: re.Match[bytes]) -> TlsFailed:
    reason = found["reason"]
    error = None if reason.lstrip(b"-").isdigit() else tls_error(reason)  # a bare number: the library line follows
    return _inbound(envelope, found, error, reason)


def _inbound(envelope: Envelope, found: re.Match[bytes], error: str | None, reason: bytes) -> TlsFailed:
    who = nameless(found)
    return TlsFailed(envelope, who, "inbound", None, who.ip, error, untrusted(reason), None, None)


def _stream_failed(envelope: Envelope, found: re.Match[bytes]) -> TlsDetail:
    who = None if found["port"] in _SERVER_PORTS or found["peer_name"] else nameless(found)
    return TlsDetail(envelope, who, untrusted(found["reason"]))


def _established(envelope: Envelope, found: re.Match[bytes]) -> TlsEstablished:
    who = nameless(found)
    return TlsEstablished(
        envelope,
        who,
        "inbound",
        None,
        who.ip,
        found["trust"].decode().lower(),  # type: ignore[arg-type] # the pattern knows only the four words
        found["usage"] == b"reused",
        found["protocol"].decode(),
        found["cipher"].decode(),
        int(found["bits"]),
        int(found["algorithm_bits"]),
    )


def _misconfigured(envelope: Envelope, found: re.Match[bytes]) -> TlsMisconfigured:
    return TlsMisconfigured(envelope, untrusted(found["reason"]))


_HEAD = "Nov 22 10:27:56 mx1 postfix/tlsproxy[772]: "
_NAME = "(?P<peer_name>[A-Za-z0-9._-]*+)"
"""A server's name stands before its address, a client's does not."""
_SERVER_PORTS = frozenset((b"24", b"25", b"465", b"587"))
"""Of the servers that smtp and lmtp deliver to; no client's."""
_TRUST = ("Anonymous", "Untrusted", "Trusted", "Verified")

TLSPROXY: Final = (
    Rule(
        name="tlsproxy-connection",
        since="2.10",  # `to` since 3.4
        example=f"{_HEAD}CONNECT from [192.0.2.9]:22993",
        pattern=rf"(?:CONNECT (?:from|to)|DISCONNECT) {_NAME}{NAMELESS}",
        words=("CONNECT", "DISCONNECT"),
        build=housekeeping("tlsproxy_connection"),
        source="tlsproxy/tlsproxy.c: tlsp_get_request_event",
    ),
    Rule(
        name="tlsproxy-handshake-failed",
        since="3.4",
        example=f"{_HEAD}TLS handshake failed for service=smtpd peer=[192.0.2.9]:22993",
        pattern=rf"TLS handshake failed for service=(?P<service>[^ ]++) peer={_NAME}{NAMELESS}",
        words=("TLS",),
        build=_handshake_failed,
        source="tlsproxy/tlsproxy.c: tlsp_eval_tls_error",
    ),
    LIBRARY,
    Rule(
        name="tlsproxy-accept-failed",
        since="2.10",
        example=f"{_HEAD}SSL_accept error from [192.0.2.9]:22993: -1",
        pattern=rf"SSL_accept error from {NAMELESS}: (?P<reason>.*)",
        words=("SSL_accept",),
        build=_accept_failed,
        source="tls/tls_server.c: tls_server_start",
    ),
    Rule(
        name="tlsproxy-established",
        since="2.10",
        example=f"{_HEAD}Anonymous TLS connection established from [192.0.2.9]:22993: TLSv1.3 with cipher "
        "TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits)",
        pattern=rf"(?P<trust>{'|'.join(_TRUST)}) TLS connection (?P<usage>established|reused) from {NAMELESS}"
        r"(?: to [^ :]++)?: (?P<protocol>[A-Za-z0-9.]++) with cipher (?P<cipher>[A-Za-z0-9_:-]++)"
        r" \((?P<bits>[0-9]{1,9}+)/(?P<algorithm_bits>[0-9]{1,9}+) bits\)(?: .*)?",
        words=_TRUST,
        build=_established,
        source="tls/tls_misc.c: tls_log_summary",
    ),
    *OUTBOUND,
    Rule(
        name="tlsproxy-stream",
        since="2.10",
        # During the handshake or long after it: the line does not tell, so it is no failed handshake.
        example=f"{_HEAD}warning: ciphertext read/write timeout for [192.0.2.9]:22993",
        pattern=r"warning: (?P<reason>(?:ciphertext|plaintext) read/write (?:timeout|error)|deadlock on [a-z ]{1,40}) "
        rf"for {_NAME}{NAMELESS}",
        words=("warning",),
        build=_stream_failed,
        source="tlsproxy/tlsproxy.c: tlsp_ciphertext_event",
    ),
    Rule(
        name="tlsproxy-unexpected-settings",
        since="3.4",
        example=f"{_HEAD}warning: request from tlsproxy client with unexpected settings",
        pattern=r"warning: request from (?P<subject>tlsproxy) client with unexpected settings.*",
        words=("warning",),
        build=health("config_warning"),
        source="tlsproxy/tlsproxy.c: tlsp_client_init",
    ),
)

_TLSMGR_HEAD = "Nov 22 10:27:56 mx1 postfix/tlsmgr[773]: "

TLSMGR: Final = (
    Rule(
        name="tlsmgr-exchange-file",
        since="2.10",
        example=f"{_TLSMGR_HEAD}fatal: cannot open PRNG exchange file /var/lib/postfix/prng_exch: Permission denied",
        pattern=r"fatal: (?P<reason>cannot [a-z]++ PRNG exchange file.*)",
        words=("fatal",),
        build=_misconfigured,
        source="tls/tls_prng_exch.c: tls_prng_exch_open",
    ),
    Rule(
        name="tlsmgr-entropy",
        since="2.10",
        example=f"{_TLSMGR_HEAD}warning: cannot open entropy device /dev/urandom: No such file or directory",
        pattern=r"warning: (?P<reason>cannot open entropy (?:device|file) .*"
        r"|no entropy source specified with parameter [a-z_]++|PRNG exchange file was removed -- exiting to reopen)",
        words=("warning",),
        build=_misconfigured,
        source="tlsmgr/tlsmgr.c: tlsmgr_post_init",
    ),
)
