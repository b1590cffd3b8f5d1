"""Helpers that do not answer: Postfix's own services, policy servers, milters, proxy filters, authentication.

Enters: match objects. Leaves: events and rules. This file must never know a client, whose address these lines never
have.
"""

import re
from typing import Final

import msgspec

from pfwatch.events import AuthBackendFailed, Envelope, ServiceHealth
from pfwatch.parsing.fragments import QUEUE_ID, untrusted
from pfwatch.parsing.rule import Build, Rule
from pfwatch.parsing.trouble import health, message, subject

_SOCKET = re.compile(r"(?:unix:|local:)?(?:/.*/)?(?:private|public)/([^/]+)")
_OWN: Final = frozenset(
    (
        "anvil", "bounce", "cleanup", "defer", "discard", "dnsblog", "error", "flush", "lmtp", "local", "pickup",
        "postlog", "proxymap", "proxywrite", "qmgr", "qmqpd", "relay", "retry", "rewrite", "scache", "showq", "smtp",
        "smtpd", "tlsmgr", "tlsproxy", "trace", "verify", "virtual",
    )
)  # fmt: skip
"""The services of the stock master.cf: whoever is asked under another name is a policy server."""
_ASKED = frozenset(("anvil", "scache", "tlsmgr"))
"""Own services whose client writes `problem talking to` behind every `connect to` (util/attr_clnt.c)."""


def _service(server: str) -> str | None:
    """The name of one of Postfix's own services; None for another server."""
    found = _SOCKET.fullmatch(server)
    return found[1] if found and found[1] in _OWN else None


def _problem(envelope: Envelope, server: str) -> str:
    """Only smtpd asks policy servers, and it asks them as it asks Postfix's own services."""
    return "policy_down" if envelope.daemon == "smtpd" and _service(server) is None else "ipc_error"


