"""bounce, defer and trace: notifications about messages; verify and scache.

Enters: match objects. Leaves: events and rules. This file must never know a message: who is notified stands in the
lines of the notification's own queue id, if anywhere.
"""

import re

from pfwatch.events import Envelope, Housekeeping, Notice, Notified, ServiceHealth
from pfwatch.parsing.fragments import PLAIN_ID, QUEUE_ID, untrusted, word
from pfwatch.parsing.rule import Build, Plain, Rule

_NOTICES: dict[bytes, Notice] = {
    b"sender non-delivery": "non_delivery",
    b"sender delay": "delay",
    b"sender delivery status": "success",
}


def _notified(envelope: Envelope, found: re.Match[bytes]) -> Notified:
    notice, notice_queue_id = notice_of(found["notice"]), word(found["notice_queue_id"])
    return Notified(envelope, found["queue_id"].decode(), notice, notice_queue_id)


def notice_of(text: bytes) -> Notice:
    """The kind of a notification, of the words before `notification`."""
    return _NOTICES.get(text, "postmaster")


def _not_notified(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    return ServiceHealth(envelope, "other", "bounce", untrusted(found["text"]))


def _template(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    return ServiceHealth(envelope, "config_warning", "bounce_template_file", untrusted(found["text"]))


def _nothing_to_count(topic: str) -> Build[Housekeeping]:
    """A line that is read and counts nowhere."""

    def build(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping:
        return Housekeeping(envelope, topic, untrusted(found["text"]))

    return build


_HEAD = "Nov 22 09:53:31 mx1 postfix/"
_BOUNCE = f"{_HEAD}bounce[258]: "

BOUNCE: tuple[Rule, ...] = (
    Rule(
        name="bounce-notified",
        since="2.10",
        example=f"{_BOUNCE}A3F0070: sender non-delivery notification: B159A73",
        pattern=rf"{QUEUE_ID}: (?P<notice>sender non-delivery|sender delay|sender delivery status"
        r"|postmaster non-delivery|postmaster delay) notification(?:: (?P<notice_queue_id>[0-9A-Za-z]++))?",
        words=("sender", "postmaster"),
        build=_notified,
        plain=(
            Plain(
                rf"{PLAIN_ID}: (?P<notice>sender non-delivery|sender delay) notification: "
                r"(?P<notice_queue_id>[0-9A-Za-z]++)",
                rare=True,
            ),
        ),
        tally=("notice",),
        kind=Notified,
        source="bounce/bounce_notify_service.c, bounce_warn_service.c, bounce_trace_service.c, bounce_one_service.c",
    ),
    Rule(
        name="bounce-not-sent",
        since="2.10",
        example=f"{_BOUNCE}A3F0070: not sending trace/success notification for double-bounce message",
        pattern=rf"{QUEUE_ID}: (?P<text>not sending trace/success notification for (?:single|double)-bounce message"
        r"|no trace file -- not sending a notification)",
        words=("not", "no"),
        build=_nothing_to_count("no_notification"),
        source="bounce/bounce_trace_service.c: bounce_trace_service",
    ),
    Rule(
        name="bounce-discarded",
        since="2.10",
        example=f"{_BOUNCE}warning: A3F0070: undeliverable postmaster notification discarded",
        pattern=rf"warning: (?P<text>{QUEUE_ID}: undeliverable postmaster notification discarded)",
        words=("warning",),
        build=_nothing_to_count("no_notification"),
        source="bounce/bounce_notify_service.c: bounce_notify_service",
    ),
    Rule(
        name="bounce-malformed-message-id",
        since="3.6",
        example=f"{_BOUNCE}warning: A3F0070: ignoring malformed Message-ID",
        pattern=rf"warning: (?P<text>{QUEUE_ID}: ignoring malformed Message-ID)",
        words=("warning",),
        build=_nothing_to_count("no_message_id"),
        source="bounce/bounce_notify_util.c: bounce_mail_init",
    ),
    Rule(
        name="bounce-failed",
        since="2.10",
        example=f"{_BOUNCE}warning: A3F0070: sender notification failed to alice@example.org: queue file write error",
        pattern=rf"warning: (?P<text>{QUEUE_ID}: (?:postmaster notice failed while (?:bouncing to|warning) .*"
        r"|(?:sender|postmaster) (?:[a-z-]++ ){0,2}notification failed.*))",
        words=("warning",),
        build=_not_notified,
        source="bounce/bounce_notify_service.c, bounce_warn_service.c; since 3.11 also for the sender's",
    ),
    Rule(
        name="bounce-template",
        since="2.10",
        example=f'{_BOUNCE}warning: /etc/postfix/bounce.cf, line 7: missing "EOF" end marker',
        pattern=r"warning: (?P<text>(?:[^ ]+, line [0-9]++: (?:missing|malformed|unknown template name).*"
        r"|[^ ]+: [^:]+? in [^ ]+ template.*|[^ ]+: (?:conversion|unrecognized suffix) \"[^\"]*+\" .*))",
        words=("warning",),
        build=_template,
        source="bounce/bounce_template.c, bounce_templates.c",
    ),
    Rule(
        name="bounce-template-advice",
        since="2.10",
        example=f"{_BOUNCE}warning: -- ignoring this template for now",
        pattern=r"warning: (?P<text>-- ignoring this template for now|please specify a charset value other than "
        r"us-ascii|please (?:increase|reduce) time unit .*|for instructions see the bounce\(5\) manual)",
        words=("warning",),
        build=_nothing_to_count("advice"),
        source="bounce/bounce_template.c",
    ),
)

VERIFY: tuple[Rule, ...] = (
    Rule(
        name="verify-cache-cleanup",
        since="2.10",
        example=f"{_HEAD}verify[259]: cache btree:/var/lib/postfix/verify_cache full cleanup: retained=12 dropped=3 "
        "entries",
        pattern=r"(?P<text>cache [^ ]++ (?:full|partial) cleanup: retained=[0-9]++ dropped=[0-9]++ entries)",
        words=("cache",),
        build=_nothing_to_count("cache_cleanup"),
        source="util/dict_cache.c: dict_cache_clean_stat_log_reset",
    ),
    Rule(
        name="verify-request",
        since="2.10",
        example=f'{_HEAD}verify[259]: warning: bad address verify table entry: 0:0:0:"',
        pattern=r"warning: (?P<text>bad address verify table entry: .*|bad recipient status -?[0-9]++ for recipient .*"
        r'|unrecognized request: ".*", ignored)',
        words=("warning",),
        build=_nothing_to_count("verify_request"),  # the entry holds what remote servers said, and typed addresses
        source="verify/verify.c",
    ),
)

SCACHE: tuple[Rule, ...] = (
    Rule(
        name="scache-statistics",
        since="2.10",
        example=f"{_HEAD}scache[260]: statistics: domain lookup hits=0 miss=7 success=0%",
        pattern=r"(?P<text>statistics: (?:start interval [A-Z][a-z]{2} [ 0-3][0-9] [0-9:]{8}"
        r"|(?:domain|address) lookup hits=[0-9]++ miss=[0-9]++ success=[0-9]++%"
        r"|max simultaneous domains=[0-9]++ addresses=[0-9]++ connection=[0-9]++))",
        words=("statistics",),
        build=_nothing_to_count("connection_cache"),
        source="scache/scache.c: scache_status_dump",
    ),
    Rule(
        name="scache-request",
        since="2.10",
        example=f"{_HEAD}scache[260]: warning: scache_find_endp_service: bad or missing request parameter",
        pattern=r"warning: (?P<text>scache_[a-z_]++: (?:bad or missing request parameter"
        r'|cannot send file descriptor: .*|unable to receive file descriptor: .*)|unrecognized request: ".*", ignored)',
        words=("warning",),
        build=_nothing_to_count("connection_cache"),
        source="scache/scache.c",
    ),
)
