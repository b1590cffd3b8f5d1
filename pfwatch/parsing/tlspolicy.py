"""smtp and lmtp: a delivery that needs TLS which it cannot have; lines of their own, behind a bare queue id or none.

Enters: match objects. Leaves: events and rules. This file must never know a handshake: what OpenSSL refused is in
`tls`, a certificate that does not verify in `certificate`, and the texts inside a delivery's parentheses in `delivery`.

A domain is read only where Postfix itself put it. Behind the reason's own words stands what DNS or the remote server
said.
"""

import re

from pfwatch.events import Envelope, Housekeeping, ServiceHealth, TlsPolicy, TlsPolicyFailed
from pfwatch.parsing.fragments import QUEUE_ID, untrusted, word
from pfwatch.parsing.rule import Rule

_POLICIES: tuple[tuple[TlsPolicy, re.Pattern[bytes]], ...] = (
    ("requiretls", re.compile(rb"Sender requested REQUIRETLS")),
    ("dane", re.compile(rb"TLSA |DANE |no TLSA|empty DANE|non DNSSEC|DNSSEC |(?:tlsa|dnssec|dane)[_-]")),
    ("mta_sts", re.compile(rb"sts[_-]|MX name '")),
    ("verify", re.compile(rb"Server certificate not|certificate[_-]|validation[_-]")),
)
"""By the beginning of a reason, or by the report's own word for the failure (RFC 8460)."""


def policy_of(reason: bytes) -> TlsPolicy:
    """Which demand was not met; plain `required` where the reason names none."""
    for policy, pattern in _POLICIES:
        if pattern.match(reason):
            return policy
    return "required"


def _failed(envelope: Envelope, found: re.Match[bytes]) -> TlsPolicyFailed:
    groups, reason = found.groupdict(), found["reason"]
    return TlsPolicyFailed(
        envelope, word(groups.get("queue_id")), word(groups.get("domain")), policy_of(reason), untrusted(reason)
    )


def _dane_failed(envelope: Envelope, found: re.Match[bytes]) -> TlsPolicyFailed:
    return TlsPolicyFailed(envelope, None, None, "dane", untrusted(found["reason"]))


def _looked_up(envelope: Envelope, found: re.Match[bytes]) -> TlsPolicyFailed:
    """`domain/server`; a socket's path has slashes of its own, and no domain."""
    domain, _, _ = found["target"].rpartition(b"/")
    reason = found["reason"]
    return TlsPolicyFailed(
        envelope, None, None if b"/" in domain else word(domain), policy_of(reason), untrusted(reason)
    )


