"""Blocks in, the same events and counts out, wherever they are cut and in whichever form they are counted."""

import random
import time
from datetime import UTC

import pytest

from pfwatch.events import AuthFailed, Event, RelayDenied
from pfwatch.parsing.scanner import Scanner
from pfwatch.parsing.tally import Tally
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from pfwatch.sources.lines import LineCutter
from tests.samples.logs import REFERENCE, VERSIONS, counters_of, logs, read, richest_mix

CUTS = 1000


def pieces_of(log: bytes, dice: random.Random) -> list[bytes]:
    """The log in pieces that are cut at random bytes."""
    places = sorted(dice.randrange(len(log)) for _ in range(dice.choice((1, 2, 5, 20, 100))))
    return [log[begin:end] for begin, end in zip([0, *places], [*places, len(log)], strict=True)]


def read_in_pieces(pieces: list[bytes], *, every_event: bool) -> tuple[list[Event], Tally, bytes]:
    sessions = Sessions()
    scanner = Scanner(sessions, TimeReader(UTC), every_event=every_event)
    cutter = LineCutter(65_536)
    for piece in pieces:
        scanner.scan(cutter.feed(piece), REFERENCE)
    scanner.scan(cutter.finish(), REFERENCE)
    sessions.finish()
    return sessions.take(), scanner.take(), scanner.state()


def test_the_mix_is_worth_cutting() -> None:
    events, tally = read(richest_mix())
    assert {
        "auth_failed", "auth_probed", "relay_denied", "tls_failed", "client_disconnected", "message_queued", "foreign",
        "malformed", "delivery",
    } <= {event.kind for event in events}  # fmt: skip
    assert tally.total > 200
    assert min(tally.parts, tally.foreign, tally.malformed) > 0
    assert max(event.envelope.weight for event in events) > 1


@pytest.mark.parametrize("every_event", [True, False])
def test_events_and_counts_do_not_depend_on_where_the_input_is_cut(every_event: bool) -> None:
    log = richest_mix()
    whole = read_in_pieces([log], every_event=every_event)
    dice = random.Random(1)
    for number in range(CUTS // 2):
        assert read_in_pieces(pieces_of(log, dice), every_event=every_event) == whole, f"cut number {number}"


def test_line_by_line_is_the_same_as_at_once() -> None:
    log = richest_mix()
    lines = log.splitlines(keepends=True)
    assert read_in_pieces(lines, every_event=True) == read_in_pieces([log], every_event=True)


def test_any_bytes_are_read_without_a_crash_and_accounted_for() -> None:
    dice = random.Random(2)
    mix = richest_mix()
    for _ in range(200):
        log = bytearray(mix[: dice.randrange(1, 4000)])
        for _ in range(dice.randrange(60)):
            log[dice.randrange(len(log))] = dice.randrange(256)
        block = bytes(log) + b"\n"
        for every_event in (True, False):
            tally = read(block, every_event=every_event)[1]
            assert sum(tally.fates().values()) == tally.total == block.count(b"\n")


EVERY_LOG = [(version, name) for version in VERSIONS for name in sorted(logs(version)) if "rfc3339" not in name]


@pytest.mark.parametrize(("version", "name"), EVERY_LOG)
def test_counted_lines_and_events_say_the_same(version: str, name: str) -> None:
    by_events, by_tallies = (counters_of(logs(version)[name], every_event=form) for form in (True, False))
    assert by_tallies == by_events
    assert by_tallies[1] or name == "imap_brute.log", "only Dovecot speaks there"


@pytest.mark.parametrize(("version", "name"), EVERY_LOG)
def test_a_hit_that_is_built_is_the_event_of_its_line(version: str, name: str) -> None:
    """Whatever is an event in both forms is the same event."""
    every, counting = (read(logs(version)[name], every_event=form)[0] for form in (True, False))
    hits = [event for event in counting if isinstance(event, AuthFailed | RelayDenied)]
    assert hits == [event for event in every if isinstance(event, AuthFailed | RelayDenied)]


def test_the_tally_of_unread_lines_is_taken_once() -> None:
    scanner = Scanner(Sessions(), TimeReader(UTC))
    scanner.scan(b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: warning: something new\n", REFERENCE)
    assert scanner.take().unread == {(b"postfix/smtpd", "warning"): 1}
    assert scanner.take() == Tally()


def test_a_word_that_only_begins_like_a_severity_is_none() -> None:
    """Found by the fuzzer: such a line was counted as a warning and told as information."""
    log = b"Nov 22 09:53:31 mx1 postfix/bounce[258]: warning:mplate for now\n"
    assert read(log, every_event=False)[1].unread == {(b"postfix/bounce", "info"): 1}
    assert counters_of(log, every_event=False)[1] == counters_of(log, every_event=True)[1]


def test_an_empty_block_changes_nothing() -> None:
    scanner = Scanner(Sessions(), TimeReader(UTC))
    scanner.scan(b"", REFERENCE)
    assert scanner.take() == Tally()
    assert scanner.newest() is None


def test_thousands_of_strange_tags_take_no_room() -> None:
    log = b"".join(
        b"Nov 22 09:53:31 mx1 evil%d/smtpd[1]: connect from unknown[192.0.2.9]\n" % number for number in range(3000)
    )
    events, tally = read(log)
    assert len(events) == tally.events == 3000


@pytest.mark.parametrize(
    "shape",
    [
        b"NOQUEUE: reject: RCPT from unknown[192.0.2.9]: 554 5.7.1 " + b"; from=<x> to=<" * 4_000,
        b"NOQUEUE: reject: RCPT from unknown[192.0.2.9]: 554 5.7.1 ; from=<" + b"> to=<" * 10_000,
        b"warning: unknown[192.0.2.9]: SASL " + b"authentication failed: , sasl_username=" * 1_500,
        b"A1B2C3D: client=unknown[192.0.2.9], sasl_method=" + b", sasl_username=" * 4_000,
        b"disconnect from unknown[192.0.2.9]" + b" ehlo=1" * 9_000 + b"!",
    ],
    ids=["tails", "recipients", "usernames", "methods", "commands"],
)
def test_a_long_hostile_line_does_not_hold_up_the_others(shape: bytes) -> None:
    line = b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: " + shape[:64_000] + b"\n"
    begin = time.process_time()
    assert read(line)[1].total == 1
    assert time.process_time() - begin < 0.25
