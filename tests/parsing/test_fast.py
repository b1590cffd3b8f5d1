"""Compiled code reads plain lines exactly as the pattern of blocks does."""

import random
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pfwatch.parsing.block import header_patterns
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.hits import Hit
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from tests.samples.logs import REFERENCE, VERSIONS, counters_of, logs, richest_mix

if BUILT:
    from pfwatch.parsing.compiled import Effects, Origin, Pattern, PlainReader

pytestmark = pytest.mark.skipif(not BUILT, reason="the compiled reader is not built: there was no C compiler")
HEAD = b"Nov 22 10:27:54 mx1 postfix/smtpd[767]: "
EVERY_LOG = [(version, name) for version in VERSIONS for name in sorted(logs(version))]


class Reading:
    """All that is left behind by reading a log in pieces of whole lines."""

    def __init__(self, pieces: list[bytes], *, fast: bool, limit: int | None = None) -> None:
        self.sessions = Sessions(keep=True)
        for table in (self.sessions.clients, self.sessions.failures, self.sessions.messages) if limit else ():
            table.limit = limit or 0
        self.scanner = Scanner(self.sessions, TimeReader(UTC), dovecot=True, fast=fast)
        for piece in pieces:
            self.scanner.scan(piece, REFERENCE)

    def left(self) -> dict[str, Any]:
        tally, sessions = self.scanner.take(), self.sessions
        return {
            "open": {
                name: (list(table.rows.items()), table.evicted)
                for name, table in vars(sessions).items()
                if name in {"clients", "failures"}
            },
            "messages": (list(sessions.messages.rows.items()), sessions.messages.evicted),
            "kept": sessions.drain(),
            "events": sessions.take(),
            "fates": tally.fates(),
            "total": tally.total,
            "counts": {(rule.name, kind): keys for (rule, kind), keys in tally.counts.items()},
            "spread": {
                (rule.name, kind): {key: [dict(column) for column in spread] for key, spread in spreads.items()}
                for (rule, kind), spreads in tally.spread.items()
            },
            "unread": tally.unread,
            "state": self.scanner.state(),
        }


def assert_the_same(pieces: list[bytes], limit: int | None = None) -> dict[str, Any]:
    compiled, by_pattern = (Reading(pieces, fast=fast, limit=limit).left() for fast in (True, False))
    for what in compiled:
        assert compiled[what] == by_pattern[what], what
    return compiled


