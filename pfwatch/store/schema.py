"""The tables of the state database and how they came to be.

Enters: a connection. Leaves: its database in the newest version. This file must never know what the rows mean.
"""

import sqlite3
from collections.abc import Sequence

APPLICATION_ID = 0x70667761
"""`pfwa`: tells our database from that of another program."""

Migration = tuple[str, ...]
"""The statements that lead from one version to the next."""

MIGRATIONS: tuple[Migration, ...] = (
    (
        """CREATE TABLE positions (
            source TEXT PRIMARY KEY,
            position BLOB NOT NULL -- JSON
        ) WITHOUT ROWID""",
        """CREATE TABLE counters (
            metric TEXT NOT NULL,
            labels TEXT NOT NULL, -- JSON, the values in the metric's order
            value REAL NOT NULL,
            PRIMARY KEY (metric, labels)
        ) WITHOUT ROWID""",
        """CREATE TABLE kept (
            part TEXT NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL, -- in the part's own form
            PRIMARY KEY (part, key)
        ) WITHOUT ROWID""",
        """CREATE TABLE outbox (
            number INTEGER PRIMARY KEY, -- the order of committing
            id TEXT NOT NULL UNIQUE,
            notification BLOB NOT NULL, -- JSON
            attempts INTEGER NOT NULL DEFAULT 0,
            next_try REAL NOT NULL DEFAULT 0, -- seconds since the epoch
            channel TEXT, -- of the latest attempt
            error TEXT, -- of the latest attempt, if it failed
            done_at REAL -- sent, or given up
        )""",
        "CREATE INDEX outbox_by_end ON outbox (done_at)",
    ),
    # Connections and messages are kept in another form; those that are open now lose their client in later lines.
    ("DELETE FROM kept WHERE part IN ('session', 'message')",),
    (
        """CREATE TABLE losses (
            number INTEGER PRIMARY KEY, -- the order of committing
            at REAL NOT NULL, -- seconds since the epoch
            source TEXT NOT NULL,
            reason TEXT NOT NULL,
            lines INTEGER, -- where known
            bytes INTEGER, -- where known
            text TEXT NOT NULL -- for the administrator
        )""",
    ),
    # What the planner remembers of an incident is a row of its own, and what happened to subjects is on the pages of a
    # diary. Both read what was kept before; an earlier pfwatch would not know whom it told, nor read pages.
    (),
)


def version_of(database: sqlite3.Connection) -> int:
    """How many migrations the database has seen; 0 for an empty one."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def migrate(database: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the database to the newest version: each step whole or not at all. Raises sqlite3.Error.

    The connection is in autocommit mode (`isolation_level=None`).
    """
    for version in range(version_of(database), len(migrations)):
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[version]:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {version + 1}")
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
