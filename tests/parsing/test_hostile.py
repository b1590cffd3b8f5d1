"""Hostile lines: whatever stands in a line, it is accounted for, and nothing stops."""

import re
import tracemalloc
from collections import Counter
from datetime import UTC
from pathlib import Path

import pytest

from pfwatch.parsing.grammar import every_rule
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.sources.archive import read_file
from pfwatch.sources.settings import SourceSettings
from tests.fuzz.attacks import attacks_on
from tests.fuzz.growth import seconds
from tests.fuzz.properties import check
from tests.fuzz.typed import COUNT, line
from tests.samples.logs import REFERENCE, read
from tests.sessions.lines import ip_of

EVERY = every_rule()
NUMBERS = (b"9" * 5000, b"9" * 400, b"1.2.3.4.5", b"", b"-1", b"0" * 30)
"""int() of more than 4,300 digits raises, a float of more than 308 is infinite, and some are no number at all."""


@pytest.mark.parametrize("name", EVERY)
def test_no_number_in_a_line_of_any_rule_stops_the_reading(name: str) -> None:
    head, _, body = EVERY[name][0].example.encode().partition(b"]: ")
    lines = [
        head + b"]: " + body[: found.start()] + number + body[found.end() :] + b"\n"
        for found in re.finditer(rb"[0-9]+", body)
        for number in NUMBERS
    ]
    log = b"".join(lines)
    for every_event in (True, False):
        tally = read(log, every_event=every_event)[1]
        assert sum(tally.fates().values()) == tally.total == len(lines)
    pipeline = Pipeline(Settings())
    pipeline.feed(log, "log", REFERENCE)
    pipeline.finish()
    assert all(value < 1e30 for value in pipeline.counters.changed().values())


@pytest.mark.parametrize("name", EVERY)
def test_whatever_stands_where_a_rule_takes_many_characters_the_line_is_accounted_for(name: str) -> None:
    """In every optional part of a wording, too: digits without end, and bytes that are no text."""
    rule, _ = EVERY[name]
    head = rule.example.encode().partition(b": ")[0] + b": "
    attacks = [one for one in attacks_on(rule.compiled.pattern, most=100_000) if one.pump in {b"0", b"9", b"\xff"}]
    log = b"".join(head + one.text(5000).replace(b"\n", b" ") + b"\n" for one in attacks)
    for every_event in (True, False):
        tally = read(log, every_event=every_event, dovecot=True)[1]
        assert sum(tally.fates().values()) == tally.total == len(attacks)
    pipeline = Pipeline(Settings(dovecot=True))
    pipeline.feed(log, "log", REFERENCE)
    pipeline.finish()
    assert all(value < 1e30 for value in pipeline.counters.changed().values())


def test_an_unread_line_has_the_same_severity_counted_and_told() -> None:
    line = b"Nov 22 09:53:31 mx1 postfix/bounce[258]: warning:without a blank\n"
    (event,), _ = read(line, every_event=True)
    assert list(read(line, every_event=False)[1].unread) == [(b"postfix/bounce", event.envelope.severity)]


def test_many_lines_that_repeat_the_line_before_take_no_longer_each_than_few() -> None:
    first = b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: connect from unknown[192.0.2.9]\n"
    repeated = b"Nov 22 09:53:32 mx1 last message repeated 4 times\n"
    few, many = (seconds(read, first + repeated * number, 2) for number in (60, 480))
    assert many < 24 * few, "linear is 8, the square is 64"


def test_millions_of_bytes_without_a_line_feed_are_one_cut_line_and_take_no_memory(tmp_path: Path) -> None:
    settings = SourceSettings()
    log = tmp_path / "mail.log"
    for size in (1_000_000, 64 * 1024 * 1024):
        with log.open("wb") as file:
            for _ in range(size // 1_000_000):
                file.write(b"\xff[]:" * 250_000)
            file.write(b"x\nNov 22 09:53:31 mx1 postfix/smtpd[1]: connect from unknown[192.0.2.9]\n")
        pipeline = Pipeline(Settings(zone=UTC))
        fates: Counter[str] = Counter()
        tracemalloc.start()
        try:
            for block in read_file(log, settings):
                assert len(block.data) <= settings.block_size + settings.max_line + 2
                tally = pipeline.feed(block.data, "log", REFERENCE).tally
                assert tally is not None
                fates.update(tally.fates())
            assert tracemalloc.get_traced_memory()[1] < 4 * settings.block_size
        finally:
            tracemalloc.stop()
        assert +fates == {"malformed": 1, "tallied": 1}
        log.unlink()


def test_a_long_line_that_begins_as_a_record_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """And what stands behind the cut begins no record of its own."""
    log = tmp_path / "mail.log"
    evil = b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x"
    begin = b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: warning: non-SMTP command from unknown[192.0.2.9]: "
    log.write_bytes(begin + evil * 10_000)
    (block,) = read_file(log, SourceSettings())
    events, tally = read(block.data)
    assert tally.total == 1
    assert [ip_of(event) for event in events] == ["192.0.2.9"]


IMPOSSIBLE = b"Feb 30 11:15:36 mx1 postfix/smtpd[9]: "


def test_an_unread_line_of_a_day_that_does_not_exist_is_counted_and_told_alike() -> None:
    check(IMPOSSIBLE + b"warning: something new\n")


@pytest.mark.parametrize(
    "body", [b"connect from unknown[192.0.2.9]", b"lost connection after AUTH from unknown[192.0.2.9]"]
)
def test_a_plain_line_of_a_day_that_does_not_exist_is_counted_and_told_alike(body: bytes) -> None:
    check(IMPOSSIBLE + body + b"\n")


EVIL = (
    b"x",
    b"> to=<x>: unknown[203.0.113.9]: , sasl_username=",
    b'"; from=<a> to=<b> proto=ESMTP helo=<c> from unknown[203.0.113.9]: ',
    b">, relay=evil[203.0.113.9]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)",
    b">, method=PLAIN, rip=203.0.113.9, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>",
    b'\\" from unknown[203.0.113.9]; from=<a>\\',
    b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: connect from unknown[203.0.113.9]",
    b"\xff\xfe said: 450 from host evil[203.0.113.9] said: ]",
)


@pytest.mark.parametrize("number", range(COUNT))
def test_nobody_is_accused_whose_address_a_stranger_typed(number: int) -> None:
    check(b"".join(line(number, [one, other, one + other]) for one in EVIL for other in EVIL), typed=True)


def test_who_stands_in_the_place_of_the_client_is_accused() -> None:
    with pytest.raises(AssertionError, match=r"a typed address was believed: AuthFailed"):
        check(line(4, [b"x"]).replace(b"192.0.2.7", b"203.0.113.9"), typed=True)
