"""However long the names are that attackers type, all texts together find room; and what is told of them is true.

The numbers are made small here, so that a short log is too much for them.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfwatch.detection import detector, room
from pfwatch.detection.incident import Incident
from pfwatch.detection.texts import share
from pfwatch.parsing.hits import record_of
from pfwatch.pipeline import Pipeline, Settings
from tests.samples.logs import REFERENCE

MOST = 60_000
SUBJECTS = 30
DICE = random.Random(7)


def _attempt(number: int) -> tuple[str, str, bytes]:
    """Address, name, and the line: a hit, which waits unread, or now and then an event."""
    ip, name = f"192.0.2.{DICE.randrange(SUBJECTS)}", f"user{DICE.randrange(400)}"
    second = number // 100
    if number % 50 == 0:
        line = (
            f"Nov 22 09:50:{second:02d} mx1 dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): "
            f"user=<{name}>, method=PLAIN, rip={ip}, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>\n"
        )
    else:
        name += "x" * DICE.choice((0, 0, 40, 1800))
        line = (
            f"Nov 22 09:50:{second:02d} mx1 postfix/smtpd[7]: warning: unknown[{ip}]: SASL LOGIN authentication "
            f"failed: UGFzc3dvcmQ6, sasl_username={name}\n"
        )
    return ip, name, line.encode()


ATTEMPTS = [_attempt(number) for number in range(6000)]
LOG = [line for _, _, line in ATTEMPTS]


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "_MOST_UNPACKED", 50_000)
    monkeypatch.setattr(room, "_MOST_TEXTS", MOST)
    monkeypatch.setattr(room, "_FEWER_TEXTS", MOST // 2)


def read(pieces: Iterable[bytes], *, drain: bool) -> Pipeline:
    pipeline = Pipeline(Settings(zone=UTC, dovecot=True), keep=True)
    for piece in pieces:
        pipeline.feed(piece, "log", REFERENCE)
        if drain:
            pipeline.drain()
    return pipeline


def incidents(pipeline: Pipeline) -> dict[str, Incident]:
    return {one.subject: one for one in pipeline._detector.open_incidents()}


def dropped(pipeline: Pipeline) -> float:
    return pipeline.counters.shown().counters["pfwatch_incident_texts_dropped_total"][("auth-bruteforce",)]


def test_all_texts_together_find_room() -> None:
    pipeline = read(LOG, drain=True)
    texts = [
        text
        for one in room.watches(pipeline._detector._watched.values())
        for seen in one.facts.values()
        for text in seen
    ]
    assert 0 < sum(map(len, texts)) < MOST + 50_000, "what came since the last look is beyond it"


def test_counts_are_exact_and_numbers_of_texts_are_no_more_than_there_were() -> None:
    pipeline = read([b"".join(LOG)], drain=False)
    tried = defaultdict[str, Counter[str]](Counter)
    for ip, name, _ in ATTEMPTS:
        tried[ip][name[:256]] += 1
    found = incidents(pipeline)
    assert found.keys() == tried.keys()
    for ip, incident in found.items():
        assert incident.count == tried[ip].total()
        accounts = dict(incident.tops["account"])
        assert accounts == {name: tried[ip][name] for name in accounts}
        assert len(accounts) <= incident.distinct["account"] <= len(tried[ip])
        if incident.distinct["account"] < len(tried[ip]):
            assert "account" in incident.incomplete
    assert any("account" in incident.incomplete for incident in found.values())
    assert dropped(pipeline) > 0


def test_who_types_little_loses_nothing_to_those_who_type_much() -> None:
    quiet = [line for ip, name, line in ATTEMPTS if ip == "192.0.2.3" and "xx" not in name]
    loud = [line for ip, _, line in ATTEMPTS if ip != "192.0.2.3"]
    pipeline = read([b"".join(sorted([*quiet[:12], *loud]))], drain=False)
    assert dropped(pipeline) > 0
    assert incidents(pipeline)["192.0.2.3"].incomplete == ()


def test_the_story_does_not_depend_on_the_blocks_or_on_who_looks_meanwhile() -> None:
    whole = b"".join(LOG)
    places = sorted(DICE.sample(range(1, len(LOG)), 40))
    blocks = [b"".join(LOG[begin:end]) for begin, end in zip([0, *places], [*places, len(LOG)], strict=True)]
    once = read([whole], drain=False)
    for other in (read(blocks, drain=True), read(blocks, drain=False), read(LOG, drain=True)):
        assert incidents(other) == incidents(once)
        assert dropped(other) == dropped(once)


def test_a_restart_keeps_what_is_known() -> None:
    before = Pipeline(Settings(zone=UTC, dovecot=True), keep=True)
    before.feed(b"".join(LOG), "log", REFERENCE)
    saved = {table: {k: v for k, v in rows.items() if v is not None} for table, rows in before.drain().items()}
    after = Pipeline(Settings(zone=UTC, dovecot=True), keep=True)
    after.restore(saved)
    assert incidents(after) == incidents(before)


@pytest.mark.parametrize("drain", [True, False])
def test_of_a_line_of_evidence_no_more_is_kept_than_is_shown(drain: bool) -> None:
    begin = "Nov 22 09:50:00 mx1 postfix/smtpd[7]: warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x"
    log = [f"{begin}{number}{'x' * 60_000}, sasl_username=alice\n".encode() for number in range(12)]
    pipeline = read(log, drain=drain)
    (watch,) = room.watches(pipeline._detector._watched.values())
    kept = sum(len(piece) for record in watch.begin + watch.end for piece in record)
    kept += sum(len(piece) for hit in watch.early + watch.late for piece in record_of(hit))
    assert 3000 < kept < 6000
    (incident,) = incidents(pipeline).values()
    assert [len(line) for line in incident.evidence] == [500] * 6
    assert incident.tops["account"] == [("alice", 12)]


@given(st.lists(st.integers(0, 1000)), st.integers(0, 20_000))
def test_a_share_is_the_largest_that_all_have_room_with(sizes: list[int], most: int) -> None:
    limit = share(sizes, most)
    assert sum(min(size, limit) for size in sizes) <= most
    if sum(sizes) > most:
        assert sum(min(size, limit + 1) for size in sizes) > most
