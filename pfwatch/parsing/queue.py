"""The life of a message: pickup, cleanup, qmgr.

Enters: match objects, and the table of `postsuper`. Leaves: events and the rules of these daemons. This file must never
know a message, only its lines; the client of a cleanup line comes from the queue id, never from the line, where typed
text precedes it.
"""

import re

from pfwatch.events import (
    Envelope,
    MessageAccepted,
    MessageIdentified,
    MessageQueued,
    MessageRemoved,
    MilterAction,
)
from pfwatch.parsing import postsuper
from pfwatch.parsing.fragments import ADDRESS, PLAIN_ADDRESS, PLAIN_ID, QUEUE_ID, STAGE, untrusted, word
from pfwatch.parsing.postsuper import queue_file
from pfwatch.parsing.reject import read_reply
from pfwatch.parsing.rule import Plain, Rule
from pfwatch.parsing.trouble import health, housekeeping


def _picked_up(envelope: Envelope, found: re.Match[bytes]) -> MessageAccepted:
    return MessageAccepted(
        envelope, None, found["queue_id"].decode(), "pickup", None, None, None, word(found["orig_id"]),
        int(found["uid"]), untrusted(found["sender"]),
    )  # fmt: skip


def _identified(envelope: Envelope, found: re.Match[bytes]) -> MessageIdentified:
    return MessageIdentified(envelope, None, found["queue_id"].decode(), untrusted(found["message_id"]))


def _queued(envelope: Envelope, found: re.Match[bytes]) -> MessageQueued:
    return MessageQueued(
        envelope,
        None,
        found["queue_id"].decode(),
        untrusted(found["sender"]),
        int(found["size"]),
        int(found["recipients"]),
        None,
        False,
    )


_ACTIONS = {
    b"removed": "removed",
    b"removed (canceled)": "canceled",
    b"removed (discarded)": "canceled",
}


def _removed(envelope: Envelope, found: re.Match[bytes]) -> MessageRemoved:
    return MessageRemoved(envelope, found["queue_id"].decode(), _ACTIONS[found["action"]])  # type: ignore[arg-type] # only such words


def _expired(envelope: Envelope, found: re.Match[bytes]) -> MessageRemoved:
    return MessageRemoved(envelope, found["queue_id"].decode(), "expired")


_ENHANCED = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3}) ")


def _milter_action(envelope: Envelope, found: re.Match[bytes]) -> MilterAction:
    """The line lacks the three digits of the milter's reply, but not its enhanced code."""
    reply = read_reply(found["text"] or b"")
    text, enhanced_code = reply.text, reply.enhanced_code
    enhanced = _ENHANCED.match(text) if reply.code is None else None
    if enhanced:
        text, enhanced_code = text[enhanced.end() :], enhanced[1].decode()
    return MilterAction(
        envelope,
        None,
        found["queue_id"].decode(),
        found["action"].decode(),  # type: ignore[arg-type] # the pattern knows only these words
        text.startswith(b"Service unavailable - try again later"),
        found["stage"].decode(),
        reply.code,
        enhanced_code,
        untrusted(text),
    )


_HEAD = "Nov 22 09:53:31 mx1 postfix/"

PICKUP = (
    Rule(
        name="pickup-message",
        since="2.10",
        example=f"{_HEAD}pickup[217]: 1B2C3D4: uid=1000 from=<alice>",
        # A very long sender is cut before its end.
        pattern=rf"{QUEUE_ID}: uid=(?P<uid>[0-9]{{1,10}}+) from=<(?P<sender>.*?)"
        r"(?:>(?: orig_id=(?P<orig_id>[0-9A-Za-z]++))?)?",
        words=("uid",),
        build=_picked_up,
        plain=(
            Plain(
                rf"{PLAIN_ID}: uid=(?P<uid>[0-9]{{1,10}}+) from={PLAIN_ADDRESS}"
                r"(?: orig_id=(?P<orig_id>[0-9A-Za-z]++))?",
                rare=True,
            ),
        ),
        tally=(),
        kind=MessageAccepted,
        source="pickup/pickup.c: pickup_copy",
    ),
    Rule(
        name="pickup-malformed",
        since="2.10",
        # Whoever may write into the maildrop directory can cause it.
        example=f"{_HEAD}pickup[217]: warning: uid=1000: unexpected or malformed record type 88",
        pattern=rf"warning: (?:{QUEUE_ID}: )?uid=-?[0-9]++: "
        r"(?:unexpected or malformed record type -?[0-9]++|no envelope sender)",
        words=("warning",),
        build=housekeeping("malformed_submission"),
        source="pickup/pickup.c: copy_segment",
    ),
    Rule(
        name="pickup-open",
        since="2.10",
        example=f"{_HEAD}pickup[217]: warning: open input file maildrop/1B2C3D4: cannot open file: Permission denied",
        pattern=r"warning: open input file (?P<subject>[^ :]++): .*",
        words=("warning",),
        build=queue_file,
        source="pickup/pickup.c: pickup_file",
    ),
    Rule(
        name="pickup-open-advice",
        since="2.10",
        example=f"{_HEAD}pickup[217]: warning: if this file was created by Postfix < 1.1, then you may have to chmod "
        "a+r /var/spool/postfix/maildrop/1B2C3D4",
        pattern=r"warning: if this file was created by Postfix < 1\.1, then you may have to chmod a\+r .*",
        words=("warning",),
        build=health("queue_write", part=True),
        source="pickup/pickup.c: pickup_file",
    ),
    Rule(
        name="pickup-write",
        since="2.10",
        example=f"{_HEAD}pickup[217]: warning: maildrop/1B2C3D4: error writing 2CC6F5E: queue file write error",
        # cleanup says itself what it would not take; here stands the reply that a client would have got.
        pattern=r"warning: (?P<subject>[^ :]++): error writing [^ :]++: .*",
        words=("warning",),
        build=housekeeping("not_accepted"),
        source="pickup/pickup.c: pickup_copy",
    ),
    Rule(
        name="pickup-remove",
        since="2.10",
        example=f"{_HEAD}pickup[217]: warning: remove maildrop/1B2C3D4: Permission denied",
        pattern=r"warning: remove (?P<subject>[^ :]++): .*",
        words=("warning",),
        build=queue_file,
        source="pickup/pickup.c: pickup_file",
    ),
)

