"""Certificates that do not verify, our own TLS settings that cannot be used, and what TLS tells when it is verbose.

Enters: match objects. Leaves: events and rules. This file must never know a session.

Names inside a certificate (subject, issuer) and the server name that a client asks for (SNI) are typed by the other
side: they are text, and where they stand before the address, no address is read.
"""

import re
from typing import Final

from pfwatch.events import CertificateRejected, Envelope, TlsMisconfigured
from pfwatch.parsing.fragments import CLIENT, PEER, address, client, peer, untrusted, word
from pfwatch.parsing.postscreen import NAMELESS, nameless
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.trouble import housekeeping


def _client_rejected(envelope: Envelope, found: re.Match[bytes]) -> CertificateRejected:
    who = client(found)
    return CertificateRejected(envelope, who, "inbound", who.name, who.ip, untrusted(found["reason"]))


def _server_rejected(envelope: Envelope, found: re.Match[bytes]) -> CertificateRejected:
    return CertificateRejected(envelope, None, "outbound", *peer(found), untrusted(found["reason"]))


def _proxied_rejected(envelope: Envelope, found: re.Match[bytes]) -> CertificateRejected:
    """A server's name stands before its address, a client's does not."""
    name, reason = word(found["peer_name"]), untrusted(found["reason"])
    if name is None:
        who = nameless(found)
        return CertificateRejected(envelope, who, "inbound", None, who.ip, reason)
    return CertificateRejected(envelope, None, "outbound", name, address(found["ip"]), reason)


def _misconfigured(envelope: Envelope, found: re.Match[bytes]) -> TlsMisconfigured:
    return TlsMisconfigured(envelope, untrusted(found["reason"]))


_REJECTED: Final = "(?:(?:CA|client|server) )?certificate verification failed for "
_WORDS: Final = ("certificate", "CA", "client", "server")
_VERIFY: Final = "tls/tls_verify.c: tls_log_verify_error"
_SMTPD: Final = "Nov 22 09:53:34 mx1 postfix/smtpd[252]: "
_SMTP: Final = "Nov 22 09:53:34 mx1 postfix/smtp[238]: "

INBOUND: tuple[Rule, ...] = (
    Rule(
        name="tls-client-certificate-rejected",
        since="2.10",
        example=f"{_SMTPD}certificate verification failed for unknown[192.0.2.9]: self-signed certificate",
        pattern=rf"{_REJECTED}{CLIENT}(?:: (?P<reason>.*))?",
        words=_WORDS,
        build=_client_rejected,
        source=_VERIFY,
    ),
    Rule(
        name="tls-wrapper-dropped",
        since="2.10",
        example=f"{_SMTPD}warning: Wrapper-mode request dropped from unknown[192.0.2.9] for service smtps. TLS context "
        "initialization failed. For details see earlier warnings in your logs.",
        pattern=r"warning: (?P<reason>Wrapper-mode request dropped from .*)",  # the fault is ours, not the client's
        words=("warning",),
        build=_misconfigured,
        source="smtpd/smtpd.c: smtpd_proto",
    ),
    Rule(
        name="tls-smtpd-setting",
        since="2.10",
        example=f"{_SMTPD}warning: No server certs available. TLS won't be enabled",
        pattern=r"warning: (?P<reason>No server certs available\. TLS (?:won't|can't) be enabled"
        r"|Can't require client certs unless TLS is required)",
        words=("warning",),
        build=_misconfigured,
        source="smtpd/smtpd.c: pre_jail_init",
    ),
)

OUTBOUND: tuple[Rule, ...] = (
    Rule(
        name="tls-server-certificate-rejected",
        since="2.10",
        example=f"{_SMTP}server certificate verification failed for mx.example.net[198.51.100.4]:25: certificate has "
        "expired",
        pattern=rf"{_REJECTED}{PEER}(?:: (?P<reason>.*))?",
        words=_WORDS,
        build=_server_rejected,
        source=_VERIFY,
    ),
)

