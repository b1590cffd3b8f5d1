"""Where hits are bare, more lines are hits: what happens, to whom and when, is what Python alone reads in full."""

import random
from collections import Counter
from datetime import UTC
from typing import Any

import pytest

from pfwatch.detection.rules import RULES
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.fragments import address_of_client
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.hits import Hit
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions, handshakes
from tests.bench.generate import generate
from tests.samples.logs import REFERENCE, VERSIONS, logs, richest_mix

pytestmark = pytest.mark.skipif(not BUILT, reason="the compiled reader is not built: there was no C compiler")
EVERY_LOG = [(version, name) for version in VERSIONS for name in sorted(logs(version))]
DETECTED = {kind for rule in RULES for kind in rule.wants}
BARE = [
    rule
    for rule in {rule.name: rule for table in GRAMMAR.values() for rule in table}.values()
    if any(plain.bare for plain in rule.plain)
]
FAILED = "SSL_accept error from unknown[192.0.2.{}]: {}"
LIBRARY = "warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:statem_srvr.c:1657:"


def line(body: str, *, pid: int = 767, at: str = "10:27:54", daemon: str = "smtpd") -> bytes:
    return f"Nov 22 {at} mx1 postfix/{daemon}[{pid}]: {body}\n".encode()


def told(one: Any) -> tuple[Any, ...]:
    """Kind and moment, and the address where somebody wants to know it."""
    if isinstance(one, Hit):
        return one.hits.kind, one.at, address_of_client(one.client) if one.hits.kind in DETECTED else None
    client = getattr(one, "client", None) if type(one) in DETECTED else None
    return type(one), one.envelope.at, client.ip if client else None


def left(pieces: list[bytes], *, fast: bool) -> dict[str, Any]:
    sessions, counts = Sessions(), Counter[Any]()
    scanner = Scanner(sessions, TimeReader(UTC), dovecot=True, fast=fast, bare=fast)
    happened, waiting = [], []
    for piece in [*pieces, None]:
        if piece is None:
            sessions.finish()
        else:
            scanner.scan(piece, REFERENCE)
            waiting.append((sessions.waiting_since(), sorted(sessions.watch)))
        for one in sessions.take_unbuilt():
            happened.append(told(one))
            if not isinstance(one, Hit):
                counts[one.kind] += one.envelope.weight
    tally = scanner.take()
    for (_, kind), keys in tally.counts.items():
        if kind is not None:
            counts[kind.kind] += sum(keys.values())
    tables = {name: dict(table.rows) for name, table in sessions._tables().items() if name != "handshake"}
    return {"happened": happened, "waiting": waiting, "counts": counts, "fates": tally.fates(), "tables": tables}


def assert_the_same(pieces: list[bytes]) -> dict[str, Any]:
    bare, whole = left(pieces, fast=True), left(pieces, fast=False)
    for what in whole:
        assert bare[what] == whole[what], what
    return bare


def cut(log: bytes, size: int, dice: random.Random) -> list[bytes]:
    lines, pieces = log.splitlines(keepends=True), []
    while lines:
        number = dice.randrange(1, size)
        pieces.append(b"".join(lines[:number]))
        lines = lines[number:]
    return pieces


@pytest.mark.parametrize(("version", "name"), EVERY_LOG)
def test_a_real_log(version: str, name: str) -> None:
    assert_the_same(cut(logs(version)[name], 200, random.Random(name)))


@pytest.mark.parametrize("mix", ["normal", "attack"])
def test_a_busy_log(mix: Any) -> None:
    lines, dice = list(generate(30_000, mix, 9)), random.Random(1)
    found = assert_the_same(cut(b"".join(lines), 5_000, dice))
    assert found["counts"]["tls_failed"] > 50
    assert found["fates"]["parts"] > 20
    dice.shuffle(lines)  # and in any order
    assert_the_same(cut(b"".join(lines), 5_000, dice))