_CANCELED = Rule(
    name="cleanup-canceled",
    since="3.10",
    example=f"{_HEAD}cleanup[237]: 20C0C58: removed (canceled)",
    pattern=rf"{QUEUE_ID}: (?P<action>removed \((?:canceled|discarded)\))",
    words=("removed",),
    build=_removed,
    kind=MessageRemoved,
    tally=(),
    notes="removed",
    noted=("host", "queue_id"),
    source="cleanup/cleanup_api.c: cleanup_flush",
)

CLEANUP = (
    Rule(
        name="cleanup-message-id",
        since="2.10",
        example=f"{_HEAD}cleanup[237]: 20C0C58: message-id=<20261122095331.1@example.org>",
        pattern=rf"{QUEUE_ID}: (?:resent-)?message-id=(?P<message_id>.*)",
        words=("message-id", "resent-message-id"),
        build=_identified,
        kind=MessageIdentified,
        tally=(),
        plain=(Plain(rf"{PLAIN_ID}: message-id=.*+", varied=True),),
        source="cleanup/cleanup_message.c: cleanup_header_callback",
    ),
    Rule(
        name="cleanup-milter-action",
        since="2.10",
        example=f"{_HEAD}cleanup[302]: 2CC6F5E: milter-reject: END-OF-MESSAGE from unknown[192.0.2.7]: 5.7.1 Command "
        "rejected; from=<a@example.com> to=<b@example.org> proto=ESMTP helo=<w>",
        # `name[address]` is Postfix's own and stands before whatever the milter says.
        pattern=rf"{QUEUE_ID}: milter-(?P<action>reject|hold|discard): {STAGE} from [^ \[]++\[[^\] ]++\]"
        r"(?::(?: (?P<text>.*))?)?",
        words=("milter-reject", "milter-hold", "milter-discard"),
        build=_milter_action,
        source="cleanup/cleanup_milter.c: cleanup_milter_apply",
    ),
    _CANCELED,
)

