"""A stretch that was read apart leaves behind what reading its lines in order does: the same in every table."""

import random
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest

from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.fragments import address_of_client
from pfwatch.parsing.hits import Hit
from pfwatch.parsing.log import LogReader
from pfwatch.parsing.stretch import StretchReader
from pfwatch.sessions import Sessions
from tests.bench.generate import generate
from tests.samples.logs import REFERENCE, VERSIONS, logs

pytestmark = pytest.mark.skipif(not BUILT, reason="the compiled reader is not built: there was no C compiler")
EVERY_LOG = [(version, name) for version in VERSIONS for name in sorted(logs(version))]
CLIENT = "host.example.net[192.0.2.{}]"


def told(one: Any) -> tuple[Any, ...]:
    if isinstance(one, Hit):
        return one.hits.kind, one.at, one.hits.host, one.hits.service, one.hits.daemon, address_of_client(one.client)
    return type(one), one.envelope.at, one.envelope.record


def read(pieces: list[bytes], *, apart: bool) -> Iterator[Any]:
    """What happened in each piece, and what is remembered behind it."""
    sessions = Sessions()
    log = LogReader(sessions, UTC, bare=True)
    stretches = StretchReader(UTC, None, dovecot=False)
    for piece in pieces:
        if apart:
            log.follow(stretches.read(piece, REFERENCE), REFERENCE)
        else:
            log.read(piece, REFERENCE)
        tables = {name: dict(table.rows) for name, table in sessions._tables().items() if name != "handshake"}
        waiting = [(process, row.at) for process, row in sessions._tables()["handshake"].rows.items()]
        yield [told(one) for one in sessions.take_unbuilt()], tables, waiting, sorted(sessions.watch)


def assert_the_same(pieces: list[bytes]) -> None:
    for piece, apart, in_order in zip(pieces, read(pieces, apart=True), read(pieces, apart=False), strict=True):
        for one, other in zip(apart, in_order, strict=True):
            assert one == other, piece.decode("latin-1")


def cut(lines: list[bytes], most: int, dice: random.Random) -> list[bytes]:
    pieces = []
    while lines:
        number = dice.randrange(1, most)
        pieces.append(b"".join(lines[:number]))
        lines = lines[number:]
    return pieces


@pytest.mark.parametrize(("version", "name"), EVERY_LOG)
def test_a_real_log(version: str, name: str) -> None:
    lines, dice = logs(version)[name].splitlines(keepends=True), random.Random(name)
    for most in (10, 200, 5_000):
        assert_the_same(cut(lines, most, dice))


@pytest.mark.parametrize("mix", ["normal", "attack"])
def test_a_busy_log(mix: Any) -> None:
    lines, dice = list(generate(30_000, mix, 9)), random.Random(1)
    for most in (100, 5_000):
        assert_the_same(cut(lines, most, dice))


@pytest.mark.parametrize("longest", [200, 99_999_999], ids=["few processes", "many, with long numbers"])
def test_lines_in_any_order(longest: int) -> None:
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
            client = CLIENT.format(dice.randrange(1, 5))
            body = dice.choice(some).format(client=client, few=dice.randrange(4), id=dice.choice(ids))
            daemon = "qmgr" if "removed" in body else dice.choice(("smtpd", "smtpd", "smtpd", "submission/smtpd"))
            at = f"10:{second // 60:02}:{second % 60:02}"
            at = f"2026-11-22T{at}+00:00" if odd and not dice.randrange(9) else f"Nov 22 {at}"
            lines.append(f"{at} mx1 postfix/{daemon}[{dice.choice(pids)}]: {body}\n".encode())
        assert_the_same(cut(lines, dice.choice((3, 30, 200)), dice))


def test_more_messages_and_processes_than_a_stretch_has_room_for() -> None:
    begin, client = "Nov 22 10:00:00 mx1 postfix/smtpd[{}]: ", "h.example.net[192.0.2.1]"
    lines = [f"{begin.format(number + 1)}connect from {client}\n" for number in range(3_000)]
    lines += [f"{begin.format(7)}4bXyB{number:09}: client={client}\n" for number in range(6_000)]
    lines += [f"Nov 22 10:00:00 mx1 postfix/qmgr[9]: 4bXyB{number:09}: removed\n" for number in range(5_500)]
    lines += [f"{begin.format(number + 1)}disconnect from {client} commands=1\n" for number in range(2_900)]
    assert_the_same(["".join(lines).encode()])
