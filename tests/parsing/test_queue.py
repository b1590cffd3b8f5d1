"""The life of a message, from its first queue file to the last, and what its sender's name can not do to it."""

import pytest

from pfwatch.events import (
    Housekeeping,
    MessageAccepted,
    MessageIdentified,
    MessageQueued,
    MessageRemoved,
    QueueChanged,
    ServiceHealth,
)
from tests.parsing.test_rules import explained

HEAD = "Nov 22 09:53:31 mx1 postfix/"


@pytest.mark.parametrize(
    ("line", "queue_id", "action"),
    [
        ("qmgr[218]: 2C68E5D: removed", "2C68E5D", "removed"),
        ("oqmgr[218]: 2C68E5D: removed", "2C68E5D", "removed"),
        ("qmgr[218]: 4ZkX5y2Gq1z9rtv: removed", "4ZkX5y2Gq1z9rtv", "removed"),
        ("qmgr[218]: 2C68E5D: from=<a@example.org>, status=expired, returned to sender", "2C68E5D", "expired"),
        ("qmgr[218]: 2C68E5D: from=<>, status=force-expired, returned to sender", "2C68E5D", "expired"),
        ("cleanup[237]: 2C68E5D: removed (canceled)", "2C68E5D", "canceled"),
        ("cleanup[237]: 2C68E5D: removed (discarded)", "2C68E5D", "canceled"),
        ("postsuper[272]: 2C68E5D: removed", "2C68E5D", "deleted"),
        ("postsuper[272]: 2C68E5D: requeued", "2C68E5D", "requeued"),
        ("postsuper[272]: 2C68E5D: placed on hold", "2C68E5D", "held"),
        ("postsuper[272]: 2C68E5D: released from hold", "2C68E5D", "released"),
        ("postsuper[272]: 2C68E5D: expired", "2C68E5D", "expired"),
    ],
)
def test_a_message_that_leaves_or_changes_its_place(line: str, queue_id: str, action: str) -> None:
    event = explained(HEAD + line)
    assert isinstance(event, MessageRemoved)
    assert (event.queue_id, event.action) == (queue_id, action)


@pytest.mark.parametrize(
    ("line", "action", "count"),
    [
        ("Deleted: 1 message", "deleted", 1),
        ("Requeued: 12 messages", "requeued", 12),
        ("Placed on hold: 3 messages", "held", 3),
        ("Released from hold: 3 messages", "released", 3),
        ("Force-expired: 2 messages", "expired", 2),
    ],
)
def test_the_sum_of_a_command_about_the_queue(line: str, action: str, count: int) -> None:
    event = explained(f"{HEAD}postsuper[274]: {line}")
    assert isinstance(event, QueueChanged)
    assert (event.action, event.count) == (action, count)


@pytest.mark.parametrize(
    "line",
    [
        "postsuper[274]: Deleted: many messages",
        "postsuper[274]: Deleted: 3 messages and more",
        "qmgr[218]: Deleted: 3 messages",
        "qmgr[218]: 2C68E5D: placed on hold",
        "cleanup[237]: 2C68E5D: removed (because)",
        "qmgr[218]: 2C68E5D: removed by hand",
    ],
)
def test_what_only_looks_like_a_change_of_the_queue_is_not_read_as_one(line: str) -> None:
    assert explained(HEAD + line).kind == "unsupported"


@pytest.mark.parametrize(
    ("line", "uid", "sender", "orig_queue_id"),
    [
        ("uid=1000 from=<alice>", 1000, "alice", None),
        ("uid=0 from=<>", 0, "", None),
        ("uid=108 from=<alice@example.org> orig_id=A1B2C3D", 108, "alice@example.org", "A1B2C3D"),
        ("uid=1000 from=<x> orig_id=A1B2C3D>", 1000, "x> orig_id=A1B2C3D", None),
        (f"uid=1000 from=<{'a' * 1900}", 1000, "a" * 256, None),
    ],
)
def test_a_message_of_a_local_user(line: str, uid: int, sender: str, orig_queue_id: str | None) -> None:
    event = explained(f"{HEAD}pickup[217]: 1B2C3D4: {line}")
    assert isinstance(event, MessageAccepted)
    assert (event.origin, event.uid, event.sender, event.orig_queue_id) == ("pickup", uid, sender, orig_queue_id)


@pytest.mark.parametrize(
    "sender",
    [
        "x>, status=expired, returned to sender",
        "x>, size=999999, nrcpt=999 (queue active)",
        '"x>, size=999999, nrcpt=999 (queue active)"@example.com',
    ],
)
def test_a_sender_who_writes_like_postfix_changes_nothing(sender: str) -> None:
    event = explained(f"{HEAD}qmgr[218]: 2C68E5D: from=<{sender}>, size=270, nrcpt=1 (queue active)")
    assert isinstance(event, MessageQueued)
    assert (event.size, event.recipients) == (270, 1)
    event = explained(f"{HEAD}qmgr[218]: 2C68E5D: from=<{sender}>, status=expired, returned to sender")
    assert isinstance(event, MessageRemoved)


