"""smtpd: clients that break the protocol, names that do not confirm, what a proxy answered; qmqpd.

Enters: match objects. Leaves: events and rules. This file must never know a session.

What a client typed stands at the end of these lines, behind its address; a hostname is what somebody's PTR record says.
"""

import re
from typing import get_args

from pfwatch.events import (
    Client,
    ClientConnected,
    ClientDisconnected,
    DnsMismatch,
    Envelope,
    MessageAccepted,
    ProtocolViolation,
    ProxyVerdict,
    Rejected,
    SessionAborted,
    Violation,
)
from pfwatch.parsing.fragments import (
    CLIENT,
    QUEUE_ID,
    STAGE,
    address,
    client,
    number,
    untrusted,
    untrusted_or_none,
    word,
)
from pfwatch.parsing.reject import category, read_reply
from pfwatch.parsing.rule import Build, Plain, Rule
from pfwatch.parsing.smtpd_notes import NOTES


def _violation(violation: Violation, stage: str | None = None) -> Build[ProtocolViolation]:
    """A breach of the protocol; the stage stands in the line, or the wording itself knows it."""
    assert violation in get_args(Violation)  # noqa: S101 - a slip in the table below

    def build(envelope: Envelope, found: re.Match[bytes]) -> ProtocolViolation:
        said = found.groupdict()
        return ProtocolViolation(
            envelope, client(found), violation, word(said.get("stage")) or stage, untrusted_or_none(said.get("sample"))
        )

    return build


def _too_big(envelope: Envelope, found: re.Match[bytes]) -> Rejected:
    """The client is known by the queue id alone; neither stage nor reply code stand in the line."""
    text, queue_id = found["text"], found["queue_id"]
    return Rejected(
        envelope, None, None if queue_id == b"NOQUEUE" else queue_id.decode(), None, None, None, None, category(text),
        untrusted(text), None, None, None, None, None, False,
    )  # fmt: skip


def _proxy_verdict(envelope: Envelope, found: re.Match[bytes]) -> ProxyVerdict:
    reply = read_reply(found["text"])
    return ProxyVerdict(
        envelope,
        None,
        found["verdict"].decode(),  # type: ignore[arg-type] # the pattern knows only the two words
        found["stage"].decode(),
        reply.code,
        untrusted(reply.text),
    )


def _unconfirmed(envelope: Envelope, found: re.Match[bytes]) -> DnsMismatch:
    """The address is Postfix's own; of the name that was not confirmed, nothing is taken."""
    who = Client(address(found["ip"]), None, None)
    return DnsMismatch(envelope, who, untrusted(found["hostname"]), untrusted(found["reason"]))


def _bad_name(envelope: Envelope, found: re.Match[bytes]) -> DnsMismatch:
    """A name that cannot be one: it may look like an address, and is none."""
    return DnsMismatch(envelope, None, untrusted(found["hostname"]), untrusted(found["reason"]))


_HEAD = "Nov 22 09:53:31 mx1 postfix/smtpd[229]: "
_SMTPD = "smtpd/smtpd.c: smtpd_proto"
_BDAT = "smtpd/smtpd.c: bdat_cmd"
_PEER = "smtpd/smtpd_peer.c: smtpd_peer_sockaddr_to_hostname"

