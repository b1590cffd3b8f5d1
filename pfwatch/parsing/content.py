"""cleanup: what header, body and milter header checks did with a message, and what it would not take.

Enters: match objects. Leaves: events and rules. This file must never know a session, nor a client: up to 200 bytes of
the message stand before Postfix's own `from name[address]`, so whoever wrote the message could name anybody there. The
client comes from the queue id.
"""

import re
from typing import Final

import msgspec

from pfwatch.events import ContentAction, Envelope, Rejected, ServiceHealth
from pfwatch.parsing.fragments import QUEUE_ID, untrusted
from pfwatch.parsing.reject import read_reply
from pfwatch.parsing.rule import Build, Rule
from pfwatch.parsing.trouble import health, housekeeping


def _content_action(envelope: Envelope, found: re.Match[bytes]) -> ContentAction:
    action, part = found["action"].decode(), found["part"].decode()
    return ContentAction(
        envelope,
        None,
        found["queue_id"].decode(),
        "warn" if action == "warning" else action,
        part,  # type: ignore[arg-type] # the patterns know only these words
        untrusted(found["text"]),
    )


def _refused(category: str) -> Build[Rejected]:
    """Of a message that cleanup would not take; the reply to the client stands nowhere."""

    def build(envelope: Envelope, found: re.Match[bytes]) -> Rejected:
        return Rejected(
            envelope, None, found["queue_id"].decode(), None, None, None, None, category, untrusted(found["text"]),
            None, None, None, None, None, False,
        )  # fmt: skip

    return build


def _mime_error(envelope: Envelope, found: re.Match[bytes]) -> Rejected:
    reply = read_reply(found["text"])
    return Rejected(
        envelope, None, found["queue_id"].decode(), None, None, None, None, "content", untrusted(found["text"]),
        reply.sender, reply.recipient, None, None, None, reply.ambiguous,
    )  # fmt: skip


