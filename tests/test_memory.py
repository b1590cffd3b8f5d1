"""Strangers by the million take no more memory than the tables were made for. `./dev fuzz memory` shows more."""

from datetime import UTC

import pytest

from pfwatch.detection.settings import DetectionSettings, RuleSettings
from pfwatch.events import MessageQueued
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.sessions import MOST_SESSIONS
from pfwatch.sessions.handshakes import MOST_PROXIES, MOST_WAITING
from pfwatch.sessions.messages import MOST_MESSAGES
from pfwatch.sessions.trouble import MOST_TROUBLED
from pfwatch.sessions.unwritten import MOST_FAILED, MOST_OVERSIZED
from tests.fuzz.memory import SHAPES, blocks, lines, rows
from tests.samples.logs import REFERENCE

MOST_SUBJECTS = 3_000
SETTINGS = Settings(zone=UTC, detection=DetectionSettings(max_subjects=MOST_SUBJECTS))
AT_ONCE = 1_000_000
"""Lines a second: nothing ends by waiting."""


def rows_after(count: int, *shapes: str, a_second: int = AT_ONCE) -> dict[str, int]:
    pipeline = Pipeline(SETTINGS, keep=True)
    for block, _ in blocks(lines(count, shapes or SHAPES, a_second)):
        pipeline.feed(block, "log", REFERENCE)
        pipeline.drain()
    return rows(pipeline)


@pytest.mark.parametrize(
    ("shape", "table", "limit"),
    [
        ("connect", "sessions client", MOST_SESSIONS),
        ("login", "sessions failure", MOST_SESSIONS),
        ("message", "sessions message", MOST_MESSAGES),
        ("handshake", "sessions handshake", MOST_WAITING),
        ("words", "sessions library", MOST_PROXIES),
        ("oversized", "sessions oversized", MOST_OVERSIZED),
        ("unwritten", "sessions unwritten", MOST_FAILED),
        ("trouble", "sessions trouble", MOST_TROUBLED),
        ("login", "detection auth-bruteforce", MOST_SUBJECTS),
        ("relay", "detection relay-probe", MOST_SUBJECTS),
        ("handshake", "detection tls-client-failures", MOST_SUBJECTS),
    ],
)
def test_a_table_is_full_at_its_limit(shape: str, table: str, limit: int) -> None:
    found = rows_after(limit + (MOST_WAITING + limit if table == "detection tls-client-failures" else 200), shape)
    assert found[table] == limit
    assert found["sessions finished"] == 0


@pytest.mark.parametrize(("shape", "limit"), [("handshake", MOST_WAITING), ("words", MOST_PROXIES)])
def test_nobody_is_watched_for_whom_there_was_no_room(shape: str, limit: int) -> None:
    assert rows_after(limit + 500, shape)["sessions watch"] == limit


def test_no_failed_handshake_is_lost_where_more_wait_than_there_is_room_for() -> None:
    pipeline = Pipeline(SETTINGS)
    count = MOST_WAITING + 500
    found = 0
    for block, _ in blocks(lines(count, ["handshake"], AT_ONCE)):
        found += len(pipeline.feed(block, "log", REFERENCE).events)
    assert found + len(pipeline.finish().events) == count


def test_of_all_shapes_together_nothing_else_grows_with_their_number() -> None:
    few, many = (rows_after(count, a_second=2_000) for count in (40_000, 120_000))
    assert few.keys() == many.keys()
    # The limits above bound the tables, time the incidents, and MOST_TEXTS the texts of each origin and head.
    bounded = {"sessions", "detection", "planner", "open", "texts"}
    grown = {name for name in few if name.split()[0] not in bounded and many[name] > few[name] + 100}
    assert grown == set()


def test_an_incident_that_was_given_up_for_want_of_room_is_told_no_more() -> None:
    """Else it is asked for again every `repeat_interval`, for ever: `Pipeline.finish` never comes to an end."""
    rules = {"auth-bruteforce": RuleSettings(threshold=1, window=600, severity="warning")}
    pipeline = Pipeline(Settings(zone=UTC, detection=DetectionSettings(max_subjects=2, rules=rules)), keep=True)
    log = b"".join(lines(200, ["login"], a_second=1))
    pipeline.feed(log, "log", REFERENCE)
    pipeline.tick(REFERENCE + 86_400)
    assert rows(pipeline)["open incidents"] == 0
    assert rows(pipeline)["planner told"] == 0


@pytest.mark.parametrize("name", ["u" * 1900, "Name, with a comma " * 90, "\U0001f40d" * 400])
def test_of_a_long_account_name_no_more_is_kept_than_is_told(name: str) -> None:
    begin = (
        "Nov 22 09:53:31 mx1 postfix/smtpd[7]: A3F0070: client=unknown[192.0.2.7], sasl_method=PLAIN, sasl_username="
    )
    pipeline = Pipeline(SETTINGS, keep=True)
    pipeline.feed(f"{begin}{name}\n".encode(), "log", REFERENCE)
    (row,) = pipeline.drain()["message"].values()
    assert row is not None
    assert len(row) < 1200
    queued = b"Nov 22 09:53:32 mx1 postfix/qmgr[5]: A3F0070: from=<a@example.org>, size=9, nrcpt=1 (queue active)\n"
    events = Pipeline(SETTINGS, every_event=True).feed(f"{begin}{name}\n".encode() + queued, "log", REFERENCE).events
    assert [one.username for one in events if isinstance(one, MessageQueued)] == [name[:256]]
