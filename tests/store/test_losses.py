"""What was lost is in the ledger after a restart, once, and the ledger is bounded."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from pfwatch.position import FilePosition
from pfwatch.store.changes import Changes, LossRow
from pfwatch.store.database import Store
from pfwatch.store.losses import KEEP_LOSSES, MOST_LOSSES, read_losses
from pfwatch.store.opening import open_database
from pfwatch.store.schema import MIGRATIONS, version_of

LOG = "/var/log/mail.log"


def loss(at: float, lines: int | None = None, size: int | None = None) -> LossRow:
    return LossRow(at, LOG, "rotated_away", "it is not the file that was read before", lines, size)


def test_losses_come_back_the_newest_first(tmp_path: Path) -> None:
    now = time.time()
    rows = [loss(now - 20, size=4096), loss(now - 10, lines=3), loss(now - 30)]
    store = Store(tmp_path / "state.db")
    store.commit(Changes({LOG: FilePosition(LOG, 1, 2, "4:00ff", 7)}, losses=rows))
    store.close()
    store = Store(tmp_path / "state.db")
    assert store.losses() == [rows[1], rows[0], rows[2]]
    assert store.losses(since=now - 15) == [rows[1]]
    store.close()


def test_another_process_reads_the_ledger_while_the_daemon_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    row = loss(time.time())
    store.commit(Changes(losses=[row]))
    with closing(sqlite3.connect(f"file:{tmp_path}/state.db?mode=ro", uri=True)) as reader:
        assert read_losses(reader) == [row]
    store.close()


def test_old_entries_go_when_a_new_one_comes(tmp_path: Path) -> None:
    now = time.time()
    store = Store(tmp_path / "state.db")
    store.commit(Changes(losses=[loss(now - KEEP_LOSSES + 60)]))
    store.commit(Changes(losses=[loss(now - KEEP_LOSSES - 60), loss(now)]))
    assert [row.at for row in store.losses()] == [now, now - KEEP_LOSSES + 60]
    store.close()


def test_no_more_than_a_thousand_are_kept(tmp_path: Path) -> None:
    now = time.time()
    store = Store(tmp_path / "state.db")
    store.commit(Changes(losses=[loss(now, lines=number) for number in range(MOST_LOSSES)]))
    assert len(store.losses()) == MOST_LOSSES
    store.commit(Changes(losses=[loss(now, lines=number) for number in range(MOST_LOSSES, MOST_LOSSES + 5)]))
    assert [row.lines for row in store.losses()] == list(range(MOST_LOSSES + 4, 4, -1))
    store.close()


def test_a_state_from_before_the_ledger_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(open_database(path, [], MIGRATIONS[:2])) as database:
        assert version_of(database) == 2
        database.execute("INSERT INTO counters VALUES ('lines', '[]', 5)")
        # As it was written then: without what was seen of the file and when that was written.
        old = b'{"type":"file","path":"/var/log/mail.log","device":1,"inode":2,"fingerprint":"4:00ff","offset":7}'
        database.execute("INSERT INTO positions VALUES (?, ?)", (LOG, old))
    store = Store(path)
    saved = store.load()
    assert saved.counters == {("lines", ()): 5}
    assert saved.positions == {LOG: FilePosition(LOG, 1, 2, "4:00ff", 7, 0, 0.0)}
    store.commit(Changes(losses=[loss(time.time())]))
    assert len(store.losses()) == 1
    store.close()
