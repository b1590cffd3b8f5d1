"""What was committed is there after a restart, a kill or a full disk: all of one step, or nothing of it."""

import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pfwatch.alerting.notification import Notification
from pfwatch.detection.incident import Incident
from pfwatch.position import FilePosition, JournalPosition
from pfwatch.store.changes import Changes
from pfwatch.store.database import KEEP_SENT, Store
from pfwatch.store.errors import StateError


def position(offset: int) -> FilePosition:
    return FilePosition("/var/log/mail.log", 1, 2, "4:00ff", offset)


def notification(number: int) -> Notification:
    incident = Incident(
        id=f"auth-bruteforce-{number}",
        rule="auth-bruteforce",
        severity="warning",
        subject="192.0.2.7",
        host="mx1",
        threshold=10,
        window=600,
        first=1.0,
        last=2.5,
        count=12,
        opened=2.0,
        tops={"account": [("påle@example.org", 7)]},
        evidence=["a line with \x00 and \x1b in it"],
    )
    return Notification(f"n{number}", "first", 3.0, "mx1", "Somebody guesses passwords", [incident], f"n{number}")


def reopened(store: Store) -> Store:
    store.close()
    return Store(store.path)


def test_everything_comes_back_as_it_was_committed(tmp_path: Path) -> None:
    changes = Changes(
        positions={"/var/log/mail.log": position(77), "journal": JournalPosition("s=1;i=2", 5, None)},
        counters={("lines", ()): 12.0, ("sasl", ("smtpd", 'odd "label\\')): 0.5},
        kept={"windows": {b"\x00\xff": b"\x01", b"": b""}, "incidents": {b"a": b"b"}},
        outbox=[notification(1), notification(2)],
    )
    store = Store(tmp_path / "state.db")
    store.commit(changes)
    store = reopened(store)
    saved = store.load()
    store.close()
    assert saved.positions == changes.positions
    assert saved.counters == changes.counters
    assert saved.kept == changes.kept
    assert saved.outbox == changes.outbox


def test_a_new_state_is_empty(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    saved = store.load()
    store.close()
    assert (saved.positions, saved.counters, saved.kept, saved.outbox) == ({}, {}, {}, [])
    assert store.notes == []


def test_the_position_of_a_source_that_is_gone_for_good_is_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.commit(Changes({"log": position(1), "gone": position(2)}))
    store.commit(Changes({"gone": None, "never": None, "log": position(3)}))
    store = reopened(store)
    assert store.load().positions == {"log": position(3)}
    store.close()


def test_a_later_commit_replaces_and_deletes(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.commit(Changes({"log": position(1)}, {("a", ()): 1, ("b", ()): 1}, {"part": {b"x": b"1", b"y": b"1"}}))
    store.commit(Changes({"log": position(2)}, {("a", ()): 2}, {"part": {b"x": None, b"y": b"2", b"none": None}}))
    saved = store.load()
    store.close()
    assert saved.positions == {"log": position(2)}
    assert saved.counters == {("a", ()): 2, ("b", ()): 1}
    assert saved.kept == {"part": {b"y": b"2"}}


def test_a_notification_enters_the_outbox_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.commit(Changes(outbox=[notification(1)]))
    store.commit(Changes(outbox=[notification(1), notification(2)]))
    assert [row.notification.id for row in store.pending()] == ["n1", "n2"]
    store.sent("n1", "mail", 100.0)
    store.commit(Changes(outbox=[notification(1)]))
    store = reopened(store)
    assert [row.notification.id for row in store.pending()] == ["n2"]
    store.close()


def test_what_was_sent_is_forgotten_after_thirty_days_and_not_before(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.commit(Changes(outbox=[notification(number) for number in range(1, 4)]))
    store.sent("n1", "mail", 100.0)
    store.sent("n2", "mail", 100.0 + KEEP_SENT)  # to the second: still remembered
    store.commit(Changes(outbox=[notification(1)]))
    assert [row.notification.id for row in store.pending()] == ["n3"]
    store.sent("n3", "mail", 101.0 + KEEP_SENT)
    store.commit(Changes(outbox=[notification(1)]))
    assert [row.notification.id for row in store.pending()] == ["n1"]
    store.close()


def test_a_failed_attempt_is_counted_and_waits_for_its_next_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.commit(Changes(outbox=[notification(1)]))
    assert [(row.attempts, row.next_try) for row in store.pending()] == [(0, 0.0)]
    store.failed("n1", "mail", "connection refused", 60.0)
    store.failed("n1", "mail", "connection refused", 180.0)
    store = reopened(store)
    assert [(row.attempts, row.next_try) for row in store.pending()] == [(2, 180.0)]
    store.close()


def test_a_notification_given_up_is_not_tried_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.commit(Changes(outbox=[notification(1)]))
    store.failed("n1", "mail", "no such user", None)
    store.commit(Changes(outbox=[notification(1)]))
    assert store.pending() == []
    store.close()


COMMITS_FOR_EVER = """
import sys
from pathlib import Path
from pfwatch.position import FilePosition
from pfwatch.store.changes import Changes
from pfwatch.store.database import Store

store = Store(Path(sys.argv[1]))
number = int(store.load().counters.get(("lines", ()), 0))
while True:
    number += 1
    rows = {f"key {row}".encode(): b"%d" % number for row in range(200)}
    position = FilePosition("log", 1, 2, "0:", number)
    store.commit(Changes({"log": position}, {("lines", ()): number, ("events", ("a",)): number}, {"part": rows}))
    print(number, flush=True)
"""


def test_killed_in_the_middle_of_commits_everything_agrees(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    last = 0
    for kill in range(5):
        with subprocess.Popen([sys.executable, "-c", COMMITS_FOR_EVER, path], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(5 + 7 * kill):
                last = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
        store = Store(path)
        saved = store.load()
        store.close()
        at = saved.positions["log"]
        assert isinstance(at, FilePosition)
        assert at.offset >= last
        assert saved.counters == {("lines", ()): at.offset, ("events", ("a",)): at.offset}
        assert set(saved.kept["part"].values()) == {b"%d" % at.offset}
        assert store.notes == []


def test_a_disk_without_room_takes_nothing_and_later_everything(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.commit(Changes({"log": position(1)}, {("a", ()): 1}))
    large = Changes({"log": position(2)}, {("a", ()): 2}, {"part": {bytes([key]): bytes(50_000) for key in range(100)}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StateError, match=r"state\.db cannot be written: "):
            store.commit(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    saved = store.load()
    assert (saved.positions, saved.counters, saved.kept) == ({"log": position(1)}, {("a", ()): 1}, {})
    store.commit(large)
    store = reopened(store)
    assert store.load().kept == large.kept
    store.close()


def test_values_of_another_version_are_said_not_guessed(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.commit(Changes({"log": position(1)}))
    with sqlite3.connect(store.path) as other:
        other.execute('UPDATE positions SET position = \'{"type":"tape"}\'')
    other.close()
    with pytest.raises(StateError, match=r"does not understand .* move it away to begin anew"):
        store.load()
    store.close()
