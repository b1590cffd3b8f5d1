"""smtp and lmtp: what a delivery met on its way, in lines of their own.

Enters: match objects. Leaves: events and rules. This file must never know a session, nor what became of the recipient:
that is the `delivery` line.

When another server of the destination is still to be tried, Postfix logs the reason behind the bare queue id; a failed
connection it logs without any. Behind `said: ` and `refused to talk to me: ` stands what the remote server wrote. The
server is read only from Postfix's own `name[address]`, which precedes that text.
"""

import re
from collections.abc import Callable
from typing import Final

from pfwatch.events import AuthDetail, DeliveryAttempted, Envelope, Event, Housekeeping, OutboundAuthFailed
from pfwatch.parsing import tlspolicy
from pfwatch.parsing.fragments import QUEUE_ID, address, number, untrusted, word
from pfwatch.parsing.rule import Build, Plain, Rule

SERVER: Final = r"(?P<peer_name>[^ \[\]]++)\[(?P<peer_ip>[^ \]]*+)\](?::(?P<peer_port>[0-9]{1,5}))?"
"""A remote server as smtp writes it. An address literal has colons in its name; lmtp over a socket has its path as the
address."""


def _queue_id(found: re.Match[bytes]) -> str | None:
    return word(found.groupdict().get("queue_id"))


def _attempted(envelope: Envelope, found: re.Match[bytes]) -> DeliveryAttempted:
    server = found.groupdict()
    peer_ip = server.get("peer_ip")
    return DeliveryAttempted(
        envelope,
        _queue_id(found),
        word(server.get("peer_name")),
        None if peer_ip is None else address(peer_ip),
        number(server.get("peer_port")),
        untrusted(found["reason"]),
    )


def _auth_failed(envelope: Envelope, found: re.Match[bytes]) -> OutboundAuthFailed:
    return OutboundAuthFailed(
        envelope, _queue_id(found), word(found["peer_name"]), address(found["peer_ip"]), untrusted(found["reason"])
    )


def _auth_detail(envelope: Envelope, found: re.Match[bytes]) -> AuthDetail:
    return AuthDetail(envelope, untrusted(found["reason"]))