def _reported(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping:
    return Housekeeping(envelope, "tlsrpt", untrusted(found["text"]))


def _dnssec_probed(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping:
    return Housekeeping(envelope, "dnssec_probe", untrusted(found["text"]))


def _report_unsent(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    return ServiceHealth(envelope, "ipc_error", "tlsrpt", untrusted(found["text"]))


def _setting(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    return ServiceHealth(
        envelope, "config_warning", word(found.groupdict().get("subject")) or "", untrusted(found["text"])
    )


_SMTP = "Nov 22 09:53:31 mx1 postfix/smtp[238]: "
_HOST = r"[^ \[\]]++\[[^ \]]*+\](?::[0-9]{1,5})?"
_POLICY_SOURCE = "smtp/smtp_tls_policy.c"

RULES: tuple[Rule, ...] = (
    Rule(
        name="smtp-tls-required",
        since="2.10",
        example=f"{_SMTP}A3F0070: TLS is required, but was not offered by host mx.example.net[198.51.100.4]",
        pattern=rf"{QUEUE_ID}: (?P<reason>TLS is required, but (?:was not offered by host {_HOST}"
        rf"|host {_HOST} refused to start TLS: .*|our TLS engine is unavailable|unavailable))",
        words=("TLS",),
        build=_failed,
        source="smtp/smtp_proto.c: smtp_helo",
    ),
    Rule(
        name="smtp-certificate-not-verified",
        since="2.10",
        example=f"{_SMTP}A3F0070: Server certificate not verified",
        pattern=rf"{QUEUE_ID}: (?P<reason>Server certificate not (?:verified|trusted))",
        words=("Server",),
        build=_failed,
        source="smtp/smtp_proto.c: smtp_start_tls",
    ),
    Rule(
        name="smtp-requiretls",
        since="3.11",
        example=f"{_SMTP}A3F0070: Sender requested REQUIRETLS, but TLS service was not offered by host "
        "mx.example.net[198.51.100.4]",
        pattern=rf"{QUEUE_ID}: (?P<reason>Sender requested REQUIRETLS, but .*)",
        words=("Sender",),
        build=_failed,
        source="smtp/smtp_proto.c: smtp_helo",
    ),
    Rule(
        name="smtp-dane-failed",
        since="2.11",
        example=f"{_SMTP}A3F0070: TLSA lookup error for mx.example.net:25",
        pattern=rf"{QUEUE_ID}: (?P<reason>TLSA lookup error for [^ ]++|non DNSSEC destination"
        r"|no TLSA records found|TLSA records unusable)",
        words=("TLSA", "non", "no"),
        build=_failed,
        source=f"{_POLICY_SOURCE}: dane_init",
    ),
    Rule(
        name="smtp-tls-configuration",
        since="2.10",
        example=f"{_SMTP}A3F0070: client TLS configuration problem",
        pattern=rf"{QUEUE_ID}: (?P<reason>client TLS configuration problem)",
        words=("client",),
        build=_failed,
        source=_POLICY_SOURCE,
    ),
    Rule(
        name="smtp-tls-policy-lookup",
        since="2.11",
        example=f"{_SMTP}warning: TLS policy lookup for example.net/mx.example.net: TLSA lookup error for "
        "mx.example.net:25",
        pattern=r"warning: TLS policy lookup (?:error )?for (?P<target>[^ ]+): (?P<reason>.*)",
        words=("warning",),
        build=_looked_up,
        source="smtp/smtp_connect.c: smtp_connect_inet, smtp_connect_local",
    ),
    Rule(
        name="smtp-dane-lookup",
        since="2.11",
        example=f"{_SMTP}warning: DANE TLSA lookup problem: Host or domain name not found. Name service error for "
        "name=_25._tcp.mx.example.net type=TLSA: Host not found, try again",
        pattern=r"warning: (?P<reason>(?:DANE TLSA lookup problem|DNSSEC status lookup error for [^ ]+): .*)",
        words=("warning",),
        build=_dane_failed,
        source="tls/tls_dane.c: tls_dane_resolve",
    ),
    Rule(
        name="smtp-dane-unusable",
        since="2.11",
        example=f"{_SMTP}warning: mx.example.net[198.51.100.4]:25: all TLSA records unusable, fallback to "
        "unauthenticated TLS",
        pattern=r"warning: (?P<reason>[^ ]+: all TLSA records unusable(?:, fallback to unauthenticated TLS)?)",
        words=("warning",),
        build=_dane_failed,
        source="tls/tls_client.c: tls_client_start",
    ),
    Rule(
        name="smtp-dane-record",
        since="2.11",
        example=f"{_SMTP}warning: _25._tcp.mx.example.net: truncated TLSA RR length == 2",
        pattern=r"warning: (?P<reason>[^ ]+(?: -> [^ ]+)?: (?:truncated TLSA RR length == |unexpected non-TLSA RR "
        r"type: )[0-9]++)",
        words=("warning",),
        build=_dane_failed,
        source="tls/tls_dane.c",
    ),
    Rule(
        name="smtp-mta-sts-mismatch",
        since="3.10",
        example=f"{_SMTP}warning: MX name 'mx.example.com' does not match STS MX pattern for 'example.net'",
        pattern=r"(?:warning: )?(?P<reason>MX name '[^' ]*+' does not match STS MX pattern for "
        r"'(?P<domain>[^' ]*+)'.*)",
        words=("warning", "MX"),
        build=_failed,
        source=_POLICY_SOURCE,
    ),
    Rule(
        name="smtp-tls-early-reply",
        since="2.10",
        example=f"{_SMTP}warning: server mx.example.net[198.51.100.4]:25 violates smtp_tls_block_early_mail_reply "
        "policy",
        pattern=rf"warning: (?P<reason>server {_HOST} violates [a-z_]++ policy)",
        words=("warning",),
        build=_failed,
        source="smtp/smtp_proto.c: smtp_loop",
    ),
    Rule(
        name="smtp-tlsrpt-failure",
        since="3.10",
        example=f"{_SMTP}TLSRPT: status=failure, domain=example.net, receiving_mx=mx.example.net[198.51.100.4], "
        "failure_type=certificate_expired",
        pattern=r"TLSRPT: status=failure, domain=(?P<domain>[^ ,]++)(?:, receiving_mx=[^ ,]++)?,"
        r" failure_type=(?P<reason>[a-z_-]++(?:, .*)?)",
        words=("TLSRPT",),
        build=_failed,
        source="tls/tlsrpt_wrapper.c: trw_report_failure",
    ),
    Rule(
        name="smtp-tlsrpt-success",
        since="3.10",
        example=f"{_SMTP}TLSRPT: status=success, domain=example.net, receiving_mx=mx.example.net[198.51.100.4]",
        pattern=r"(?P<text>TLSRPT: status=success, domain=.*)",
        words=("TLSRPT",),
        build=_reported,
        source="tls/tlsrpt_wrapper.c: trw_report_success",
    ),
    Rule(
        name="smtp-tlsrpt-unsent",
        since="3.10",
        example=f"{_SMTP}warning: Could not report TLS handshake result to tlsrpt library: No such file or directory "
        "(errno 2)",
        pattern=r"warning: (?P<text>Could not [A-Za-z ]{1,80}? tlsrpt library: .*)",
        words=("warning",),
        build=_report_unsent,
        source="tls/tlsrpt_wrapper.c",
    ),
    Rule(
        name="smtp-dnssec-unavailable",
        since="3.6",
        example=f"{_SMTP}warning: DNSSEC validation may be unavailable",
        pattern=r"warning: (?P<text>(?P<subject>DNSSEC) validation may be unavailable)",
        words=("warning",),
        build=_setting,
        source="dns/dns_sec.c: dns_sec_probe",
    ),
    Rule(
        name="smtp-dnssec-probe",
        since="3.6",
        example=f"{_SMTP}warning: reason: dnssec_probe 'ns:.' received a response that is not DNSSEC validated",
        pattern=r"warning: (?P<text>reason: dnssec_probe '[^']*+' received .*)",
        words=("warning",),
        build=_dnssec_probed,
        source="dns/dns_sec.c: dns_sec_probe",
    ),
    Rule(
        name="smtp-wrappermode",
        since="2.10",
        example=f'{_SMTP}SMTPS wrappermode (TCP port 465) requires setting "smtp_tls_wrappermode = yes", and '
        '"smtp_tls_security_level = encrypt" (or stronger)',
        pattern=r'(?P<text>SMTPS wrappermode \(TCP port 465\) requires setting "(?P<subject>[a-z_]++) = yes", and .*)',
        words=("SMTPS",),
        build=_setting,
        source="smtp/smtp_connect.c: smtp_connect_inet",
    ),
    Rule(
        name="smtp-wrappermode-level",
        since="2.10",
        example=f'{_SMTP}warning: smtp_tls_wrappermode requires "smtp_tls_security_level = encrypt" (or stronger)',
        pattern=r'warning: (?P<text>(?P<subject>[a-z_]++) requires "[a-z_]++ = encrypt" \(or stronger\))',
        words=("warning",),
        build=_setting,
        source="smtp/smtp_connect.c: smtp_connect_inet",
    ),
    Rule(
        name="smtp-dane-setting",
        since="2.11",
        example=f"{_SMTP}warning: example.net: dane configured with dnssec lookups disabled",
        pattern=r"warning: (?P<text>[^ ]+: (?:(?P<subject>[a-z-]++) configured(?:, but no requisite library support"
        r"| with dnssec lookups disabled| with MX lookup errors ignored)|dns resolver options incompatible with "
        r'[a-z-]++ TLS|the "dane" security level is invalid for delivery via unix-domain sockets))',
        words=("warning",),
        build=_setting,
        source=f"{_POLICY_SOURCE}: dane_init",
    ),
    Rule(
        name="smtp-tls-policy-table",
        since="2.10",
        example=f'{_SMTP}warning: smtp_tls_policy_maps, next-hop destination "example.net": invalid security level '
        '"secret"',
        pattern=r'warning: (?P<text>(?P<subject>[a-z_]++), (?:next-hop destination|server hostname) "[^"]*+": '
        r"(?:invalid |attribute |malformed |ignoring attribute ).*)",
        words=("warning",),
        build=_setting,
        source=f"{_POLICY_SOURCE}: tls_policy_lookup_one",
    ),
)