_MISMATCH = Rule(
    name="hostname-mismatch",
    since="2.10",
    example=f"{_HEAD}warning: hostname mail.example.net does not resolve to address 192.0.2.7: "
    "Name or service not known",
    pattern=r"warning: hostname (?P<hostname>[A-Za-z0-9._-]++) does not resolve to address "
    r"(?P<ip>[0-9A-Fa-f:.]+?)(?:: (?P<reason>.*))?",
    words=("warning",),
    build=_unconfirmed,
    plain=(
        Plain(
            r"warning: hostname [A-Za-z0-9._-]++ does not resolve to address (?P<ip>[0-9A-Fa-f:.]*[0-9A-Fa-f])"
            r"(?:: (?P<reason>[A-Z][A-Za-z -]*+))?",
            rare=True,
        ),
    ),
    tally=(),
    kind=DnsMismatch,
    source=_PEER,
)
_NUMERIC = Rule(
    name="hostname-numeric",
    since="2.10",
    example=f"{_HEAD}warning: numeric hostname: 203.0.113.9",
    pattern=r"warning: (?P<reason>numeric hostname): (?P<hostname>.*)",
    words=("warning",),
    build=_bad_name,
    source="util/myaddrinfo.c: sockaddr_to_hostname",
)
_MALFORMED = Rule(
    name="hostname-malformed",
    since="2.10",
    example=f"{_HEAD}warning: valid_hostname: invalid character 47(decimal): a/b.example.net",
    pattern=r"warning: valid_hostname: (?P<reason>empty hostname|invalid character -?[0-9]++\(decimal\)"
    r"|misplaced (?:delimiter|hyphen)|label too long|numeric hostname|bad length [0-9]++ for)"
    r"(?::? (?P<hostname>.*))?",
    words=("warning",),
    build=_bad_name,
    source="util/valid_hostname.c: valid_hostname",
)

_VIOLATIONS = (
    Rule(
        name="smtpd-pipelining",
        since="2.10",
        example=f"{_HEAD}improper command pipelining after HELO from unknown[192.0.2.9]: "
        "MAIL FROM:<a@example.com>\\r\\n",
        pattern=rf"improper command pipelining after {STAGE} from {CLIENT}(?:: (?P<sample>.*))?",
        words=("improper",),
        build=_violation("pipelining"),
        source=_SMTPD,
    ),
    Rule(
        name="smtpd-non-smtp-command",
        since="2.10",
        example=f"{_HEAD}warning: non-SMTP command from unknown[192.0.2.9]: GET / HTTP/1.1",
        pattern=rf"warning: non-SMTP command from {CLIENT}(?:: (?P<sample>.*))?",
        words=("warning",),
        build=_violation("non_smtp"),
        source=_SMTPD,
    ),
    Rule(
        name="smtpd-long-line",
        since="2.10",
        example=f"{_HEAD}warning: unknown[192.0.2.9]: request longer than 2048: EHLO aaaaaaaaaaaaaaaaaaaaaaaaa...",
        pattern=rf"warning: {CLIENT}: request longer than [0-9]++(?:: (?P<sample>.{{0,90}}?)(?:\.\.\.)?)?",
        words=("warning",),
        build=_violation("long_line"),
        source="smtpd/smtpd_chat.c: smtpd_chat_query",
    ),
    Rule(
        name="smtpd-bad-address",
        since="2.10",
        example=f"{_HEAD}warning: Illegal address syntax from unknown[192.0.2.9] in RCPT command: <b@example.org@>",
        pattern=rf"warning: Illegal address syntax from {CLIENT} in {STAGE} command(?:: (?P<sample>.*))?",
        words=("warning",),
        build=_violation("bad_address"),
        source="smtpd/smtpd.c: extract_addr",
    ),
    Rule(
        name="smtpd-bad-bdat",
        since="3.4",
        example=f"{_HEAD}warning: NOQUEUE: malformed BDAT command syntax from unknown[192.0.2.9]: BDAT abc",
        pattern=rf"warning: {QUEUE_ID}: (?:malformed BDAT command syntax|null BDAT request"
        r"|too much BDAT content -- disabling further input"
        rf"|BDAT request) from {CLIENT}(?:: (?P<sample>.*)| exceeds message size limit)?",
        words=("warning",),
        build=_violation("bad_bdat", "BDAT"),
        source=_BDAT,
    ),
)

