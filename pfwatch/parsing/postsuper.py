"""What stands in the queue's directories: postsuper, which changes it, and showq, which lists it.

Enters: match objects. Leaves: events, the rules of both, and the builder for queue files that cannot be had. This file
must never know a message, only its lines.
"""

import re
from typing import Final

from pfwatch.events import Envelope, Housekeeping, MessageRemoved, QueueAction, QueueChanged, ServiceHealth
from pfwatch.parsing.fragments import QUEUE_ID
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.trouble import health, housekeeping, storage

_MOVES: dict[bytes, QueueAction] = {
    b"removed": "deleted",
    b"requeued": "requeued",
    b"placed on hold": "held",
    b"released from hold": "released",
    b"expired": "expired",
}


def _moved(envelope: Envelope, found: re.Match[bytes]) -> MessageRemoved:
    return MessageRemoved(envelope, found["queue_id"].decode(), _MOVES[found["action"]])


_CHANGES: dict[bytes, QueueAction] = {
    b"Deleted": "deleted",
    b"Requeued": "requeued",
    b"Placed on hold": "held",
    b"Released from hold": "released",
    b"Force-expired": "expired",
}


def _queue_changed(envelope: Envelope, found: re.Match[bytes]) -> QueueChanged:
    return QueueChanged(envelope, _CHANGES[found["action"]], int(found["count"]))


_GONE = b": No such file or directory"


def queue_file(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping | ServiceHealth:
    """Somebody deleted the message meanwhile, which is nothing; or the file system is in trouble."""
    if found[0].endswith(_GONE):
        return housekeeping("queue_file_gone")(envelope, found)
    return storage(envelope, found)


_HEAD = "Nov 22 09:53:31 mx1 postfix/"

POSTSUPER: Final = (
    Rule(
        name="postsuper-message",
        since="2.10",
        example=f"{_HEAD}postsuper[272]: A740676: placed on hold",
        pattern=rf"{QUEUE_ID}: (?P<action>removed|requeued|placed on hold|released from hold|expired)",
        words=("removed", "requeued", "placed", "released", "expired"),
        build=_moved,
        notes="removed",
        noted=("host", "queue_id"),
        source="postsuper/postsuper.c",
    ),
    Rule(
        name="postsuper-sum",
        since="2.10",  # `Force-expired` since 3.5
        example=f"{_HEAD}postsuper[274]: Deleted: 12 messages",
        pattern=rf"(?P<action>{'|'.join(text.decode() for text in _CHANGES)}): (?P<count>[0-9]{{1,10}}+) messages?",
        words=("Deleted", "Requeued", "Placed", "Released", "Force-expired"),
        build=_queue_changed,
        source="postsuper/postsuper.c: main",
    ),
    Rule(
        name="postsuper-renamed",
        since="2.10",
        example=f"{_HEAD}postsuper[274]: Renamed to match inode number: 12 messages",
        pattern=r"Renamed to match inode number: [0-9]++ messages?",
        words=("Renamed",),
        build=housekeeping("queue_ids_changed"),
        source="postsuper/postsuper.c: main",
    ),
    Rule(
        name="postsuper-ids-changed",
        since="2.10",
        # A queue that was restored from a backup.
        example=f"{_HEAD}postsuper[274]: error: QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS",
        pattern=r"(?:warning|error): QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS",
        words=("warning", "error"),
        build=health("other"),
        source="postsuper/postsuper.c: main",
    ),
    Rule(
        name="postsuper-incomplete",
        since="2.10",
        example=f"{_HEAD}postsuper[274]: warning: OPERATION INCOMPLETE -- RERUN COMMAND TO FIX THE QUEUE FIRST",
        pattern=r"warning: OPERATION INCOMPLETE -- RERUN COMMAND TO FIX THE QUEUE FIRST",
        words=("warning",),
        build=health("other"),
        source="postsuper/postsuper.c: interrupted",
    ),
    Rule(
        name="postsuper-odd-file",
        since="2.10",
        example=f"{_HEAD}postsuper[274]: warning: bogus file name: incoming/core",
        pattern=r"warning: (?:bogus file name|name/inode mismatch|invalid mail queue id): .*",
        words=("warning",),
        build=housekeeping("bogus_queue_file"),
        source="postsuper/postsuper.c: super",
    ),
    Rule(
        name="postsuper-file",
        since="2.10",
        example=f"{_HEAD}postsuper[274]: warning: A740676: reset time stamps: Permission denied",
        pattern=rf"warning: (?:{QUEUE_ID}: reset time stamps|expire file [^ :]++|remove subdirectory [^ :]++): .*",
        words=("warning",),
        build=queue_file,
        source="postsuper/postsuper.c: postexpire",
    ),
)

SHOWQ: Final = (
    Rule(
        name="showq-file",
        since="2.10",
        example=f"{_HEAD}showq[275]: warning: open deferred A740676: Permission denied",
        pattern=r"warning: (?:open|close(?: file)?) [a-z]++ [A-Za-z0-9]++: .*",
        words=("warning",),
        build=queue_file,
        source="showq/showq.c: showq_service",
    ),
    Rule(
        name="showq-odd-file",
        since="2.10",
        example=f"{_HEAD}showq[275]: warning: A740676: duplicate sender address: a@example.com -- skipping remainder "
        "of this file",
        pattern=rf"warning: (?:{QUEUE_ID}: (?:malformed size record: |(?:duplicate|missing) sender address: ).*"
        r"|readdir loop on queue [a-z]++ id .*)",
        words=("warning",),
        build=housekeeping("bogus_queue_file"),
        source="showq/showq.c: showq_report",
    ),
)