QMGR = (
    Rule(
        name="qmgr-queued",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: 20C0C58: from=<alice@example.org>, size=270, nrcpt=1 (queue active)",
        pattern=rf"{QUEUE_ID}: from=<(?P<sender>{ADDRESS}|.*)>, size=(?P<size>[0-9]{{1,18}}+),"
        r" nrcpt=(?P<recipients>[0-9]{1,9}+) \(queue active\)",
        words=("from",),
        build=_queued,
        kind=MessageQueued,
        tally=(),
        spread=("size", "recipients"),
        plain=(
            Plain(
                rf"{PLAIN_ID}: from={PLAIN_ADDRESS}, size=(?P<size>[0-9]{{1,18}}+), nrcpt=(?P<recipients>[0-9]{{1,9}}+)"
                r" \(queue active\)",
                varied=True,
            ),
        ),
        source="qmgr/qmgr_message.c: qmgr_message_read",
    ),
    Rule(
        name="qmgr-removed",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: 2C68E5D: removed",
        pattern=rf"{QUEUE_ID}: (?P<action>removed)",
        words=("removed",),
        build=_removed,
        kind=MessageRemoved,
        tally=(),
        plain=(Plain(rf"{PLAIN_ID}: removed"),),
        notes="removed",
        noted=("host", "queue_id"),
        source="qmgr/qmgr_active.c: qmgr_active_done_3_generic",
    ),
    Rule(
        name="qmgr-expired",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: A31A56B: from=<alice@example.org>, status=expired, returned to sender",
        pattern=rf"{QUEUE_ID}: from=<(?P<sender>.*)>, status=(?:force-)?expired, returned to sender",
        words=("from",),
        build=_expired,
        source="qmgr/qmgr_active.c: qmgr_active_done_2_generic",
    ),
    Rule(
        name="qmgr-cut-off",
        since="2.10",
        # Longer than Postfix logs: what became of the message stood behind its sender.
        example=f"{_HEAD}qmgr[218]: A31A56B: from=<{'a' * 1984}",
        pattern=rf"{QUEUE_ID}: from=<.{{1900,}}",
        words=("from",),
        build=housekeeping("cut_off"),
        fallback=True,
        source="qmgr/qmgr_message.c: qmgr_message_read",
    ),
    Rule(
        name="qmgr-skipped",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: A31A56B: skipped, still being delivered",
        pattern=rf"{QUEUE_ID}: skipped, still being delivered",
        words=("skipped,",),
        build=housekeeping("skipped"),
        source="qmgr/qmgr_active.c: qmgr_active_feed",
    ),
    Rule(
        name="qmgr-damaged",
        since="2.10",
        # `saving corrupt file` follows.
        example=f"{_HEAD}qmgr[218]: warning: A31A56B: message rejected: missing end record",
        pattern=rf"warning: (?:{QUEUE_ID}: (?:message rejected: |invalid size record: |bad attribute record: "
        r"|invalid flags in size record: |envelope records out of order)"
        r"|(?:[A-Z0-9a-z]++: )?Unexpected record type ).*",
        words=("warning",),
        build=health("other", part=True),
        source="qmgr/qmgr_message.c: qmgr_message_read",
    ),
    Rule(
        name="qmgr-ignored",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: warning: A31A56B: ignoring VERP request for null sender",
        pattern=rf"warning: {QUEUE_ID}: (?:ignoring (?:malformed DSN |out-of-order |multiple |(?:bad )?VERP request).*"
        r"|rcpt count mismatch \(-?[0-9]++\))",
        words=("warning",),
        build=housekeeping("ignored"),
        source="qmgr/qmgr_message.c: qmgr_message_read",
    ),
    Rule(
        name="qmgr-queue-file",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: warning: open active A31A56B: No such file or directory",
        pattern=r"warning: (?:(?:[A-Za-z0-9_]++: ){1,2}(?:rename (?:[^ :]++ )?from [a-z]++ to [a-z]++"
        r"|remove [^ :]++ from [a-z]++|update [^ :]++ time stamps)|open [a-z]++ [A-Za-z0-9]++): .*",
        words=("warning",),
        build=queue_file,
        source="qmgr/qmgr_active.c: qmgr_active_feed",
    ),
    Rule(
        name="qmgr-bogus-name",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: warning: qmgr_move: ignored: queue incoming id core",
        pattern=r"warning: [a-z_]++: ignored: queue [a-z]++ id .*",
        words=("warning",),
        build=housekeeping("bogus_queue_file"),
        source="qmgr/qmgr_move.c: qmgr_move",
    ),
    Rule(
        name="qmgr-write",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: warning: write to process (A31A56B): Broken pipe",
        pattern=r"warning: write to process \([^)]*+\): .*",
        words=("warning",),
        build=health("ipc_error"),
        source="qmgr/qmgr_deliver.c: qmgr_deliver_send_request",
    ),
    Rule(
        name="qmgr-feedback",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: warning: smtp_destination_concurrency_positive_feedback: ignoring malformed or "
        "unreasonable feedback: banana",
        pattern=r"warning: (?P<subject>[A-Za-z0-9_-]++): ignoring malformed or unreasonable feedback: .*",
        words=("warning",),
        build=health("config_warning"),
        source="qmgr/qmgr_feedback.c: qmgr_feedback_init",
    ),
    Rule(
        name="qmgr-old-name",
        since="2.10",
        example=f"{_HEAD}nqmgr[218]: warning: please update the /etc/postfix/master.cf file; the new queue manager",
        pattern=r"warning: please update the (?P<subject>[^ ]++) file; the new queue manager",
        words=("warning",),
        build=health("config_warning"),
        source="qmgr/qmgr.c: main",
    ),
    Rule(
        name="qmgr-old-name-advice",
        since="2.10",
        example=f"{_HEAD}nqmgr[218]: warning: support for the name old name (nqmgr) will be removed from Postfix",
        pattern=r"warning: (?:\(old name: nqmgr\) has become the standard queue manager \(new name: qmgr\)"
        r"|support for the name old name \(nqmgr\) will be removed from Postfix)",
        words=("warning",),
        build=health("config_warning", part=True),
        source="qmgr/qmgr.c: main",
    ),
)

POSTSUPER = postsuper.POSTSUPER
