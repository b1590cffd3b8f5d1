"""smtpd: who connects, who logs in, who is refused.

Enters: match objects. Leaves: events and the rules of smtpd, the hottest first. This file must never know a session.
"""

import re

from pfwatch.events import (
    ClientConnected,
    ClientDisconnected,
    Envelope,
    Limit,
    MessageAccepted,
    MilterAction,
    PolicyAction,
    RateLimited,
    Rejected,
    RelayDenied,
    SessionAborted,
)
from pfwatch.parsing import sasl
from pfwatch.parsing.fragments import (
    CLIENT,
    PLAIN_ID,
    QUEUE_ID,
    STAGE,
    client,
    number,
    untrusted,
    untrusted_or_none,
    word,
    worth_keeping,
)
from pfwatch.parsing.reject import category, read_reply
from pfwatch.parsing.rule import Plain, Rule
from pfwatch.parsing.tls import INBOUND, LIBRARY


def _queue_id(found: re.Match[bytes]) -> str | None:
    """The queue id of a match; None for NOQUEUE and where none stands."""
    text = found["queue_id"]
    return None if text is None or text == b"NOQUEUE" else text.decode()


def _connected(envelope: Envelope, found: re.Match[bytes]) -> ClientConnected:
    return ClientConnected(envelope, client(found))


_FAILED_AUTH = re.compile(rb" auth=([0-9]{1,9})/([0-9]{1,9})(?= |\Z)")


def failed_logins(commands: bytes | None) -> int:
    """How many AUTH commands failed by the counts at the end of a session."""
    found = _FAILED_AUTH.search(commands or b"")
    return int(found[2]) - int(found[1]) if found else 0


_COMMAND = re.compile(rb" ([a-z]+)=([0-9]{1,9})(?:/([0-9]{1,9}))?(?= |\Z)")


def _disconnected(envelope: Envelope, found: re.Match[bytes]) -> ClientDisconnected:
    commands = {
        name.decode(): [int(succeeded), int(every or succeeded)]
        for name, succeeded, every in _COMMAND.findall(found["commands"] or b"")
    }
    return ClientDisconnected(envelope, client(found), commands, word(found["notes"]))


_REASONS = {
    b"lost connection": "lost_connection",
    b"timeout": "timeout",
    b"too many errors": "too_many_errors",
    b"bare <LF> received": "bare_lf",
}


def _session_aborted(envelope: Envelope, found: re.Match[bytes]) -> SessionAborted:
    return SessionAborted(
        envelope,
        client(found),
        _REASONS[found["reason"]],  # type: ignore[arg-type] # the table holds only these
        found["stage"].decode(),
        number(found["bytes"]),
        _queue_id(found),
    )


def _refused(envelope: Envelope, found: re.Match[bytes]) -> RelayDenied | Rejected:
    reply = read_reply(found["text"])
    about, who, queue_id, stage = reply.about, client(found), _queue_id(found), found["stage"].decode()
    temporary = None if reply.code is None else reply.code < 500
    if reply.code is not None and about.endswith(b"Relay access denied"):
        return RelayDenied(
            envelope, who, queue_id, stage, reply.code, reply.enhanced_code, bool(temporary), reply.sender,
            reply.recipient, reply.helo, reply.proto, reply.username,
        )  # fmt: skip
    return Rejected(
        envelope, who, queue_id, stage, reply.code, reply.enhanced_code, temporary, category(about),
        untrusted(reply.text), reply.sender, reply.recipient, reply.helo, reply.proto, reply.username,
        reply.ambiguous,
    )  # fmt: skip


def _etrn_refused(envelope: Envelope, found: re.Match[bytes]) -> Rejected:
    return Rejected(
        envelope, client(found), None, "ETRN", None, None, None, "other", untrusted(found["text"]), None, None, None,
        None, None, False,
    )  # fmt: skip


def _policy_action(envelope: Envelope, found: re.Match[bytes]) -> PolicyAction:
    reply = read_reply(found["text"])
    return PolicyAction(
        envelope, client(found), _queue_id(found), found["action"].decode(), found["stage"].decode(),
        untrusted(reply.text), reply.sender, reply.recipient,
    )  # fmt: skip


def _milter_action(envelope: Envelope, found: re.Match[bytes]) -> MilterAction:
    reply = read_reply(found["text"])
    return MilterAction(
        envelope,
        client(found),
        _queue_id(found),
        found["action"].decode(),  # type: ignore[arg-type] # the pattern knows only these words
        reply.text.startswith(b"Service unavailable - try again later"),
        found["stage"].decode(),
        reply.code,
        reply.enhanced_code,
        untrusted(reply.text),
    )


def _accepted(envelope: Envelope, found: re.Match[bytes]) -> MessageAccepted:
    return MessageAccepted(
        envelope, client(found), found["queue_id"].decode(), "smtpd", untrusted_or_none(found["method"]),
        untrusted_or_none(found["username"]), untrusted_or_none(found["sasl_sender"]), word(found["orig_queue_id"]),
        None, None,
    )  # fmt: skip


