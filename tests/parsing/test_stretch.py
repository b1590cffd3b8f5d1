"""A log of which stretches are read apart is the log: nothing in it says where they begin."""

import random
import re
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from pfwatch.loss import Loss
from pfwatch.parsing.block import plain_forms
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.hits import Hit
from pfwatch.parsing.log import LogReader
from pfwatch.records.losses import read_losses
from pfwatch.sessions import Sessions, handshakes
from tests.bench.generate import generate
from tests.samples.logs import REFERENCE, VERSIONS, logs, richest_mix

if BUILT:
    from pfwatch.parsing.stretch import Counts, Stretch, StretchReader

pytestmark = pytest.mark.skipif(not BUILT, reason="the compiled reader is not built: there was no C compiler")
HEAD = b"Nov 22 10:27:54 mx1 postfix/smtpd[767]: "
EVERY_LOG = [(version, name) for version in VERSIONS for name in sorted(logs(version))]
CLIENT = b"unknown[192.0.2.7]"


class Reading:
    """Reads a log: pieces in their order, those with `True` apart, by one of three readers."""

    def __init__(self, pieces: list[tuple[bytes, bool]], zone: Any = UTC) -> None:
        self.sessions = Sessions()
        self.tables = self.sessions.clients, self.sessions.failures, self.sessions.messages
        self.log = LogReader(self.sessions, zone, None, dovecot=True, bare=True)
        self.losses: list[Loss] = []
        self.behind: list[Any] = []
        """What is remembered, and who waits, behind each piece."""
        self.apart = 0
        readers = [StretchReader(zone, None, dovecot=True) for _ in range(3)]
        decode = msgspec.msgpack.Decoder(Stretch).decode
        for number, (lines, apart) in enumerate(pieces):
            if number:
                self.behind.append(self.remembered())
            if not apart:
                self.log.read(lines, REFERENCE)
                self.losses += read_losses(lines, self.log.times)
                continue
            stretch = decode(msgspec.msgpack.encode(readers[number % 3].read(lines, REFERENCE)))
            assert max(len(table.rows) for table in self.tables) + stretch.passing < self.sessions.clients.limit
            self.log.follow(stretch, REFERENCE)
            self.losses += stretch.losses + read_losses(stretch.rest, self.log.times)
            self.apart += len(lines) - len(stretch.rest)
        for reader in readers:
            counts = msgspec.msgpack.encode(reader.counts())
            self.log.add(msgspec.msgpack.decode(counts, type=list[Counts]), [])
        self.log.finish()
        self.sessions.finish()

    def remembered(self) -> Any:
        tables = self.sessions._tables()
        waiting = [(process, row.at) for process, row in tables.pop("handshake").rows.items()]
        return {name: dict(table.rows) for name, table in tables.items()}, waiting, sorted(self.sessions.watch)

    def left(self) -> dict[str, Any]:
        tally, sessions = self.log.take(), self.sessions
        return {
            "events": [told(one) for one in sessions.take_unbuilt()],
            "fates": tally.fates() | {"total": tally.total, "misnamed": tally.misnamed},
            "counts": {(rule.name, kind): keys for (rule, kind), keys in tally.counts.items()},
            "spread": {
                (rule.name, kind): {key: [dict(column) for column in spread] for key, spread in spreads.items()}
                for (rule, kind), spreads in tally.spread.items()
            },
            "unread": tally.unread,
            "tables": {name: dict(table.rows) for name, table in sessions._tables().items()},
            "behind": self.behind,
            "evicted": [table.evicted for table in self.tables],
            "losses": self.losses,
            "state": self.log.state(),
            "newest": self.log.newest(),
        }


def told(one: Any) -> Any:
    """What a hit tells that nobody wants to know more of; an event as it is."""
    if not isinstance(one, Hit):
        return one
    return one.hits.kind, one.hits.host, one.hits.tag, one.hits.head, one.at, one.client


def cut(log: bytes, size: int, dice: random.Random) -> list[tuple[bytes, bool]]:
    """A log in pieces of about this size, most of which are to be read apart."""
    pieces, at = [], 0
    while at < len(log):
        end = log.find(b"\n", at + dice.randint(1, 2 * size)) + 1 or len(log)
        pieces.append((log[at:end], dice.random() < 0.8))
        at = end
    return pieces