def _asked(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    server = subject(found)
    return ServiceHealth(envelope, _problem(envelope, server), server, message(envelope, found))


def _connect(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    """Every `connect to` of a client that asks again is followed by `problem talking to`, which carries the event."""
    server = subject(found)
    service = _service(server)
    if service is None or service in _ASKED:
        envelope = msgspec.structs.replace(envelope, part_of="service_health")
    return ServiceHealth(envelope, _problem(envelope, server), server, message(envelope, found))


def _cyrus(*, part: bool = False) -> Build[AuthBackendFailed]:
    def build(envelope: Envelope, found: re.Match[bytes]) -> AuthBackendFailed:
        if part:  # the fatal line of the same process follows
            envelope = msgspec.structs.replace(envelope, part_of="auth_backend_failed")
        return AuthBackendFailed(envelope, None, "cyrus", None, None, untrusted(found["reason"]))

    return build


_SERVER = r"(?P<subject>[^ ]+?)(?: socket)?"
_SMTPD = "Nov 22 10:00:00 mx1 postfix/smtpd[301]: "
_QMGR = "Nov 22 10:00:00 mx1 postfix/qmgr[218]: "

_TALK = (
    Rule(
        name="server-problem",
        since="2.10",
        example=f"{_SMTPD}warning: problem talking to server 127.0.0.1:9998: Connection refused",
        pattern=r"warning: problem talking to server (?P<subject>[^ ]+): .*",
        words=("warning",),
        build=_asked,
        source="util/attr_clnt.c: attr_clnt_request",
    ),
    Rule(
        name="policy-response",
        since="3.6",
        example=f'{_SMTPD}warning: malformed UTF-8 in policy server private/policy response: "action=reject ?"',
        pattern=r"warning: malformed UTF-8 in policy server (?P<subject>[^ ]++) response: .*",
        words=("warning",),
        build=health("policy_down"),
        source="smtpd/smtpd_check.c: check_policy_service",
    ),
    Rule(
        name="server-connect",
        since="2.10",
        example=f"{_SMTPD}warning: connect to 127.0.0.1:9998: Connection refused",
        pattern=r"warning: connect to (?P<subject>[^ ]+): .*",
        words=("warning",),
        build=_connect,
        source="util/auto_clnt.c: auto_clnt_connect; global/abounce.c",
    ),
    Rule(
        name="server-input-ended",
        since="2.10",
        example=f"{_SMTPD}warning: premature end-of-input on private/anvil socket while reading input attribute name",
        pattern=rf"warning: (?:(?:timeout|premature end-of-input) on|unexpected end-of-input from) {_SERVER}"
        r" while reading .*",
        words=("warning",),
        build=_asked,
        source="util/attr_scan0.c, attr_scan_plain.c: attr_scan_string",
    ),
    Rule(
        name="server-input-unexpected",
        since="2.10",
        example=f"{_SMTPD}warning: unexpected attribute flags from private/rewrite socket (expecting: transport)",
        pattern=r"warning: (?:unexpected (?:protocol )?[^ ]++ [^ ]++ from|(?:missing|duplicate) attribute [^ ]++ in "
        r"input"
        r" from|attribute count exceeds limit [0-9]++ in input from|malformed (?:base64|numerical) data from) "
        rf"{_SERVER}(?:(?: while reading [^:]++)?: .*| \(expect(?:ing|ed): .*)?",
        words=("warning",),
        build=_asked,
        source="util/attr_scan0.c, attr_scan_plain.c: attr_vscan0",
    ),
    Rule(
        name="service-problem",
        since="2.10",
        example=f"{_SMTPD}warning: problem talking to service rewrite: Connection timed out",
        pattern=rf"warning: problem talking to service {_SERVER}: .*",
        words=("warning",),
        build=health("ipc_error"),
        source="global/rewrite_clnt.c, resolve_clnt.c, verify_clnt.c, scache_clnt.c",
    ),
    Rule(
        name="service-connect",
        since="2.10",
        example=f"{_SMTPD}warning: connect #1 to subsystem public/cleanup: Connection refused",
        pattern=r"warning: connect #[0-9]++ to subsystem (?P<subject>[^ ]+): .*",
        words=("warning",),
        build=health("ipc_error"),
        source="global/mail_connect.c: mail_connect_wait",
    ),
    Rule(
        name="service-not-found",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postdrop[309]: warning: unable to look up public/pickup: "
        "No such file or directory",
        pattern=r"warning: unable to look up (?P<subject>(?:public|private)/[^ ]+): .*",
        words=("warning",),
        build=health("ipc_error"),
        source="global/mail_trigger.c: mail_trigger",
    ),
    Rule(
        name="proxymap-problem",
        since="2.10",
        example=f"{_SMTPD}warning: private/proxymap socket: service dict_proxy_open: Connection reset by peer",
        pattern=r"warning: (?:dict_proxy_[a-z]++: service )?(?P<subject>private/proxy(?:map|write))(?: socket)?"
        r"(?:: service dict_proxy_[a-z]++)?: .*",
        words=("warning",),
        build=health("ipc_error"),
        source="global/dict_proxy.c",
    ),
    Rule(
        name="qmgr-transport-failure",
        since="2.10",
        example=f"{_QMGR}warning: transport smtp failure -- see a previous warning/fatal/panic logfile record for the "
        "problem description",
        pattern=r"warning: transport (?P<subject>[^ ]++) failure -- see a previous .*",
        words=("warning",),
        build=health("ipc_error"),
        source="qmgr/qmgr_transport.c: qmgr_transport_throttle",
    ),
    Rule(
        name="qmgr-transport-connect",
        since="2.10",
        example=f"{_QMGR}warning: connect to transport private/smtp: Connection refused",
        pattern=r"warning: connect to transport (?P<subject>[^ ]+): .*",
        words=("warning",),
        build=health("ipc_error"),
        source="qmgr/qmgr_transport.c: qmgr_transport_alloc",
    ),
    Rule(
        name="qmgr-transport-response",
        since="2.10",
        example=f"{_QMGR}warning: private/smtp socket: malformed response",
        pattern=r"warning: (?P<subject>private/[^ :]++)(?: socket)?: (?:malformed response|premature disconnect)",
        words=("warning",),
        build=health("ipc_error"),
        source="qmgr/qmgr_deliver.c: qmgr_deliver_final_reply",
    ),
    Rule(
        name="qmgr-transport-timeout",
        since="2.10",
        example=f"{_QMGR}warning: timeout connecting to transport: smtp",
        pattern=rf"warning: (?:timeout connecting to|{QUEUE_ID}: timeout receiving delivery status from) transport: "
        r"(?P<subject>[^ ]++)",
        words=("warning",),
        build=health("ipc_error"),
        source="qmgr/qmgr_transport.c: qmgr_transport_abort; qmgr/qmgr_deliver.c: qmgr_deliver_abort",
    ),
)

_FILTERS = (
    Rule(
        name="milter-connect",
        since="2.10",
        example=f"{_SMTPD}warning: connect to Milter service inet:127.0.0.1:9999: Connection refused",
        pattern=r"warning: connect to Milter service (?P<subject>[^ ]+): .*",
        words=("warning",),
        build=health("milter_down"),
        source="milter/milter8.c: milter8_connect",
    ),
    Rule(
        name="milter-trouble",
        since="2.10",
        example=f"{_SMTPD}warning: milter inet:127.0.0.1:9999: can't read SMFIC_CONNECT reply packet header: Success",
        pattern=r"warning: (?:milter8_[a-z0-9_]++: )?milter (?P<subject>[^ ]+): (?:can't read |EOF while reading "
        r"|(?:error "
        r"writing|write error|read error|unreasonable|bad (?:packet|protocol)|input packet|packet too short|no (?:data|"
        r"protocol)|missing|malformed reply|unexpected (?:reply|protocol|filter)|protocol version|request mask|event "
        r"mask|"
        r"reply) ?).*",
        words=("warning",),
        build=health("milter_down"),
        source="milter/milter8.c: milter8_comm_error, milter8_conf_error",
    ),
    Rule(
        name="proxy-connect",
        since="2.10",
        example=f"{_SMTPD}warning: connect to proxy filter 127.0.0.1:10025: Connection refused",
        pattern=r"warning: (?:connect to proxy filter|received garbage from proxy) (?P<subject>[^ ]+): .*",
        words=("warning",),
        build=health("proxy_down"),
        source="smtpd/smtpd_proxy.c: smtpd_proxy_connect, smtpd_proxy_cmd",
    ),
    Rule(
        name="proxy-lost",
        since="2.10",
        example=f"{_SMTPD}warning: lost connection with proxy 127.0.0.1:10025",
        pattern=r"warning: (?:lost connection with|timeout talking to) proxy (?P<subject>[^ ]++)",
        words=("warning",),
        build=health("proxy_down"),
        source="smtpd/smtpd_proxy.c: smtpd_proxy_rdwr_error",
    ),
    Rule(
        name="proxy-refused-session",
        since="2.10",
        example=f'{_SMTPD}warning: proxy 127.0.0.1:10025 rejected "EHLO mx1.example.org": "421 4.3.2 Try again later"',
        pattern=r'warning: proxy (?P<subject>[^ ]++) rejected "(?!(?:MAIL|RCPT|DATA|BDAT|XFORWARD)\b|[Mm]essage).*',
        words=("warning",),
        build=health("proxy_down"),
        source="smtpd/smtpd_proxy.c: smtpd_proxy_cmd",
    ),
    Rule(
        # An answer to what the client sent: any client can cause it, and the filter is there.
        name="proxy-refused-mail",
        since="2.10",
        example=f'{_SMTPD}warning: proxy 127.0.0.1:10025 rejected "MAIL FROM:<bob@example.com>": "550 5.7.1 No"',
        pattern=r'warning: proxy (?P<subject>[^ ]++) rejected "(?:(?:MAIL|RCPT|DATA|BDAT|XFORWARD)\b|[Mm]essage).*',
        words=("warning",),
        build=health("other"),
        source="smtpd/smtpd_proxy.c: smtpd_proxy_cmd",
    ),
)

_LOGIN = (
    Rule(
        name="sasl-init-failed",
        since="2.10",
        example=f"{_SMTPD}fatal: SASL per-process initialization failed",
        pattern=r"fatal: (?P<reason>SASL per-(?:process|connection) initialization failed)",
        words=("fatal",),
        build=_cyrus(),
        source="smtpd/smtpd_sasl_glue.c: smtpd_sasl_initialize, smtpd_sasl_activate",
    ),
    Rule(
        name="sasl-init-detail",
        since="2.10",
        example=f"{_SMTPD}warning: SASL per-process initialization failed: generic failure",
        pattern=r"warning: (?P<reason>SASL per-(?:process initialization failed: .*|connection (?:server "
        r"initialization: "
        r".*|security setup; .*))|xsasl_cyrus_server_get_mechanism_list: no applicable SASL mechanisms)",
        words=("warning",),
        build=_cyrus(part=True),
        source="xsasl/xsasl_cyrus_server.c",
    ),
    Rule(
        name="sasl-no-mechanism-left",
        since="3.6",
        example=f"{_SMTPD}fatal: smtpd_sasl_mechanism_filter discards all mechanisms in 'PLAIN LOGIN'",
        pattern=r"fatal: (?P<subject>[a-z_]++) discards all mechanisms in '.*",
        words=("fatal",),
        build=health("fatal"),
        source="smtpd/smtpd_sasl_glue.c: smtpd_sasl_activate",
    ),
)

SERVERS = (*_TALK, *_FILTERS, *_LOGIN)