def test_spoiled_lines() -> None:
    dice, mix = random.Random(4), richest_mix()
    for _ in range(100):
        log = bytearray(mix[dice.randrange(len(mix) // 2) :])
        for _ in range(dice.randrange(80)):
            log[dice.randrange(len(log))] = dice.choice((dice.randrange(256), 10, 13, 32, 45, 58, 91, 93))
        assert_the_same(cut(bytes(log), 100, dice))


def test_lines_about_handshakes_in_every_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "MOST_WAITING", 3)
    dice, reasons = random.Random(3), ("-1", "0", "--5", "-", "", "1x", "lost connection", "Connection timed out")
    bodies = [
        *(FAILED.format(number, reason) for number in (7, 8) for reason in reasons),
        FAILED.format(7, "-1").replace("192.0.2.7", "unknown"),
        FAILED.format(7, "-1").replace("]", "]:2525"),
        *[LIBRARY] * 8,
        LIBRARY.partition("error")[0],
        f"message repeated 2 times: [ {LIBRARY}]",
        f"message repeated 3 times: [ {FAILED.format(9, '-1')}]",
        f"message repeated 3 times: [ {FAILED.format(9, 'lost connection')}]",
        "connect from unknown[192.0.2.7]",
        "disconnect from unknown[192.0.2.7] ehlo=1 commands=1",
        "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
        "SSL_connect error to mx.example.net[198.51.100.4]:25: -1",
        "TLS handshake failed for service=smtpd peer=[192.0.2.7]:34679",
        "no such line",
    ]
    for _ in range(400):
        second, lines = 0, []
        for _ in range(40):
            second = max(0, second + dice.choice((0, 0, 1, 1, 2, 6, -3)))
            at = f"10:{second // 60:02}:{second % 60:02}"
            daemon = dice.choice(("smtpd", "smtpd", "smtpd", "smtp", "tlsproxy", "postscreen"))
            lines.append(line(dice.choice(bodies), pid=dice.randrange(1, 6), at=at, daemon=daemon))
        assert_the_same(cut(b"".join(lines), 20, dice))


def test_failures_are_hits_and_the_librarys_words_parts_of_them() -> None:
    sessions = Sessions()
    scanner = Scanner(sessions, TimeReader(UTC), bare=True)
    scanner.scan(line(FAILED.format(7, "-1")), REFERENCE)
    assert sessions.take_unbuilt() == []
    scanner.scan(line(LIBRARY) + line(FAILED.format(8, "lost connection"), pid=5), REFERENCE)
    assert [told(one)[2] for one in sessions.take_unbuilt()] == ["192.0.2.8"]
    scanner.scan(line(LIBRARY, at="10:27:59") + line(FAILED.format(9, "-1"), at="10:28:00", pid=6), REFERENCE)
    (hit,) = sessions.take_unbuilt()
    assert isinstance(hit, Hit)
    assert told(hit)[2] == "192.0.2.7"
    assert (scanner.tally.events, scanner.tally.parts) == (3, 2)


@pytest.mark.parametrize(
    ("before", "after", "is_read"),
    [("", "", True), ("NOQUEUE", "A3F0070", False), ("]:34679", "]:x", False), ("550 ", "550", False)],
)
def test_a_refusal_of_postscreen(before: str, after: str, is_read: bool) -> None:
    body = "NOQUEUE: reject: RCPT from [192.0.2.9]:34679: 550 5.7.1 Service unavailable".replace(before, after, 1)
    found = assert_the_same([line(body, daemon="postscreen")])
    assert (found["counts"]["rejected"], found["fates"]["events"]) == (int(is_read), int(is_read))


@pytest.mark.parametrize(("last", "is_listed"), [("0.0.2", True), ("0.0.255", True), ("255.255.254", False)])
def test_what_dnsblog_found(last: str, is_listed: bool) -> None:
    found = assert_the_same([line(f"addr 192.0.2.9 listed by domain zen.example.net as 127.{last}", daemon="dnsblog")])
    assert found["counts"] == ({"dnsbl_listed": 1} if is_listed else {"service_health": 1})


@pytest.mark.parametrize("rule", BARE, ids=lambda rule: rule.name)
def test_the_example_is_a_hit(rule: Rule) -> None:
    sessions = Sessions()
    Scanner(sessions, TimeReader(UTC), bare=True).scan(rule.example.encode() + b"\n", REFERENCE)
    sessions.finish()
    assert [type(one) for one in sessions.take_unbuilt()] == [Hit]


def test_forms_of_bare_hits_are_only_for_those() -> None:
    for rules in GRAMMAR.values():
        for rule in rules:
            for plain in rule.plain:
                assert plain.rare or not plain.bare, rule.name
                assert plain.bare or not (plain.waits or plain.queue_id), rule.name
    sessions = Sessions()
    Scanner(sessions, TimeReader(UTC)).scan(line(FAILED.format(7, "lost connection")), REFERENCE)
    assert not any(isinstance(one, Hit) for one in sessions.take_unbuilt())