_ANSWERS = (
    Rule(
        name="smtpd-queue-file-size",
        since="2.10",
        example=f"{_HEAD}warning: 2EB6660: queue file size limit exceeded",
        pattern=rf"warning: {QUEUE_ID}: (?P<text>queue file size limit exceeded)",
        words=("warning",),
        build=_too_big,
        source="smtpd/smtpd.c: receive_data_message",
    ),
    Rule(
        name="smtpd-proxy-verdict",
        since="2.10",
        example=f"{_HEAD}proxy-reject: END-OF-MESSAGE: 550 5.7.1 spam; from=<a@example.com> to=<b@example.org> "
        "proto=ESMTP helo=<mail.example.com>",
        pattern=rf"(?:{QUEUE_ID}: )?proxy-(?P<verdict>accept|reject): {STAGE}: (?P<text>.*)",
        words=("proxy-accept", "proxy-reject"),
        build=_proxy_verdict,
        source="smtpd/smtpd.c: data_cmd",
    ),
)

RULES: tuple[Rule, ...] = (_MISMATCH, *_VIOLATIONS, *_ANSWERS, _NUMERIC, _MALFORMED, *NOTES)


def _qmqp_connected(envelope: Envelope, found: re.Match[bytes]) -> ClientConnected:
    return ClientConnected(envelope, client(found))


def _qmqp_disconnected(envelope: Envelope, found: re.Match[bytes]) -> ClientDisconnected:
    return ClientDisconnected(envelope, client(found), {}, None)


def _qmqp_accepted(envelope: Envelope, found: re.Match[bytes]) -> MessageAccepted:
    queue_id = found["queue_id"].decode()
    return MessageAccepted(envelope, client(found), queue_id, "smtpd", None, None, None, None, None, None)


def _qmqp_aborted(envelope: Envelope, found: re.Match[bytes]) -> SessionAborted:
    queue_id, lost = found["queue_id"], found["reason"] == b"lost connection"
    return SessionAborted(
        envelope, client(found), "lost_connection" if lost else "timeout", found["stage"].decode(), number(None),
        None if queue_id == b"NOQUEUE" else queue_id.decode(),
    )  # fmt: skip


_QMQP = "Nov 22 09:53:31 mx1 postfix/qmqpd[231]: "

QMQPD: tuple[Rule, ...] = (
    Rule(
        name="qmqpd-connect",
        since="2.10",
        example=f"{_QMQP}connect from lists.example.net[192.0.2.9]",
        pattern=rf"connect from {CLIENT}",
        words=("connect",),
        build=_qmqp_connected,
        source="qmqpd/qmqpd.c: qmqpd_service",
    ),
    Rule(
        name="qmqpd-disconnect",
        since="2.10",
        example=f"{_QMQP}disconnect from lists.example.net[192.0.2.9]",
        pattern=rf"disconnect from {CLIENT}",
        words=("disconnect",),
        build=_qmqp_disconnected,
        source="qmqpd/qmqpd.c: qmqpd_service",
    ),
    Rule(
        name="qmqpd-client",
        since="2.10",
        example=f"{_QMQP}20C0C58: client=lists.example.net[192.0.2.9]",
        pattern=rf"{QUEUE_ID}: client={CLIENT}",
        words=("client",),
        build=_qmqp_accepted,
        source="qmqpd/qmqpd.c: qmqpd_open_file",
    ),
    _MISMATCH,
    _NUMERIC,
    _MALFORMED,
)

QMQPD_NAMED: tuple[Rule, ...] = (
    Rule(
        name="qmqpd-session-aborted",
        since="2.10",
        example=f"{_QMQP}NOQUEUE: unknown[192.0.2.9]: lost connection while reading sender address",
        pattern=rf"{QUEUE_ID}: {CLIENT}: (?P<reason>lost connection|(?:read/write )?timeout) while "
        r"(?P<stage>[a-z /]++)",
        words=("",),
        build=_qmqp_aborted,
        source="qmqpd/qmqpd.c: qmqpd_proto",
    ),
)
"""Lines of qmqpd with the client behind the queue id: no first word finds them."""