def _nothing_to_count(topic: str) -> Build[Housekeeping]:
    """A line that is read and counts nowhere: a remote server alone can cause it."""

    def build(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping:
        return Housekeeping(envelope, topic, untrusted(found["text"]))

    return build


_HEAD = "Nov 22 09:53:31 mx1 postfix/"
_SMTP = f"{_HEAD}smtp[238]: "
_TROUBLE = "smtp/smtp_trouble.c"
_PROTO = "smtp/smtp_proto.c: smtp_helo"


def _trouble(name: str, text: str, example: str, *words: str, source: str, build: Callable[..., Event]) -> Rule:
    """A reason behind a queue id: smtp_trouble.c writes `%s: %s` when another server is still to be tried."""
    return Rule(
        name=name,
        since="2.10",
        example=f"{_SMTP}A3F0070: {example}",
        pattern=rf"{QUEUE_ID}: (?P<reason>{text})",
        words=words,
        build=build,
        source=source,
    )


_ATTEMPTS = (
    Rule(
        name="smtp-connect-failed",
        since="2.10",
        example=f"{_SMTP}connect to mx.example.net[198.51.100.4]:25: Connection timed out",
        pattern=rf"(?P<reason>connect to {SERVER}: .*)",
        words=("connect",),
        build=_attempted,
        plain=(
            Plain(
                r"connect to [A-Za-z0-9._-]++\[[0-9A-Fa-f:.]++\](?::[0-9]{1,5}+)?: .*+",
                rare=True,
                hit=DeliveryAttempted,
                bare=True,
            ),
        ),
        source="smtp/smtp_connect.c: smtp_connect_inet",
    ),
    _trouble(
        "smtp-host-said",
        rf"(?:Protocol error: )?host {SERVER} said: .*",
        "host mx.example.net[198.51.100.4] said: 450 4.2.0 <bob@example.net>: greylisted (in reply to RCPT TO command)",
        "host",
        "Protocol",
        source=f"{_TROUBLE}: smtp_rcpt_fail, smtp_mesg_fail",
        build=_attempted,
    ),
    _trouble(
        "smtp-host-refused",
        rf"(?:Protocol error: )?host {SERVER} refused to talk to me: .*",
        "host mx.example.net[198.51.100.4] refused to talk to me: 421 4.3.2 too busy, try later",
        "host",
        "Protocol",
        source=f"{_TROUBLE}: smtp_site_fail",
        build=_attempted,
    ),
    _trouble(
        "smtp-lost-connection",
        rf"lost connection with {SERVER} while .*",
        "lost connection with mx.example.net[198.51.100.4] while receiving the initial server greeting",
        "lost",
        source=f"{_TROUBLE}: smtp_stream_except",
        build=_attempted,
    ),
    _trouble(
        "smtp-conversation-timeout",
        rf"conversation with {SERVER} timed out while .*",
        "conversation with mx.example.net[198.51.100.4] timed out while performing the EHLO handshake",
        "conversation",
        source=f"{_TROUBLE}: smtp_stream_except",
        build=_attempted,
    ),
    _trouble(
        "smtp-local-data-error",
        rf"local data error while talking to {SERVER}",
        "local data error while talking to mx.example.net[198.51.100.4]",
        "local",
        source=f"{_TROUBLE}: smtp_stream_except",
        build=_attempted,
    ),
    _trouble(
        "smtp-cannot-start-tls",
        r"Cannot start TLS: .*",
        "Cannot start TLS: handshake failure",
        "Cannot",
        source="smtp/smtp_proto.c: smtp_start_tls",
        build=_attempted,  # also where plaintext is tried next; the handshake is the `tls_failed` before it
    ),
    _trouble(
        "smtp-size-exceeded",
        rf"message size [0-9]++ exceeds size limit [0-9]++ of server {SERVER}",
        "message size 30000000 exceeds size limit 20480000 of server mx.example.net[198.51.100.4]",
        "message",
        source="smtp/smtp_proto.c: smtp_loop",
        build=_attempted,
    ),
    _trouble(
        "smtp-no-smtputf8",
        rf"SMTPUTF8 is required, but was not offered by host {SERVER}",
        "SMTPUTF8 is required, but was not offered by host mx.example.net[198.51.100.4]",
        "SMTPUTF8",
        source=_PROTO,
        build=_attempted,
    ),
    _trouble(
        "smtp-loops-back",
        r"mail for [^ ]++ loops back to myself",
        "mail for example.net loops back to myself",
        "mail",
        source=_PROTO,
        build=_attempted,
    ),
    _trouble(
        "smtp-unexpected-message",
        r"unexpected server message",
        "unexpected server message",
        "unexpected",
        source="smtp/smtp_proto.c: smtp_loop",
        build=_attempted,
    ),
    Rule(
        name="smtp-no-address",
        since="2.10",
        example=f"{_SMTP}warning: no MX host for example.net has a valid address record",
        pattern=r"warning: (?P<reason>no MX host for [^ ]++ has a valid address record)",
        words=("warning",),
        build=_attempted,
        source="smtp/smtp_addr.c: smtp_domain_addr",
    ),
)

_LOGIN = (
    _trouble(
        "smtp-login-refused",
        rf"SASL (?:\[CACHED\] )?authentication failed; server {SERVER} said: .*",
        "SASL authentication failed; server relay.example.net[198.51.100.4] said: 535 5.7.8 Error: authentication "
        "failed",
        "SASL",
        source="smtp/smtp_sasl_glue.c: smtp_sasl_authenticate",
        build=_auth_failed,
    ),
    _trouble(
        "smtp-login-impossible",
        r"SASL authentication failed(?:: server|; cannot authenticate to server|; authentication protocol loop with "
        rf"server|; non-empty initial [^ ]++ challenge from server) {SERVER}(?:(?: offered no |: ).*)?",
        "SASL authentication failed; cannot authenticate to server relay.example.net[198.51.100.4]: no mechanism "
        "available",
        "SASL",
        source="smtp/smtp_sasl_glue.c: smtp_sasl_authenticate; smtp/smtp_sasl_proto.c: smtp_sasl_helo_login",
        build=_auth_failed,
    ),
    Rule(
        name="smtp-cyrus-detail",
        since="2.10",
        example=f"{_SMTP}warning: SASL authentication failure: No worthy mechs found",
        pattern=r"warning: SASL authentication (?:failure|problem): (?P<reason>.*)",
        words=("warning",),
        build=_auth_detail,
        source="xsasl/xsasl_cyrus_log.c: xsasl_cyrus_log",
    ),
)


def _quiet(
    name: str, topic: str, text: str, example: str, word: str, *, since: str = "2.10", source: str = _PROTO
) -> Rule:
    """A line that only tells how this server talks, or how we talk to it."""
    return Rule(
        name=name,
        since=since,
        example=f"{_SMTP}{example}",
        pattern=rf"{'warning: ' if word == 'warning' else ''}{text}",
        words=(word,),
        build=_nothing_to_count(topic),
        source=source,
    )


_OFFER = "smtp/smtp_sasl_proto.c: smtp_sasl_helo_auth"

_QUIET = (
    _quiet(
        "smtp-long-line",
        "long_line",
        rf"{QUEUE_ID}: (?P<text>breaking line > [0-9]++ bytes with <CR><LF>SPACE)",
        "A3F0070: breaking line > 998 bytes with <CR><LF>SPACE",
        "breaking",
        source="smtp/smtp_proto.c: smtp_text_out",
    ),
    _quiet(
        "smtp-pix-workaround",
        "pix_workaround",
        rf"{QUEUE_ID}: (?P<text>enabling PIX workarounds: [^:]+? for {SERVER})",
        "A3F0070: enabling PIX workarounds: disable_esmtp delay_dotcrlf for mx.example.net[198.51.100.4]:25",
        "enabling",
    ),
    _quiet(
        "smtp-keywords-discarded",
        "ehlo_keywords",
        r"(?P<text>discarding EHLO keywords: .*)",
        "discarding EHLO keywords: CHUNKING",
        "discarding",
    ),
    _quiet(
        "smtp-reply-replaced",
        "reply_filter",
        rf'{QUEUE_ID}: (?P<text>replacing server reply ".*)',
        'A3F0070: replacing server reply "521 no" with "421 no"',
        "replacing",
        source="smtp/smtp_chat.c: smtp_chat_resp",
    ),
    _quiet(
        "smtp-smtputf8-alone",
        "server_offer",
        rf"(?P<text>host {SERVER} offers SMTPUTF8 support, but not 8BITMIME)",
        "host mx.example.net[198.51.100.4]:25 offers SMTPUTF8 support, but not 8BITMIME",
        "host",
        since="3.0",
    ),
    _quiet(
        "smtp-size-offer",
        "server_offer",
        rf'(?P<text>bad EHLO SIZE limit "[^"]*+" from {SERVER})',
        'warning: bad EHLO SIZE limit "many" from mx.example.net[198.51.100.4]:25',
        "warning",
    ),
    _quiet(
        "smtp-login-offer",
        "server_offer",
        rf"(?P<text>{SERVER} offered (?:null AUTH mechanism list.*|no supported AUTH mechanisms: '.*))",
        "warning: relay.example.net[198.51.100.4]:587 offered no supported AUTH mechanisms: 'GSSAPI NTLM'",
        "warning",
        source=_OFFER,
    ),
    _quiet(
        "smtp-own-name",
        "server_name",
        rf"(?P<text>host {SERVER} (?:greeted me|replied to HELO/EHLO) with my own hostname [^ ]++)",
        "warning: host mx.example.net[198.51.100.4]:25 replied to HELO/EHLO with my own hostname mx1.example.org",
        "warning",
    ),
    _quiet(
        "smtp-xforward-refused",
        "xforward",
        rf"(?P<text>host {SERVER} said: .*)",
        "warning: host filter.example.org[192.0.2.25] said: 501 5.5.4 Bad value (in reply to XFORWARD name/address "
        "command)",
        "warning",
        source="smtp/smtp_proto.c: smtp_loop",
    ),
    _quiet(
        "smtp-long-reply",
        "server_reply",
        rf"(?P<text>{SERVER}: (?:multi-line )?response longer than [0-9]++:? .*)",
        "warning: mx.example.net[198.51.100.4]:25: response longer than 2048: 250-aaaaaaaaaaaaaaaaaaaaaaaaaa...",
        "warning",
        source="smtp/smtp_chat.c: smtp_chat_resp",
    ),
    _quiet(
        "smtp-strange-reply",
        "server_reply",
        rf"(?P<text>{QUEUE_ID}: non-(?:ESMTP|LMTP) response from {SERVER}: .*)",
        "warning: A3F0070: non-ESMTP response from mx.example.net[198.51.100.4]:25: Hello there",
        "warning",
        source="smtp/smtp_chat.c: smtp_chat_resp",
    ),
    _quiet(
        "smtp-pipelining-advice",
        "server_reply",
        rf"(?P<text>to prevent loss of mail, turn off command pipelining for {SERVER} with the [a-z_]++ parameter)",
        "warning: to prevent loss of mail, turn off command pipelining for mx.example.net[198.51.100.4] with the "
        "smtp_discard_ehlo_keyword_address_maps parameter",
        "warning",
        source="smtp/smtp_chat.c: smtp_chat_resp",
    ),
    Rule(
        name="smtp-cyrus-verbose",
        since="2.10",
        example=f"{_SMTP}SASL authentication debug: DIGEST-MD5 client step 2",
        pattern=r"(?P<text>SASL authentication (?:info|debug|trace|pass): .*)",
        words=("SASL",),
        build=_nothing_to_count("sasl"),
        source="xsasl/xsasl_cyrus_log.c: xsasl_cyrus_log",
    ),
)

RULES: tuple[Rule, ...] = (*_ATTEMPTS, *_QUIET, *_LOGIN, *tlspolicy.RULES)