LIMITS: dict[bytes, Limit] = {
    b"Connection concurrency": "connection_count",
    b"Connection rate": "connection_rate",
    b"Message delivery request rate": "message_rate",
    b"Recipient address rate": "recipient_rate",
    b"New TLS session rate": "tls_rate",
    b"AUTH command rate": "auth_rate",
}


_RATE_LIMITED = (
    rf"warning: (?P<limit>{'|'.join(text.decode() for text in LIMITS)}) limit exceeded: "
    rf"(?P<value>[0-9]{{1,9}}+) from {CLIENT} for service (?P<service_name>[^ ]++)"
)


def _rate_limited(envelope: Envelope, found: re.Match[bytes]) -> RateLimited:
    return RateLimited(
        envelope, client(found), LIMITS[found["limit"]], int(found["value"]), untrusted(found["service_name"])
    )


def _tls_refused(envelope: Envelope, found: re.Match[bytes]) -> RateLimited:
    return RateLimited(envelope, client(found), "tls_rate", None, untrusted(found["service_name"]))


_TYPED = ("address", "sender", "recipient", "helo")
_PLAIN_REPLY = (
    rf"{PLAIN_ID}: reject: {STAGE} from {CLIENT}: (?P<code>[2-5][0-9][0-9])"
    rf" (?:[245]\.[0-9]{{1,3}}\.[0-9]{{1,3}} )?(?:<(?P<address>[^<>\"; ]*+)>: )?"
)
_PLAIN_TAIL = (
    r'; (?=[ftp])(?:from=<(?P<sender>[^<>"; ]*+)> )?(?:to=<(?P<recipient>[^<>"; ]*+)> )?'
    r"(?:proto=E?SMTP)?(?: helo=<(?P<helo>[^<>\"; ]*+)>)?"
    r'(?: sasl_method=[^<>"; ]*+ sasl_username=[^<>"; ]*+)?'
)
"""It begins with one of its first three parts: else it is no tail, but belongs to the text."""
_PLAIN_REJECT = (
    rf"{_PLAIN_REPLY}"
    r"(?:Service unavailable; [A-Za-z -]++\[[^\] <>\";]*+\] (?P<listed>blocked using [^<>\"; ]++)(?:; [^<>\";]++)?"
    rf'|(?P<about>[^;<>"]++)){_PLAIN_TAIL}'
)
"""A refusal in which nobody can have typed anything that looks like the line itself: the default_rbl_reply, with what
the list's operator says of the client, or any text."""


def _is_relay_attempt(_stage: bytes, _code: bytes, about: bytes | None, _listed: bytes | None) -> bool:
    return about is not None and about.endswith(b"Relay access denied")


_HEAD = "Nov 22 09:53:31 mx1 postfix/smtpd[229]: "
_WHATSUP = "smtpd/smtpd_check.c: log_whatsup"

