"""The life of a message: pickup, cleanup, qmgr, postsuper.

Enters: match objects. Leaves: events and the rules of these daemons. This file must never know a message, only its
lines; the client of a cleanup line comes from the queue id, never from the line, where typed text precedes it.
"""

import re

from pfwatch.events import (
    Envelope,
    Event,
    MessageAccepted,
    MessageIdentified,
    MessageQueued,
    MessageRemoved,
    MilterAction,
)
from pfwatch.parsing.fragments import ADDRESS, PLAIN_ADDRESS, PLAIN_ID, QUEUE_ID, STAGE, untrusted
from pfwatch.parsing.reject import read_reply
from pfwatch.parsing.rule import Plain, Rule


def _picked_up(envelope: Envelope, found: re.Match[bytes]) -> Event:
    return MessageAccepted(
        envelope, None, found["queue_id"].decode(), "pickup", None, None, None, None, int(found["uid"]),
        untrusted(found["sender"]),
    )  # fmt: skip


def _identified(envelope: Envelope, found: re.Match[bytes]) -> Event:
    return MessageIdentified(envelope, None, found["queue_id"].decode(), untrusted(found["message_id"]))


def _queued(envelope: Envelope, found: re.Match[bytes]) -> Event:
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
    b"requeued": "requeued",
    b"placed on hold": "held",
    b"released from hold": "released",
    b"expired": "expired",
}


def _removed(envelope: Envelope, found: re.Match[bytes]) -> Event:
    action = _ACTIONS[found["action"]]
    if action == "removed" and envelope.daemon == "postsuper":
        action = "deleted"
    return MessageRemoved(envelope, found["queue_id"].decode(), action)  # type: ignore[arg-type] # only such words


def _expired(envelope: Envelope, found: re.Match[bytes]) -> Event:
    return MessageRemoved(envelope, found["queue_id"].decode(), "expired")


def _milter_action(envelope: Envelope, found: re.Match[bytes]) -> Event:
    reply = read_reply(found["text"].rpartition(b"]: ")[2] if b"]: " in found["text"] else found["text"])
    return MilterAction(
        envelope,
        None,
        found["queue_id"].decode(),
        found["action"].decode(),  # type: ignore[arg-type] # the pattern knows only these words
        reply.text.startswith(b"Service unavailable - try again later"),
        found["stage"].decode(),
        reply.code,
        reply.enhanced_code,
        untrusted(reply.text),
    )


_HEAD = "Nov 22 09:53:31 mx1 postfix/"

PICKUP = (
    Rule(
        name="pickup-message",
        since="2.10",
        example=f"{_HEAD}pickup[217]: 1B2C3D4: uid=1000 from=<alice>",
        pattern=rf"{QUEUE_ID}: uid=(?P<uid>[0-9]++) from=<(?P<sender>.*)>(?: orig_id=[0-9A-Za-z]++)?",
        words=("uid",),
        build=_picked_up,
        source="pickup/pickup.c: pickup_copy",
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
        plain=(Plain(rf"{PLAIN_ID}: message-id=[^\n]*+"),),
        source="cleanup/cleanup_message.c: cleanup_header_callback",
    ),
    Rule(
        name="cleanup-milter-action",
        since="2.10",
        example=f"{_HEAD}cleanup[302]: 2CC6F5E: milter-reject: END-OF-MESSAGE from unknown[192.0.2.7]: 5.7.1 Command "
        "rejected; from=<a@example.com> to=<b@example.org> proto=ESMTP helo=<w>",
        pattern=rf"{QUEUE_ID}: milter-(?P<action>reject|hold|discard): {STAGE} from (?P<text>.*)",
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
        pattern=rf"{QUEUE_ID}: from=<(?P<sender>{ADDRESS}|.*)>, size=(?P<size>[0-9]++), nrcpt=(?P<recipients>[0-9]++)"
        r" \(queue active\)",
        words=("from",),
        build=_queued,
        kind=MessageQueued,
        tally=("size", "recipients"),
        plain=(
            Plain(
                rf"{PLAIN_ID}: from={PLAIN_ADDRESS}, size=(?P<size>[0-9]++), nrcpt=(?P<recipients>[0-9]++)"
                r" \(queue active\)"
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
)

POSTSUPER = (
    Rule(
        name="postsuper-message",
        since="2.10",
        example=f"{_HEAD}postsuper[272]: A740676: placed on hold",
        pattern=rf"{QUEUE_ID}: (?P<action>removed|requeued|placed on hold|released from hold|expired)",
        words=("removed", "requeued", "placed", "released", "expired"),
        build=_removed,
        notes="removed",
        noted=("host", "queue_id"),
        source="postsuper/postsuper.c",
    ),
)