def test_a_sender_of_two_thousand_bytes_hides_what_became_of_the_message_and_is_no_new_wording() -> None:
    event = explained(f"{HEAD}qmgr[218]: 2C68E5D: from=<{'a' * 1985}")
    assert isinstance(event, Housekeeping)
    assert event.topic == "cut_off"
    assert explained(f"{HEAD}qmgr[218]: 2C68E5D: from=<short").kind == "unsupported"


@pytest.mark.parametrize("start", ["message-id=", "resent-message-id="])
def test_a_message_id_may_say_anything(start: str) -> None:
    event = explained(f"{HEAD}cleanup[237]: 2C68E5D: {start}<a@b> warning: unknown[203.0.113.9]: SASL LOGIN "
                      "authentication failed: x")  # fmt: skip
    assert isinstance(event, MessageIdentified)
    assert event.client is None


@pytest.mark.parametrize(
    ("line", "topic"),
    [
        ("qmgr[218]: 2C68E5D: skipped, still being delivered", "skipped"),
        ("qmgr[218]: warning: 2C68E5D: ignoring VERP request for null sender", "ignored"),
        ("qmgr[218]: warning: 2C68E5D: rcpt count mismatch (-2)", "ignored"),
        ("qmgr[218]: warning: qmgr_move: ignored: queue incoming id core", "bogus_queue_file"),
        ("postsuper[274]: Renamed to match inode number: 12 messages", "queue_ids_changed"),
        ("postsuper[274]: warning: bogus file name: incoming/core", "bogus_queue_file"),
        ("pickup[217]: warning: 1B2C3D4: uid=1000: no envelope sender", "malformed_submission"),
        ("pickup[217]: warning: maildrop/1B2C3D4: error writing 2CC6F5E: queue file write error", "not_accepted"),
    ],
)
def test_what_is_nobodys_concern_is_housekeeping(line: str, topic: str) -> None:
    event = explained(HEAD + line)
    assert isinstance(event, Housekeeping)
    assert event.topic == topic


@pytest.mark.parametrize(
    "line",
    [
        "qmgr[218]: warning: open active 2C68E5D: ",
        "qmgr[218]: warning: qmgr_active_done_3_generic: remove 2C68E5D from active: ",
        "qmgr[218]: warning: qmgr_active_feed: 2C68E5D: rename from incoming to active: ",
        "qmgr[218]: warning: qmgr_active_defer: update active/2C68E5D time stamps: ",
        "pickup[217]: warning: remove maildrop/1B2C3D4: ",
        "postsuper[274]: warning: 2C68E5D: reset time stamps: ",
    ],
)
def test_a_file_that_was_deleted_meanwhile_is_no_trouble_and_one_that_cannot_be_written_is(line: str) -> None:
    assert explained(f"{HEAD}{line}No such file or directory").kind == "housekeeping"
    trouble = explained(f"{HEAD}{line}Read-only file system")
    assert isinstance(trouble, ServiceHealth)
    assert trouble.problem == "queue_write"


@pytest.mark.parametrize(
    ("line", "problem", "part_of"),
    [
        ('qmgr[218]: warning: saving corrupt file "2C68E5D" from queue "active" to queue "corrupt"', "other", None),
        ("qmgr[218]: warning: 2C68E5D: message rejected: missing size record", "other", "service_health"),
        ("qmgr[218]: warning: Unexpected record type 'X' at offset 12", "other", "service_health"),
        ("qmgr[218]: warning: mail for example.net is using up 4001 of 5000 active queue entries", "other", None),
        ("qmgr[218]: warning: this may slow down other mail deliveries", "other", "service_health"),
        ("qmgr[218]: warning: you may need a separate master.cf transport for example.net", "other",
         "service_health"),
        ("qmgr[218]: warning: connect to transport private/smtp: Connection refused", "ipc_error", None),
        ("qmgr[218]: warning: write to process (2C68E5D): Broken pipe", "ipc_error", None),
        ("nqmgr[218]: warning: please update the /etc/postfix/master.cf file; the new queue manager",
         "config_warning", None),
        ("nqmgr[218]: warning: (old name: nqmgr) has become the standard queue manager (new name: qmgr)",
         "config_warning", "service_health"),
        ("postsuper[274]: error: QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS", "other", None),
        ("postsuper[274]: warning: OPERATION INCOMPLETE -- RERUN COMMAND TO FIX THE QUEUE FIRST", "other", None),
    ],
)  # fmt: skip
def test_trouble_in_the_queue_counts_once(line: str, problem: str, part_of: str | None) -> None:
    event = explained(HEAD + line)
    assert isinstance(event, ServiceHealth)
    assert (event.problem, event.envelope.part_of) == (problem, part_of)