RULES = (
    Rule(
        name="smtpd-connect",
        since="2.10",
        example=f"{_HEAD}connect from unknown[192.0.2.9]",
        pattern=rf"connect from {CLIENT}",
        words=("connect",),
        build=_connected,
        kind=ClientConnected,
        plain=(Plain(rf"connect from {CLIENT}"),),
        tally=(),
        notes="connect",
        noted=("host", "tag", "pid", "client"),
        source="smtpd/smtpd.c: smtpd_service",
    ),
    Rule(
        name="smtpd-disconnect",
        since="2.10",
        example=f"{_HEAD}disconnect from unknown[192.0.2.9] ehlo=1 auth=0/3 quit=1 commands=2/5",
        pattern=rf"disconnect from {CLIENT}(?P<commands>(?: (?!notes=)[a-z0-9=/ ]*?)?)"
        r"(?: notes=(?P<notes>.*))?",
        words=("disconnect",),
        build=_disconnected,
        kind=ClientDisconnected,
        plain=(Plain(rf"disconnect from {CLIENT}(?P<commands>(?: (?!notes=)[a-z0-9=/ ]*+)?)"),),
        tally=(),
        asks="unspoken",
        notes="disconnect",
        noted=("host", "tag", "pid", "commands"),
        measure=failed_logins,
        source="smtpd/smtpd.c: smtpd_service",
    ),
    Rule(
        name="smtpd-client",
        since="2.10",
        example=f"{_HEAD}20C0C58: client=mail.example.net[198.51.100.5], sasl_method=PLAIN, "
        "sasl_username=alice@example.org",
        pattern=rf"{QUEUE_ID}: client={CLIENT}(?:, sasl_method=(?P<method>.*?))??"
        r"(?:, sasl_username=(?P<username>.*?))??"
        r"(?:, sasl_sender=(?P<sasl_sender>.*?))??(?:, orig_queue_id=(?P<orig_queue_id>[0-9A-Za-z]++))?"
        r"(?:, orig_client=.*)?",
        words=("client",),
        build=_accepted,
        kind=MessageAccepted,
        plain=(
            Plain(
                rf"{PLAIN_ID}: client={CLIENT}"
                r'(?:, sasl_method=(?P<method>[A-Z0-9-]++), sasl_username=(?P<username>[^ ,"]++))?'
            ),
        ),
        tally=("method",),
        notes="client",
        noted=("host", "queue_id", "client", "username"),
        measure=worth_keeping,
        source="smtpd/smtpd.c: mail_open_stream",
    ),
    *INBOUND,
    *sasl.RULES,
    LIBRARY,
    Rule(
        name="smtpd-reject",
        since="2.10",
        example=f"{_HEAD}NOQUEUE: reject: RCPT from unknown[192.0.2.9]: 554 5.7.1 <x@example.net>: Relay access "
        "denied; from=<spam@example.com> to=<x@example.net> proto=ESMTP helo=<client.example.com>",
        pattern=rf"{QUEUE_ID}: reject: {STAGE} from {CLIENT}: (?P<text>.*)",
        words=("reject",),
        build=_refused,
        kind=Rejected,
        tally=("stage", "code", "about", "listed"),
        plain=(Plain(_PLAIN_REJECT, varied=True, hit=RelayDenied, judge=_is_relay_attempt, typed=_TYPED),),
        source=_WHATSUP,
    ),
    Rule(
        name="smtpd-session-aborted",
        since="2.10",
        example=f"{_HEAD}lost connection after AUTH from unknown[192.0.2.9]",
        pattern=rf"(?:{QUEUE_ID}: )?(?P<reason>lost connection|timeout|too many errors|bare <LF> received) after "
        rf"{STAGE}(?: \((?P<bytes>[0-9]{{1,18}}+) bytes\))? from {CLIENT}",
        words=("lost", "timeout", "too", "bare"),
        build=_session_aborted,
        kind=SessionAborted,
        plain=(
            Plain(rf"(?P<reason>lost connection|timeout|too many errors) after (?P<stage>[A-Z][A-Z-]*+) from {CLIENT}"),
            Plain(
                rf"{PLAIN_ID}: (?P<reason>lost connection|timeout|too many errors) after (?P<stage>[A-Z][A-Z-]*+) "
                rf"from {CLIENT}"
            ),
        ),
        tally=("reason", "stage"),
        source="smtpd/smtpd.c: smtpd_proto",
    ),
    Rule(
        name="smtpd-rate-limited",
        since="2.10",
        example=f"{_HEAD}warning: Connection rate limit exceeded: 31 from unknown[192.0.2.9] for service smtp",
        pattern=_RATE_LIMITED,
        words=("warning",),
        build=_rate_limited,
        plain=(Plain(_RATE_LIMITED, rare=True),),
        kind=RateLimited,
        tally=("limit",),
        source="smtpd/smtpd.c",
    ),
    Rule(
        name="smtpd-tls-refused",
        since="2.10",
        example=f"{_HEAD}warning: Refusing STARTTLS request from unknown[192.0.2.9] for service smtp",
        pattern=rf"warning: Refusing (?:STARTTLS request|TLS service request) from {CLIENT} for service "
        r"(?P<service_name>[^ ]++)",
        words=("warning",),
        build=_tls_refused,
        source="smtpd/smtpd.c: smtpd_start_tls",
    ),
    Rule(
        name="smtpd-policy-action",
        since="2.10",
        example=f"{_HEAD}NOQUEUE: reject_warning: RCPT from unknown[192.0.2.7]: 450 4.7.25 Client host rejected: "
        "cannot find your hostname, [192.0.2.7]; from=<a@example.com> to=<b@example.org> proto=ESMTP helo=<w>",
        pattern=rf"{QUEUE_ID}: (?P<action>reject_warning|warn|hold|discard|redirect|filter|bcc|info|permit|hangup): "
        rf"{STAGE} from {CLIENT}:(?: (?P<text>.*))?",
        words=("reject_warning", "warn", "hold", "discard", "redirect", "filter", "bcc", "info", "permit", "hangup"),
        build=_policy_action,
        source=_WHATSUP,
    ),
    Rule(
        name="smtpd-milter-action",
        since="2.10",
        example=f"{_HEAD}NOQUEUE: milter-reject: MAIL from unknown[192.0.2.9]: 451 4.7.1 Service unavailable - try "
        "again later; from=<s@example.com> proto=ESMTP helo=<client.example.com>",
        pattern=rf"{QUEUE_ID}: milter-(?P<action>reject|hold|discard): {STAGE} from {CLIENT}: (?P<text>.*)",
        words=("milter-reject", "milter-hold", "milter-discard"),
        build=_milter_action,
        source="smtpd/smtpd.c: check_milter_reply",
    ),
    Rule(
        name="smtpd-etrn-reject",
        since="2.10",
        example=f"{_HEAD}warning: reject: ETRN example.com... from unknown[192.0.2.9]",
        pattern=rf"warning: (?:reject:|bad) ETRN (?P<text>[^ ]*+) from {CLIENT}",
        words=("warning",),
        build=_etrn_refused,
        source="smtpd/smtpd.c: etrn_cmd",
    ),
)