def assert_the_same(pieces: list[tuple[bytes, bool]], zone: Any = UTC) -> Reading:
    in_order = Reading([(lines, False) for lines, _ in pieces], zone).left()
    reading = Reading(pieces, zone)
    apart = reading.left()
    for what in in_order:
        assert apart[what] == in_order[what], what
    return reading


@pytest.mark.parametrize(("version", "name"), EVERY_LOG)
def test_a_real_log_leaves_the_same_behind(version: str, name: str) -> None:
    log, dice = logs(version)[name], random.Random(name)
    reading = assert_the_same(cut(log, dice.choice((150, 2_000, 30_000)), dice))
    if len(log) > 50_000 and "repeated" not in name and "mixed" not in name:
        assert reading.apart > len(log) // 3


@pytest.mark.parametrize("mix", ["normal", "attack"])
@pytest.mark.parametrize("size", [300, 20_000])
def test_a_busy_log_leaves_the_same_behind(mix: Any, size: int) -> None:
    log = b"".join(generate(30_000, mix, 9))
    reading = assert_the_same(cut(log, size, random.Random(size)))
    assert reading.apart > len(log) // 2


def test_spoiled_lines_leave_the_same_behind() -> None:
    dice, mix = random.Random(4), richest_mix()
    for _ in range(200):
        log = bytearray(mix[dice.randrange(len(mix) // 2) :])
        for _ in range(dice.randrange(80)):
            log[dice.randrange(len(log))] = dice.choice((dice.randrange(256), 10, 13, 32, 58, 91, 93))
        assert_the_same(cut(bytes(log) + b"\n", 1_000, dice))


def test_lines_in_any_order_leave_the_same_behind() -> None:
    # Lines are lost and come late: connections end twice, messages are removed before they came.
    dice, lines = random.Random(5), b"".join(generate(4_000, "normal", 3)).splitlines(keepends=True)
    lines += logs("3.10")["injection.log"].splitlines(keepends=True)
    for _ in range(6):
        dice.shuffle(lines)
        assert_the_same(cut(b"".join(lines), 5_000, dice))


@pytest.mark.parametrize("longest", [200, 99_999_999], ids=["few processes", "many, with long numbers"])
def test_whatever_begins_and_ends_in_any_order_leaves_the_same_behind(longest: int) -> None:
    """Connections, failed logins, messages and handshakes that begin and end wherever they like."""
    dice = random.Random(longest)
    families = [
        ["connect from {client}", "disconnect from {client} ehlo=1 commands=1"],
        [
            "warning: {client}: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
            "lost connection after AUTH from {client}",
        ],
        [
            "{id}: client={client}",
            "{id}: client={client}, sasl_method=LOGIN, sasl_username=a@example.org",
            "{id}: removed",
        ],
        [
            "SSL_accept error from {client}: -1",
            "SSL_accept error from {client}: lost connection",
            "warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:statem_srvr.c:1657:",
        ],
        ["disconnect from {client} ehlo=1 auth=0/{few} commands=1/{few}"],
        [
            "NOQUEUE: reject: RCPT from {client}: 554 5.7.1 <a@example.com>: Relay access denied; "
            "from=<b@example.org> to=<a@example.com> proto=ESMTP helo=<x>",
        ],
        ["{id}: warning: queue file size limit exceeded", "warning: {id}: no such thing"],
        ["message repeated 2 times: [ connect from {client}]", "message repeated 2 times: [ {id}: client={client}]"],
    ]
    pids, ids = [dice.randrange(1, longest) for _ in range(12)], [f"4bXy{'BCDFGHJKL'[n]}z0kQjz2Y" for n in range(9)]
    for _ in range(400):
        second, lines, odd = 0, [], not dice.randrange(4)
        some = [body for family in dice.sample(families, dice.randrange(1, len(families))) for body in family]
        for _ in range(100):
            second += dice.choice((0, 0, 0, 1, 2, 4))
            client = f"host.example.net[192.0.2.{dice.randrange(1, 5)}]"
            body = dice.choice(some).format(client=client, few=dice.randrange(4), id=dice.choice(ids))
            daemon = "qmgr" if "removed" in body else dice.choice(("smtpd", "smtpd", "smtpd", "submission/smtpd"))
            at = f"10:{second // 60:02}:{second % 60:02}"
            at = f"2026-11-22T{at}+00:00" if odd and not dice.randrange(9) else f"Nov 22 {at}"
            lines.append(f"{at} mx1 postfix/{daemon}[{dice.choice(pids)}]: {body}\n".encode())
        assert_the_same(cut(b"".join(lines), dice.choice((150, 2_000, 15_000)), dice))


def body(text: bytes, pid: int = 767, daemon: bytes = b"smtpd", at: bytes = b"10:27:54") -> bytes:
    return b"Nov 22 %b mx1 postfix/%b[%d]: %b\n" % (at, daemon, pid, text)


CONNECT = body(b"connect from " + CLIENT)
FAILED = body(b"warning: " + CLIENT + b": SASL LOGIN authentication failed: authentication failure, sasl_username=a")
LIBRARY = body(b"warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:../x.c:1:")
ACCEPTED = body(b"A1B2C3D4E5: client=" + CLIENT + b", sasl_method=PLAIN, sasl_username=alice")
REMOVED = body(b"A1B2C3D4E5: removed", 5, b"qmgr")
MILTER = body(b"A1B2C3D4E5: reject: body x from local; from=<a@example.org>: 5.7.1 no", 6, b"cleanup")
LEFT = body(b"disconnect from " + CLIENT + b" ehlo=1 quit=1 commands=2/2")
LOST = body(b"lost connection after STARTTLS from " + CLIENT)
STORIES = [
    [CONNECT, FAILED, FAILED, body(b"disconnect from " + CLIENT + b" ehlo=1 auth=0/%d quit=1 commands=2/4" % failed)]
    for failed in (0, 1, 2, 3)
] + [
    [CONNECT, FAILED, CONNECT, body(b"disconnect from " + CLIENT + b" ehlo=1 auth=0/1 commands=1/2"), FAILED, CONNECT],
    [CONNECT, LEFT, FAILED, CONNECT, LEFT, body(b"disconnect from " + CLIENT + b" ehlo=1 auth=0/1 commands=1/2")],
    [CONNECT, LEFT, body(b"message repeated 2 times: [ connect from " + CLIENT + b"]"), LEFT, LIBRARY],
    [ACCEPTED, REMOVED, body(b"message repeated 2 times: [ A1B2C3D4E5: client=" + CLIENT + b"]"), REMOVED, MILTER],
    [CONNECT, LIBRARY, CONNECT, body(b"disconnect from " + CLIENT + b" commands=0/0"), LIBRARY],
    [CONNECT, body(b"SSL_accept error from " + CLIENT + b": -1"), LIBRARY, LOST],
    [CONNECT, body(b"SSL_accept error from " + CLIENT + b": -1"), LOST, LIBRARY],
    [ACCEPTED, body(b"warning: A1B2C3D4E5: queue file size limit exceeded"),
     body(b"warning: mail_stream_cleanup: close error", 622, b"cleanup"), ACCEPTED,
     body(b"warning: mail_stream_cleanup: close error", 622, b"cleanup"),
     REMOVED],
    [ACCEPTED, REMOVED, MILTER, ACCEPTED, MILTER],
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_wherever_a_story_is_cut(story: list[bytes]) -> None:
    for apart in (True, False):
        for first in range(len(story) + 1):
            for second in range(first, len(story) + 1):
                pieces = story[:first], story[first:second], story[second:]
                assert_the_same([
                    (b"".join(lines), bool(number % 2) is apart) for number, lines in enumerate(pieces) if lines
                ])  # fmt: skip
    assert_the_same([(b"".join(story), True)])


def test_a_line_that_repeats_the_one_before_is_left_to_who_knows_it() -> None:
    repeated = b"Nov 22 10:27:54 mx1 last message repeated 3 times\n"
    stretch = StretchReader(UTC, None, dovecot=False).read(CONNECT + repeated + CONNECT, REFERENCE)
    assert stretch.rest == repeated + CONNECT
    reading = assert_the_same([(FAILED, False), (repeated + FAILED, True), (FAILED + repeated, True), (repeated, True)])
    assert reading.left()["fates"]["total"] == 0  # all of it was compared already
    assert_the_same([(CONNECT + b"no header\n" + CONNECT, True)])


def test_the_hour_that_comes_twice_is_read_in_order() -> None:
    def line(clock: bytes) -> bytes:
        return b"Oct 25 %b mx1 postfix/smtpd[767]: connect from unknown[192.0.2.7]\n" % clock

    twice = line(b"02:10:00") + line(b"02:50:00") + line(b"02:05:00") + line(b"02:06:00")
    reading = assert_the_same(
        [(line(b"01:00:00"), True), (twice, True), (line(b"02:59:00"), True), (line(b"04:00:00"), True)],
        ZoneInfo("Europe/Berlin"),
    )
    assert reading.apart == 0  # all of that day


def test_what_a_container_runtime_did_is_undone_in_order() -> None:
    part = b"2026-11-22T09:53:31.1Z stdout P Nov 22 10:27:54 mx1 postfix/smtpd[767]: connect fr\n"
    end = b"2026-11-22T09:53:31.1Z stdout F om unknown[192.0.2.7]\n"
    assert_the_same([(CONNECT, True), (part, True), (end + end, True)])
    assert_the_same([(b'{"log":"' + CONNECT.rstrip() + b'\\n","stream":"stdout","time":"x"}\n', True), (CONNECT, True)])


def test_losses_are_told_once() -> None:
    loss = b"Nov 22 10:27:54 mx1 rsyslogd[1]: imjournal: 4711 messages lost due to rate-limiting\n"
    repeated = b"Nov 22 10:27:54 mx1 last message repeated 2 times\n"
    reading = assert_the_same([(CONNECT + loss, True), (loss, False), (loss + repeated + loss, True)])
    assert [one.lines for one in reading.losses] == [4711] * 4


def test_more_hosts_and_keys_than_are_remembered() -> None:
    lines = [
        b"Nov 22 10:27:54 mx%d postfix/smtpd[7]: connect from unknown[192.0.2.7]\n" % (number % 1500)
        for number in range(4000)
    ]
    lines += [HEAD + b"connect from unknown[192.0.2.7]\n", FAILED] * 20
    lines += [
        HEAD + b"Anonymous TLS connection established from unknown[192.0.2.7]: TLSv1.3 with cipher X%d "
        b"(256/256 bits)\n" % number
        for number in range(9000)
    ]
    random.Random(5).shuffle(lines)
    assert_the_same([(b"".join(lines), True)])


def test_more_processes_and_messages_than_a_stretch_keeps() -> None:
    lines = [body(b"connect from " + CLIENT, pid) for pid in range(10_000)]
    lines += [body(b"disconnect from " + CLIENT + b" commands=0/0", pid) for pid in range(5_000)]
    lines += [body(b"A%010X: client=%b" % (number, CLIENT)) for number in range(6_000)]
    lines += [body(b"A%010X: removed" % number, 5, b"qmgr") for number in range(5_500)]
    reading = Reading([(b"".join(lines), True)])
    assert len(reading.sessions.clients.rows) == 5_000
    assert len(reading.sessions.messages.rows) == 500
    assert reading.left() == Reading([(b"".join(lines), False)]).left()


def test_all_that_may_take_room_is_counted() -> None:
    # Processes with long pids are told at once; where there is no room, they would make it differently in order.
    for pid in (7, 12_345_678):
        lines = [body(b"connect from " + CLIENT, pid), body(b"disconnect from " + CLIENT + b" commands=0/0", pid)] * 5
        lines += [ACCEPTED, REMOVED] * 3 + [LIBRARY] * 2
        lines += [FAILED.replace(b"[767]", b"[12345678]")] * 4
        assert StretchReader(UTC, None, dovecot=False).read(b"".join(lines), REFERENCE).passing == 5 + 3 + 2 + 4


def test_no_plain_line_is_one_that_somebody_waits_for() -> None:
    """Of a plain line only that it was written is told: nobody may have to know which it is. What the library says of a
    failure is left whole.
    """
    for daemon in GRAMMAR:
        for form in plain_forms(daemon):
            if form.plain.explains:
                continue
            example = form.rule.example.partition(": ")[2].encode()
            for awaited in (handshakes._LIBRARY_LINE, handshakes._CLOSING_LINE):
                assert not re.match(awaited, example), form.rule.name


def test_what_was_counted_elsewhere_can_be_taken_back() -> None:
    first, second = b"".join(generate(2_000, "normal", 3)), b"".join(generate(2_000, "attack", 4))
    reader, again = (StretchReader(UTC, None, dovecot=False) for _ in range(2))
    for lines in (first, second):
        reader.read(lines, REFERENCE)
    again.read(second, REFERENCE)
    left, only = Reading([]), Reading([])
    left.log.add(reader.counts(), again.counts())
    again.read(first, REFERENCE)
    only.log.add(again.counts(), [])
    assert left.left()["counts"] == only.left()["counts"]
