"""A state that cannot be used is said in words; a damaged one is kept aside, never lost."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pfwatch.store.changes import Changes
from pfwatch.store.database import Store
from pfwatch.store.errors import StateError
from pfwatch.store.opening import open_database
from pfwatch.store.schema import MIGRATIONS, migrate, version_of


def test_the_state_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.db"
    store = Store(path)
    store.commit(Changes(counters={("a", ()): 1}))
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    store.close()
    assert "state.db-wal" in modes
    assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o750


HOLD = """
import sys
from pathlib import Path
from pfwatch.store.database import Store

store = Store(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
store.close()
"""


def test_two_processes_cannot_share_a_state(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(StateError, match=rf"state\.db is in use by another pfwatch \(process {child.pid}\)"):
            Store(path)
    Store(path).close()


def test_a_damaged_database_is_kept_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit(Changes(kept={"part": {b"%d" % row: bytes(100) for row in range(1000)}}))
    store.close()
    damaged = bytearray(path.read_bytes())
    damaged[4096:20480] = b"\xaa" * 16384
    path.write_bytes(damaged)
    store = Store(path)
    saved = store.load()
    store.close()
    assert saved.kept == {}
    (aside,) = tmp_path.glob("state.db.corrupt-*Z")
    assert aside.read_bytes() == damaged
    assert len(store.notes) == 1
    assert str(aside) in store.notes[0]


def test_a_file_that_is_no_database_is_kept_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"these are the notes of somebody, " * 100)
    store = Store(path)
    store.close()
    (aside,) = tmp_path.glob("state.db.corrupt-*Z")
    assert aside.read_bytes().startswith(b"these are the notes")
    assert str(aside) in store.notes[0]


def test_a_state_of_a_newer_pfwatch_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StateError, match="written by a newer pfwatch"):
        Store(path)
    with closing(sqlite3.connect(path)) as database:
        assert version_of(database) == len(MIGRATIONS) + 1


@pytest.mark.parametrize("version", [0, 3])
def test_the_database_of_another_program_is_left_alone(version: int, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE songs (title)")
        database.execute(f"PRAGMA user_version = {version}")
        database.commit()
    before = path.read_bytes()
    with pytest.raises(StateError, match="database of another program"):
        Store(path)
    assert path.read_bytes() == before


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"file/state\.db cannot be kept: File exists"):
        Store(tmp_path / "file" / "state.db")


def test_a_directory_where_the_database_should_be(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StateError, match=r"state\.db cannot be opened"):
        Store(tmp_path / "state.db")
    with pytest.raises(StateError, match=r"state\.db cannot be opened"):  # and not: in use by another pfwatch
        Store(tmp_path / "state.db")


def test_a_place_that_takes_no_files(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"^the state database /proc/pfwatch/state\.db cannot be kept"):
        Store(Path("/proc/pfwatch/state.db"))


def test_each_migration_is_done_once_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path)
    store.commit(Changes(counters={("a", ()): 5}))
    store.close()
    later = (*MIGRATIONS, ("ALTER TABLE counters ADD COLUMN unit TEXT DEFAULT 'lines'",), ("CREATE TABLE x (y)",))
    for _ in range(2):
        with closing(open_database(path, [], later)) as database:
            assert version_of(database) == len(later)
            assert database.execute("SELECT metric, value, unit FROM counters").fetchall() == [("a", 5.0, "lines")]


def test_a_migration_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store(path).close()
    wrong = (*MIGRATIONS, ("CREATE TABLE fine (a)",), ("CREATE TABLE half (a)", "CREATE TABLE half (a)"))
    with pytest.raises(StateError, match=r"state\.db cannot be opened: table half already exists"):
        open_database(path, [], wrong)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert version_of(database) == len(MIGRATIONS) + 1
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
        assert "fine" in names
        assert "half" not in names
        migrate(database, wrong[: len(MIGRATIONS) + 1])


def test_the_first_version_of_the_tables_stays_as_it_was_released() -> None:
    """A change of the tables is a further migration: earlier ones have been run on other people's machines."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        migrate(database, MIGRATIONS[:1])
        columns = {
            table: [column[1] for column in database.execute(f"PRAGMA table_info({table})")]
            for table in ("positions", "counters", "kept", "outbox")
        }
    assert columns == {
        "positions": ["source", "position"],
        "counters": ["metric", "labels", "value"],
        "kept": ["part", "key", "value"],
        "outbox": ["number", "id", "notification", "attempts", "next_try", "channel", "error", "done_at"],
    }


def test_what_the_first_version_kept_of_sessions_is_left_behind_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(open_database(path, [], MIGRATIONS[:1])) as database:
        kept = [
            ("session", b"a", b"of another form"),
            ("message", b"b", b"of another form"),
            ("planner", b"plan", b"x"),
        ]
        database.executemany("INSERT INTO kept VALUES (?, ?, ?)", kept)
    store = Store(path)
    assert store.load().kept == {"planner": {b"plan": b"x"}}
    store.close()
