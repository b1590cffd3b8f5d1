"""The state in trouble, without a daemon around it: what waits in memory, and what the database gets of it later."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfwatch.store.changes import Changes
from pfwatch.store.errors import OlderError, PassingError, StaleError, StateError
from pfwatch.store.state import State, Unwritten
from tests.store.test_store import notification, position


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def ids(state: State) -> list[str]:
    return [row.notification.id for row in state.pending()]


def fail(state: State, *numbers: int) -> None:
    with locked(state_path(state)), pytest.raises(PassingError, match="another process has locked it"):
        state.commit(Changes(outbox=[notification(number) for number in numbers]))


def state_path(state: State) -> Path:
    return Path(state._path)


def test_what_was_sent_before_it_could_be_committed_is_in_the_database_as_sent(tmp_path: Path) -> None:
    path, unwritten = tmp_path / "state.db", Unwritten()
    state = State(path, unwritten)
    fail(state, 1, 2)
    assert ids(state) == ["n1", "n2"]
    state.sent("n1", "mail", 100.0)
    state.failed("n2", "mail", "connection refused", 160.0)
    state.failed("n2", "mail", "connection refused", 280.0)
    assert [(row.notification.id, row.attempts, row.next_try) for row in state.pending()] == [("n2", 2, 280.0)]
    state.commit(Changes({"log": position(1)}))
    assert unwritten == Unwritten()
    state.commit(Changes(outbox=[notification(1), notification(2)]))
    state.close()
    state = State(path, unwritten)
    assert [(row.notification.id, row.attempts, row.next_try) for row in state.pending()] == [("n2", 2, 280.0)]
    state.close()


def test_what_is_read_again_after_a_reload_is_not_sent_again(tmp_path: Path) -> None:
    path, unwritten = tmp_path / "state.db", Unwritten()
    state = State(path, unwritten)
    fail(state, 1)
    state.sent("n1", "mail", 100.0)
    state.close()
    state = State(path, unwritten)
    fail(state, 1, 2)
    assert ids(state) == ["n2"]
    state.commit(Changes())
    assert ids(state) == ["n2"]
    state.close()


def test_what_the_database_knows_as_sent_is_not_sent_again_while_it_is_locked(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db", Unwritten())
    state.commit(Changes(outbox=[notification(1)]))
    state.sent("n1", "mail", 100.0)
    fail(state, 1)
    assert ids(state) == []
    state.close()


def test_a_thousand_notifications_wait_for_the_disk_and_no_more(tmp_path: Path) -> None:
    unwritten = Unwritten()
    state = State(tmp_path / "state.db", unwritten)
    fail(state, *range(1002))
    assert len(unwritten.held) == 1000
    assert ids(state)[0] == "n2"
    assert [note.split(";")[1] for note in state.notes] == [" n0 was given up", " n1 was given up"]
    state.close()


def test_a_new_database_is_given_everything_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = State(path, Unwritten())
    state.commit(Changes({"log": position(1)}, {("a", ()): 1}, {"part": {b"x": b"1"}}))
    path.unlink()
    with pytest.raises(StaleError):
        state.commit(Changes({"log": position(2)}, {("a", ()): 2}))
    assert state.load().positions == {}
    state.commit(Changes({"log": position(2)}, {("a", ()): 2}, {"part": {b"x": b"1"}}, whole=True))
    state.commit(Changes({"log": position(3)}))
    saved = state.load()
    assert (saved.positions, saved.counters, saved.kept) == (
        {"log": position(3)}, {("a", ()): 2}, {"part": {b"x": b"1"}},
    )  # fmt: skip
    state.close()


@pytest.mark.parametrize("trouble", ["deleted", "damaged"])
def test_a_mail_that_waits_in_a_database_outlives_it(tmp_path: Path, trouble: str) -> None:
    path, unwritten = tmp_path / "state.db", Unwritten()
    state = State(path, unwritten)
    state.commit(Changes({"log": position(1)}, outbox=[notification(1), notification(2), notification(3)]))
    state.sent("n1", "mail", 100.0)
    state.failed("n2", "mail", "connection refused", 160.0)
    state.close()
    state = State(path, unwritten)
    assert ids(state) == ["n2", "n3"]
    if trouble == "deleted":
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"these are the notes of somebody")
    with pytest.raises(StaleError):
        state.commit(Changes({"log": position(2)}))
    state.commit(Changes({"log": position(2)}, whole=True))
    state.close()
    state = State(path, unwritten)
    rows = [(row.notification.id, row.attempts, row.next_try) for row in state.pending()]
    assert rows == [("n2", 1, 160.0), ("n3", 0, 0.0)]
    state.close()


def test_a_directory_deleted_with_all_that_is_in_it_comes_back(tmp_path: Path) -> None:
    path, unwritten = tmp_path / "state" / "state.db", Unwritten()
    state = State(path, unwritten)
    state.commit(Changes({"log": position(1)}))
    shutil.rmtree(path.parent)
    with pytest.raises(StaleError):
        state.commit(Changes({"log": position(2)}, outbox=[notification(1)]))
    assert ids(state) == ["n1"]
    state.commit(Changes({"log": position(2)}, whole=True))
    state.close()
    state = State(path, unwritten)
    assert (state.load().positions, ids(state)) == ({"log": position(2)}, ["n1"])
    state.close()


def test_everything_takes_the_place_of_what_was_kept_of_these_parts(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db", Unwritten())
    state.commit(Changes(kept={"gone": {b"x": b"1"}, "part": {b"x": b"1", b"y": b"1"}, "other": {b"x": b"1"}}))
    state.commit(Changes(kept={"gone": {}, "part": {b"y": b"2"}}, whole=True))
    assert state.load().kept == {"part": {b"y": b"2"}, "other": {b"x": b"1"}}
    state.close()


def test_a_damaged_database_is_not_left_for_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = State(path, Unwritten())
    state.commit(Changes({"log": position(1)}))
    state.close()  # until then nothing of it is in the file itself
    state = State(path, Unwritten())
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"these are the notes of somebody")
    with pytest.raises(StaleError):
        state.commit(Changes({"log": position(2)}))
    state.commit(Changes({"log": position(2)}, whole=True))
    (note,) = state.notes
    assert "is damaged (" in note
    assert note.endswith("a new one is written from memory, and nothing is lost")
    state.close()
    assert State(path, Unwritten()).load().positions == {"log": position(2)}


def test_another_programs_checkpoint_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = State(path, Unwritten())
    state.commit(Changes({"log": position(1)}))
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    state.commit(Changes({"log": position(2)}))
    assert state.notes == []
    assert state.load().positions == {"log": position(2)}
    state.close()


def test_a_database_that_appears_later_is_gone_on_with_and_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the state is on a disk that is mounted after pfwatch was started on the empty, read-only directory."""
    path = tmp_path / "state.db"
    before = State(tmp_path / "elsewhere.db", Unwritten())
    before.commit(Changes({"log": position(7)}))
    before.close()
    state = State(path, Unwritten())
    state.close()
    path.unlink()
    state._began_empty = True  # a read-only directory needs a mount; tests/test_state_trouble.py has it
    (tmp_path / "elsewhere.db").rename(path)
    with pytest.raises(OlderError, match="goes on from what is in it"):
        state.commit(Changes({"log": position(1)}, whole=True))
    assert State(path, Unwritten()).load().positions == {"log": position(7)}


def test_a_place_that_can_never_work_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StateError) as refused:
        State(tmp_path / "state.db", Unwritten())
    assert not isinstance(refused.value, PassingError)