PROXIED: tuple[Rule, ...] = (
    Rule(
        name="tls-proxied-certificate-rejected",
        since="2.10",
        example="Nov 22 10:27:56 mx1 postfix/tlsproxy[772]: certificate verification failed for [192.0.2.9]:22993: "
        "untrusted issuer /CN=nobody",
        pattern=rf"{_REJECTED}(?P<peer_name>[A-Za-z0-9._-]++)?{NAMELESS}(?:: (?P<reason>.*))?",
        words=_WORDS,
        build=_proxied_rejected,
        source=_VERIFY,
    ),
)
"""For tlsproxy, which talks to clients and to servers."""

_OURS = (
    Rule(
        name="tls-own-certificate",
        since="2.10",
        example=f'{_SMTPD}warning: cannot get RSA certificate from file "/etc/postfix/mx1.pem": disabling TLS support',
        pattern=r"warning: (?P<reason>cannot get [A-Z0-9]++ (?:certificate|private key) from file .*"
        r"|[A-Z0-9]++ private key in .* does not match public key in .*"
        r"|error (?:loading|reading) (?=.*(?:chain|certificate|private key)).*"
        r"|No PEM data in .*"
        r"|key at index [0-9]++ in .* does not match next certificate.*"
        r"|cannot load Certification Authority data.*)",
        words=("warning",),
        build=_misconfigured,
        source="tls/tls_certkey.c: tls_set_my_certificate_key_info",
    ),
    Rule(
        name="tls-own-parameters",
        since="2.10",
        example=f'{_SMTPD}warning: error opening DH parameter file "/etc/postfix/dh.pem": No such file or directory -- '
        "using compiled-in defaults",
        pattern=r"warning: (?P<reason>(?:error (?:opening|decoding|reading)|cannot (?:load|open)) (?=.*\bDH\b).*"
        r'|unknown curve ".*|unable to use curve ".*'
        r"|(?:[Ii]nvalid|[Uu]nknown|[Uu]nsupported) (?:TLS|SSL|cipher) .*"
        r"|(?:[Uu]nable to|[Ff]ailed to|cannot) (?:set|configure|initialize|allocate|enable) (?=.*\bTLS\b).*"
        r"|[^ ]+: (?:[Ii]nvalid|[Uu]nsupported|[Uu]nable to) .*: aborting TLS session"
        r"|no entropy for TLS key generation: .*)",
        words=("warning",),
        build=_misconfigured,
        source="tls/tls_dh.c; tls/tls_misc.c; tls/tls_server.c, tls_client.c",
    ),
    Rule(
        name="tls-own-level",
        since="2.10",
        example=f'{_SMTPD}warning: smtpd_tls_security_level: unsupported TLS level "verify", using "encrypt"',
        pattern=r'warning: (?P<reason>[^ ]+: unsupported TLS level ".*)',
        words=("warning",),
        build=_misconfigured,
        source="smtpd/smtpd.c: post_jail_init",
    ),
    Rule(
        name="tls-own-library",
        since="2.10",
        example=f"{_SMTPD}warning: run-time library vs. compile-time header version mismatch: OpenSSL 3.0.0 may not be "
        "compatible with OpenSSL 1.1.1",
        pattern=r"warning: (?P<reason>run-time library vs\. compile-time header version mismatch: .*"
        r"|TLS has been selected, but TLS support is not compiled in)",
        words=("warning",),
        build=_misconfigured,
        source="tls/tls_misc.c: tls_check_version",
    ),
)