def _close_error(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    """What is left of a write that failed before: smtpd or cleanup has said so. Anybody can cause it by a long
    message, so it must not look like a full disk.
    """
    envelope = msgspec.structs.replace(envelope, part_of="rejected")
    return ServiceHealth(envelope, "queue_write", "", untrusted(found["text"]))


_HEAD = "Nov 22 09:53:31 mx1 postfix/cleanup[237]: "
_ACTIONS = (
    "reject", "warning", "info", "hold", "discard", "filter", "redirect", "bcc", "prepend", "replace", "strip", "pass",
)  # fmt: skip
_ANY_ACTION = rf"(?P<action>{'|'.join(_ACTIONS)})"
_ORIGIN = r"(?=.* from [^ ;]++;)"
"""Somewhere Postfix names the origin. Which of several it is cannot be told, so it is not read."""
_MAP = r"(?P<subject>[a-z0-9_]++)"
"""A parameter of main.cf."""
_LATER = "message not accepted, try again later"
_ENVELOPE = "cleanup/cleanup_envelope.c: cleanup_envelope_process"
_MILTER = "cleanup/cleanup_milter.c"

CLEANUP: Final[tuple[Rule, ...]] = (
    Rule(
        name="cleanup-content-check",
        since="2.10",  # `pass` and `strip` since 3.2
        example=f"{_HEAD}2CC6F5E: reject: header Subject: viagra from unknown[192.0.2.7]; from=<a@example.com> "
        "to=<b@example.org> proto=ESMTP helo=<w>: 5.7.1 spam content",
        pattern=rf"{QUEUE_ID}: {_ANY_ACTION}: (?P<part>header|body|content) {_ORIGIN}(?P<text>.*)",
        words=_ACTIONS,
        build=_content_action,
        source="cleanup/cleanup_message.c: cleanup_act_log",
    ),
    Rule(
        name="cleanup-milter-check",
        since="2.10",
        example=f"{_HEAD}2CC6F5E: milter-header-reject: header X-Spam: yes from unknown[192.0.2.7]; "
        "from=<a@example.com> to=<b@example.org> proto=ESMTP helo=<w>: 5.7.1 spam",
        pattern=rf"{QUEUE_ID}: milter-(?P<part>header|body)-{_ANY_ACTION}: (?:header|body) {_ORIGIN}(?P<text>.*)",
        words=tuple(f"milter-{part}-{action}" for part in ("header", "body") for action in _ACTIONS),
        build=_content_action,
        source=f"{_MILTER}: cleanup_milter_hbc_log",
    ),
    Rule(
        name="cleanup-mime-error",
        since="2.10",
        example=f"{_HEAD}2CC6F5E: reject: mime-error improper use of 8-bit data in message header: X-Name: ?? from "
        "unknown[192.0.2.7]; from=<a@example.com> to=<b@example.org>",
        pattern=rf"{QUEUE_ID}: reject: (?P<text>mime-error .*)",
        words=("reject",),
        build=_mime_error,
        source="cleanup/cleanup_message.c: cleanup_mime_error_callback",
    ),
    Rule(
        name="cleanup-message-rejected",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: message rejected: hopcount exceeded",
        pattern=rf"warning: {QUEUE_ID}: (?P<text>message rejected: .*)",
        words=("warning",),
        build=_refused("content"),
        source="cleanup/cleanup_message.c: cleanup_header_done_callback",
    ),
    Rule(
        name="cleanup-record-refused",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: record type 77 not allowed - discarding this message",
        pattern=rf"warning: {QUEUE_ID}: (?P<text>record type -?[0-9]++ not allowed - discarding this message)",
        words=("warning",),
        build=_refused("content"),
        source=_ENVELOPE,
    ),
    Rule(
        name="cleanup-size-limit",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: queue file size limit exceeded",
        pattern=rf"warning: {QUEUE_ID}: (?P<text>queue file size limit exceeded)",
        words=("warning",),
        build=_refused("size"),
        source="cleanup/cleanup_out.c: cleanup_out",
    ),
    Rule(
        name="cleanup-close-error",
        since="2.10",
        example=f"{_HEAD}warning: mail_stream_cleanup: close error",
        pattern=r"warning: (?P<text>mail_stream_cleanup: close error)",
        words=("warning",),
        build=_close_error,
        source="global/mail_stream.c: mail_stream_cleanup",
    ),
    Rule(
        name="cleanup-map-trouble",
        since="2.10",
        # The key, an address that somebody typed, stands behind the table
        example=f"{_HEAD}warning: 2CC6F5E: virtual_alias_maps map lookup problem for bob@example.org -- {_LATER}",
        pattern=rf"(?:warning: )?{QUEUE_ID}: (?P<text>(?:unreasonable )?{_MAP} "
        r"(?:map (?:lookup problem|expansion size|nesting)|result) .*)",
        words=(
            "warning",
            "unreasonable",
            "virtual_alias_maps",
            "header_checks",
            "mime_header_checks",
            "nested_header_checks",
            "body_checks",
            "milter_header_checks",
            "sender_bcc_maps",
            "recipient_bcc_maps",
            "always_add_missing_headers",
            "canonical_maps",
            "sender_canonical_maps",
            "recipient_canonical_maps",
        ),
        build=health("map_error"),
        source="cleanup/cleanup_map1n.c: cleanup_map1n_internal",
    ),
    Rule(
        name="cleanup-map-entry",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: multi-valued canonical_maps entry for bob@example.org",
        pattern=rf"warning: {QUEUE_ID}: (?P<text>multi-valued {_MAP} entry for .*)",
        words=("warning",),
        build=health("map_error"),
        source="cleanup/cleanup_map11.c: cleanup_map11_external",
    ),
    Rule(
        name="cleanup-check-misconfigured",
        since="2.10",
        # Right-hand sides of our own tables, which may hold a piece of the message by way of `$1`.
        example=f"{_HEAD}warning: missing FILTER command argument in header_checks map",
        pattern=r"warning: (?P<text>(?:(?:missing FILTER command argument|(?:PREPEND|REPLACE) action without text"
        r"|bad FILTER command .*|bad (?:PREPEND|REPLACE) header text \".*\"|bad (?:REDIRECT target|BCC address) \".*\")"
        r" in [a-z_]++ map.*|unknown command in [a-z_]++ map: .*|bad DSN action in [a-z_]++ -- need .*"
        r"|bad [^ ]++ header text \".*\" -- need .*))",
        words=("warning",),
        build=health("config_warning"),
        source="cleanup/cleanup_message.c: cleanup_act",
    ),
    Rule(
        name="cleanup-report-failed",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: bounce message failure",
        pattern=rf"warning: {QUEUE_ID}: (?P<text>(?P<subject>bounce|trace|verify) "
        r"(?:message failure|logfile update error|service update error))",
        words=("warning",),
        build=health("ipc_error"),
        source="cleanup/cleanup_bounce.c: cleanup_bounce",
    ),
    Rule(
        name="cleanup-queue-file",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: read file incoming/2CC6F5E: Input/output error",
        pattern=rf"warning: (?:{QUEUE_ID}|cleanup_[a-z_]++): "
        r"(?P<text>(?:read|seek|fstat|vstream_ftell|vstream_fseek)(?: file)? (?P<subject>[^ :]++): .*)",
        words=("warning",),
        build=health("queue_write"),
        source=_MILTER,
    ),
    Rule(
        name="cleanup-milter-setting",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: milter configuration error: can't reject recipient in non-smtpd(8) "
        "submission",
        pattern=rf"warning: {QUEUE_ID}: (?P<text>milter configuration error: .*)",
        words=("warning",),
        build=health("config_warning"),
        source=f"{_MILTER}: cleanup_milter_emul_rcpt",
    ),
    Rule(
        name="cleanup-milter-setting-result",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: {_LATER}",
        pattern=rf"warning: {QUEUE_ID}: (?P<text>{_LATER})",
        words=("warning",),
        build=health("config_warning", part=True),
        source=f"{_MILTER}: cleanup_milter_emul_rcpt",
    ),
    Rule(
        name="cleanup-milter-request",
        since="2.10",
        example=f"{_HEAD}warning: 2CC6F5E: ignoring attempt from Milter to add null recipient",
        pattern=rf"(?:warning: )?(?:{QUEUE_ID}: )?(?P<text>(?:ignoring attempt from Milter"
        r"|ignoring redundant or conflicting milter reply: |ignoring ESMTP argument from Milter"
        r"|Bad (?:NOTIFY|ORCPT) parameter from Milter|Ignoring bad ESMTP parameter "
        r"|Milter (?:or header/body_checks )?request to ).*)",
        words=("warning", "ignoring", "Ignoring", "Bad", "Milter"),
        build=housekeeping("milter_request"),
        source=_MILTER,
    ),
    Rule(
        name="cleanup-ignored",
        since="2.10",  # the TLS-Required header since 3.10
        example=f"{_HEAD}warning: 2CC6F5E: ignoring malformed DSN notify record <9>",
        pattern=rf"(?:warning: )?(?:{QUEUE_ID}: )?(?P<text>ignoring "
        r"(?:malformed (?:DSN|dsn|header)|out-of-order |(?:bad )?VERP request|bad extra flags).*"
        r"|spurious null attribute value for .*)",
        words=("warning", "ignoring"),
        build=housekeeping("ignored"),
        source=_ENVELOPE,
    ),
)

SMTP: Final = (
    Rule(
        name="smtp-content-check",
        since="2.10",
        example="Nov 24 10:00:00 mx1 postfix/smtp[306]: CD6FF21459C: warning: header Subject: hello: outgoing",
        pattern=rf"{QUEUE_ID}: {_ANY_ACTION}: (?P<part>header|body|content) (?P<text>.*)",
        words=_ACTIONS,
        build=_content_action,
        source="smtp/smtp_proto.c: smtp_hbc_logger",
    ),
)
"""smtp_header_checks and the like, for mail that leaves; the line names nobody."""