@pytest.mark.parametrize(("version", "name"), EVERY_LOG)
def test_a_real_log_leaves_the_same_behind(version: str, name: str) -> None:
    log = logs(version)[name]
    middle = log.find(b"\n", len(log) // 2) + 1
    assert_the_same([log[:middle], log[middle:]])
    assert counters_of(log, every_event=False, fast=True) == counters_of(log, every_event=False, fast=False)


def test_spoiled_lines_leave_the_same_behind() -> None:
    dice, mix = random.Random(4), richest_mix()
    for _ in range(300):
        log = bytearray(mix[dice.randrange(len(mix) // 2) :])
        for _ in range(dice.randrange(80)):
            log[dice.randrange(len(log))] = dice.choice((dice.randrange(256), 10, 32, 58, 91, 93))
        assert_the_same([bytes(log) + b"\n"])


def test_full_tables_make_room_alike() -> None:
    left = assert_the_same([logs("3.10")["mixed.log"]], limit=3)
    assert left["open"]["clients"][1] > 0
    assert left["messages"][1] > 0


@pytest.mark.parametrize(
    "body",
    [
        b"connect from ",
        b"connect from  ",
        b"connect from unknown",
        b"connect from unknown[192.0.2.7",
        b"connect from unknown[192.0.2.7]x",
        b"connect from unknown[192.0.2.7]:123456",
        b"connect from unknown[192.0.2.7]:",
        b"connect from [192.0.2.7]",
        b"disconnect from  auth=0/1",
        b"disconnect from unknown[192.0.2.7] notes=x",
        b"NOQUEUE: connect from unknown[192.0.2.7]",
        b"client=unknown[192.0.2.7]",
        b"A1B2C3D4: client=unknown[192.0.2.7], sasl_method=PLAIN, sasl_username=alice, bob",
        b"warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: " + b"x" * 5000,
        b"warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: (unavailable)",
        b"",
        b" ",
        b": ",
    ],
)
def test_lines_that_are_nearly_plain(body: bytes) -> None:
    assert_the_same([HEAD + body + b"\n"])
    assert_the_same([HEAD.replace(b"[767]", b"") + body + b"\n" + HEAD + b"connect from unknown[192.0.2.7]\n" * 2])


def test_headers_of_several_forms_and_days_that_do_not_exist() -> None:
    line = b"mx1 postfix/smtpd[767]: connect from unknown[192.0.2.7]\n"
    times = (
        b"Nov 22 10:27:54 ", b"Nov 31 10:27:54 ", b"2026-11-22T10:27:54.123456+01:00 ", b"2026-02-30T10:27:54Z ",
        b"<22>Nov 22 10:27:54 ", b"Sun 2026-11-22 10:27:54 UTC ", b"1795430000.123456 ", b"Nov 22 10:27:54.5 ", b"",
    )  # fmt: skip
    for first in times:
        for second in times:
            assert_the_same([first + line + second + line + line + first + line, second + line])


def test_more_hosts_keys_and_texts_than_are_remembered() -> None:
    lines = [
        b"Nov 22 10:27:54 mx%d postfix/smtpd[767]: connect from unknown[192.0.2.7]\n" % number for number in range(1500)
    ]
    lines += [
        HEAD + b"Anonymous TLS connection established from unknown[192.0.2.7]: TLSv1.3 with cipher X%d "
        b"(256/256 bits)\n" % number
        for number in range(9000)
    ]
    lines += [
        b"Nov 22 10:27:54 mx1 postfix/qmgr[767]: A1B2C3D4: from=<a@example.org>, size=%d, nrcpt=%d (queue active)\n"
        % (number, number % 7)
        for number in range(9000)
    ]
    random.Random(5).shuffle(lines)
    left = assert_the_same([b"".join(lines)])
    assert left["fates"]["tallied"] == len(lines)
    assert sum(sum(keys.values()) for keys in left["counts"].values()) == len(lines)


def test_a_process_that_says_more_than_is_remembered_is_counted_on() -> None:
    lines = [HEAD + b"connect from unknown[192.0.2.7]\n"] * 18_000
    lines[1::2] = [
        HEAD + b"Anonymous TLS connection established from unknown[192.0.2.7]: TLSv1.3 with cipher X%d "
        b"(256/256 bits)\n" % number
        for number in range(9000)
    ]
    left = assert_the_same([b"".join(lines)])
    assert sum(sum(keys.values()) for keys in left["counts"].values()) == len(lines)


@pytest.mark.parametrize("block", [b"", b"x", b"\nx"])
def test_a_block_without_its_line_feeds_is_refused(block: bytes) -> None:
    nobody = Origin(b"", b"", b"", (), (), foreign=True, awaited=False, begins=None)
    reader = PlainReader(lambda _text: nobody, print, print, TimeReader(UTC))
    pattern = Pattern(header_patterns("bsd")[0].encode("latin-1"))
    with pytest.raises(ValueError, match="line feed"):
        reader.read(block, pattern, pattern, pattern, Effects(Sessions(), bare=False), False)


def test_the_last_line_may_lack_its_line_feed() -> None:
    for fast in (True, False):
        reading = Reading([HEAD + b"connect from unknown[192.0.2.7]"], fast=fast)
        assert reading.left()["fates"]["tallied"] == 1


TIMES = (
    "Nov 22 10:27:{second:02}", "Nov  2 10:{minute:02}:{second:02}", "Nov 02 10:{minute:02}:{second:02}",
    "Nov 22 10:27:{second:02}.{fraction}", "2026-11-22T10:{minute:02}:{second:02}.{fraction}{zone}",
    "8593-11-22T10:27:{second:02}.{fraction}+00:00", "0001-01-01T00:27:{second:02}.{fraction}+00:00",
    "2026-11-22T10:27:{second:02},{fraction}{zone}", "2026-11-22T10:27:{second:02}{zone}",
    "2026-11-22T10:27:{second:02}", "2026-02-30T10:27:{second:02}{zone}", "Nov 31 10:27:{second:02}",
    "2026-11-22T10:27:{second:02}+2{minute}", "<22>Nov 22 10:27:{second:02}", "17954300{second:02}.{fraction}",
    "Sun 2026-11-22 10:27:{second:02} UTC", "Dec 31 23:59:{second:02}", "Nov 23 12:{minute:02}:{second:02}",
    "Feb 29 23:59:{second:02}", "Oct 25 02:{minute:02}:{second:02}",
)  # fmt: skip


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")])
@pytest.mark.parametrize("year", [None, 2024])
def test_bare_hits_have_the_time_of_their_line(zone: Any, year: int | None) -> None:
    dice = random.Random(6)
    for reference in (REFERENCE, REFERENCE + 86_400 - 40, 1_798_761_570.0 - 86_400):  # the last: as a year ends
        texts = [
            dice.choice(TIMES).format(
                second=dice.choice((dice.randrange(61), 60)),
                minute=dice.randrange(25, 30),
                fraction="".join(dice.choices("0123456789", k=dice.randrange(1, 10))),
                zone=dice.choice(("Z", "+01:00", "-0330", "+00:00", "")),
            )
            for _ in range(400)
        ]
        failed = " mx1 postfix/smtpd[7]: warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x\n"
        told = []
        for bare, fast in ((True, True), (False, True), (False, False)):
            sessions = Sessions()
            scanner = Scanner(sessions, TimeReader(zone, year), bare=bare, fast=fast)
            for begin in range(0, len(texts), 50):
                scanner.scan("".join(text + failed for text in texts[begin : begin + 50]).encode(), reference)
            told.append([one.at if isinstance(one, Hit) else one.envelope.at for one in sessions.take_unbuilt()])
        assert told[0] == told[1] == told[2]
        assert len(told[0]) > 300