_NOTED = (
    Rule(
        name="tls-sni",
        since="3.4",
        example=f"{_SMTPD}TLS SNI mail.example.org from unknown[192.0.2.9] not matched, using default chain",
        pattern=r"(?:warning: )?TLS SNI .*",  # the name that the client asks for stands before its address
        words=("TLS", "warning"),
        build=housekeeping("sni"),
        source="tls/tls_misc.c: tls_sni_cb",
    ),
    Rule(
        name="tls-trace",
        since="3.12",
        example=f"{_SMTP}TLS protocol trace for mx.example.net[198.51.100.4]:25 saved to /var/spool/postfix/trace/1",
        pattern=r"(?:warning: )?(?:TLS protocol trace for .*|skipping TLS trace output .*)",
        words=("TLS", "skipping", "warning"),
        build=housekeeping("tls_trace"),
        source="tls/tls_misc.c",
    ),
    Rule(
        name="tls-strange-names",
        since="2.10",
        example=f"{_SMTP}warning: tls_text_name: mx.example.net[198.51.100.4]:25: peer certificate has no subject CN",
        pattern=r"warning: (?:[a-z0-9_]++: )?[^ ]+: (?:peer certificate has no .*|error decoding peer .*"
        r"|(?:NULL character|non-printable (?:content|characters?)|internal NUL) in peer .*|peer .* too long: .*)",
        words=("warning",),
        build=housekeeping("certificate_names"),
        source="tls/tls_verify.c: tls_text_name",
    ),
    Rule(
        name="tls-verbose-state",
        since="2.10",
        example=f"{_SMTPD}SSL_accept:SSLv3/TLS read client hello",
        pattern=r"SSL_(?:accept|connect):.*|SSL3 alert (?:read|write):.*",
        words=("SSL_accept", "SSL_connect", "SSL3"),
        build=housekeeping("tls_verbose"),
        source="tls/tls_misc.c: tls_info_callback",
    ),
    Rule(
        name="tls-verbose-begin",
        since="2.10",
        example=f"{_SMTPD}setting up TLS connection from unknown[192.0.2.9]",
        pattern=r"setting up TLS connection (?:from|to) .*|initializing the (?:server|client)-side TLS engine",
        words=("setting", "initializing"),
        build=housekeeping("tls_verbose"),
        source="tls/tls_server.c: tls_server_start, tls_server_init",
    ),
    Rule(
        name="tls-verbose-certificate",
        since="2.10",
        example=f"{_SMTPD}subject=/CN=client.example.net",
        pattern=r"(?:subject|issuer)=.*|Peer cert.*",
        words=("subject", "issuer", "Peer"),
        build=housekeeping("tls_verbose"),
        source="tls/tls_server.c: tls_server_post_accept",
    ),
    Rule(
        name="tls-verbose-cache",
        since="2.10",
        example=f"{_SMTP}looking for session smtp&example.net&mx.example.net&198.51.100.4&&ABCD in smtp cache",
        pattern=r"(?:looking for|sav(?:e|ing)|reloaded|remov(?:e|ing)|delet(?:e|ing)|writing|put) session .*",
        words=(
            "looking", "save", "saving", "reloaded", "remove", "removing", "delete", "deleting", "writing", "put",
        ),
        build=housekeeping("tls_verbose"),
        source="tls/tls_client.c: load_clnt_session, new_client_session_cb",
    ),
    Rule(
        name="tls-verbose-bytes",
        since="2.10",
        example=f"{_SMTPD}read from 55D0A1B2C3D4 [55D0A1B2C400] (5 bytes => 5 (0x5))",
        pattern=r"(?:read from|write to) [0-9A-Fa-f]++ \[[0-9A-Fa-f]++\] \(.*",
        words=("read", "write"),
        build=housekeeping("tls_verbose"),
        source="tls/tls_misc.c: tls_bio_dump_cb",
    ),
)  # fmt: skip

SETTINGS: tuple[Rule, ...] = (*_OURS, *_NOTED)

NAMED: tuple[Rule, ...] = (
    Rule(
        name="tls-verbose-peer",
        since="2.10",
        example=f"{_SMTPD}unknown[192.0.2.9]: subject_CN=x from y[203.0.113.9]: SASL LOGIN authentication failed, "
        "issuer=nobody, fingerprint=00:11, pkey_fingerprint=22:33",
        pattern=r"[^ ]+: (?:subject_CN=|Reusing old session|re-using session with untrusted |certificate verification "
        r"depth=|TLS cipher list |Issuing session ticket|Decrypting session ticket|save session |[Mm]atched |depth=).*",
        words=("",),
        build=housekeeping("tls_verbose"),
        source="tls/tls_server.c: tls_server_post_accept; tls/tls_client.c: tls_client_start",
    ),
    Rule(
        name="tls-verbose-dump",
        since="2.10",
        example=f"{_SMTPD}0000 16 03 01 02 00 01 00 01-fc 03 03 5a 11 22 33 44 ...........Z..3D",
        pattern=r"[0-9a-f]{4,8} (?:[0-9a-f]{2}[ -]|- <SPACES/NULS>).*",
        words=("",),
        build=housekeeping("tls_verbose"),
        source="tls/tls_misc.c: tls_dump_buffer",
    ),
)
"""Lines that begin with the other side's name or with a number: no first word finds them."""
