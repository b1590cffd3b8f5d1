"""Events of a few kinds are, one by one and in the same order, those that reading every line as an event gives."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

import msgspec
import pytest

from pfwatch.cli import composer, ndjson
from pfwatch.cli.ndjson import JsonLines
from pfwatch.cli.selection import Selection
from pfwatch.events import KINDS, AuthFailed, Event, Foreign, Malformed, RelayDenied, TlsFailed, Unsupported, as_object
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.hits import Hit, built
from pfwatch.parsing.log import LogReader
from pfwatch.sessions import Sessions
from pfwatch.sessions.needs import needed
from tests.bench.generate import generate
from tests.samples.logs import REFERENCE, VERSIONS, logs, richest_mix

Kinds = frozenset[type[Event]]
EVERY_LOG = [(version, name) for version in VERSIONS for name in sorted(logs(version))]
READ = [kind for kind in KINDS if kind not in {Foreign, Malformed, Unsupported}]
GUIDE: Kinds = frozenset((AuthFailed, RelayDenied, TlsFailed))


def combinations(number: int, seed: int) -> list[Kinds]:
    dice = random.Random(seed)
    return [GUIDE, *(frozenset(dice.sample(READ, dice.randrange(2, 12))) for _ in range(number))]


def pieces_of(log: bytes) -> Iterator[bytes]:
    """Two, cut between lines."""
    middle = log.find(b"\n", len(log) // 2) + 1
    yield from (log[:middle], log[middle:])


@cache
def every_event(log: bytes) -> list[Event]:
    """The reference: every line is an event."""
    sessions = Sessions()
    reader = LogReader(sessions, UTC, every_event=True, dovecot=True)
    for piece in pieces_of(log):
        reader.read(piece, REFERENCE)
    sessions.finish()
    return sessions.take()


def events_of(log: bytes, kinds: Kinds, *, fast: bool = BUILT) -> list[Event]:
    unbuilt = unbuilt_of(log, kinds, fast=fast)
    assert all(one.hits.kind is type(built(one)) for one in unbuilt if isinstance(one, Hit))
    return [event for event in map(built, unbuilt) if type(event) in kinds]


def unbuilt_of(log: bytes, kinds: Kinds, *, fast: bool = BUILT) -> list[Event | Hit]:
    sessions, wanted = Sessions(), needed(kinds)
    assert wanted is not None
    reader = LogReader(sessions, UTC, wanted=wanted, dovecot=True, fast=fast)
    for piece in pieces_of(log):
        reader.read(piece, REFERENCE)
    sessions.finish()
    return sessions.take_unbuilt()


def assert_the_same(log: bytes, kinds: Kinds) -> None:
    expected = [event for event in every_event(log) if type(event) in kinds]
    for fast in {BUILT, False}:
        found = events_of(log, kinds, fast=fast)
        assert found == expected, ([kind.kind for kind in kinds], fast)


@pytest.mark.parametrize("kind", READ, ids=lambda kind: kind.kind)
def test_one_kind_of_every_log_of_a_release(kind: type[Event]) -> None:
    number = READ.index(kind)
    version = VERSIONS[number % 2 + 1]  # the one with the grammar tour, and the one with most stories
    assert_the_same(b"".join(log for _, log in sorted(logs(version).items())), frozenset((kind,)))


@pytest.mark.parametrize("number", range(len(EVERY_LOG)), ids=" ".join("-".join(one) for one in EVERY_LOG).split())
def test_several_kinds_of_a_real_log(number: int) -> None:
    version, name = EVERY_LOG[number]
    assert_the_same(logs(version)[name], combinations(1, number)[number % 2])


@pytest.mark.parametrize("mix", ["normal", "attack"])
def test_several_kinds_of_a_generated_log(mix: str) -> None:
    log = b"".join(generate(6_000, mix, seed=7, long_ids=0.5))  # type: ignore[arg-type] # both are mixes
    for kinds in combinations(12, 3):
        assert_the_same(log, kinds)


def test_several_kinds_of_spoiled_lines() -> None:
    dice, mix, every = random.Random(6), richest_mix(), combinations(40, 8)
    for _ in range(150):
        lines = mix[mix.find(b"\n", dice.randrange(len(mix) // 2)) + 1 :].split(b"\n")
        for _ in range(dice.randrange(20)):  # some elsewhere, so that times go back
            lines.insert(dice.randrange(len(lines)), lines.pop(dice.randrange(len(lines))))
        log = bytearray(b"\n".join(lines))
        for _ in range(dice.randrange(60)):
            log[dice.randrange(len(log))] = dice.choice((dice.randrange(256), 10, 32, 58, 91, 93))
        assert_the_same(bytes(log) + b"\n", dice.choice(every))


def selections(events: list[Event], number: int) -> Iterator[Selection]:
    """What may be asked for of these events, by all that can be named."""
    dice = random.Random(number)
    clients = [event.client.ip for event in events if isinstance(event, AuthFailed | RelayDenied) and event.client.ip]
    accounts = [event.username for event in events if isinstance(event, AuthFailed) and event.username]
    times = [datetime.fromtimestamp(event.envelope.at, UTC) for event in events]
    kinds = frozenset(kind.kind for kind in GUIDE)
    yield Selection(kinds, (), (), None, None)
    for _ in range(number):
        yield Selection(
            kinds if dice.random() < 0.6 else frozenset(("auth_failed",)),
            [dice.choice(clients), f"{dice.choice(clients)}/20"] if clients and dice.random() < 0.5 else (),
            dice.sample(accounts, 2) if len(accounts) > 1 and dice.random() < 0.3 else (),
            dice.choice(times) if times and dice.random() < 0.3 else None,
            dice.choice(times) if times and dice.random() < 0.3 else None,
        )


def odd_hits() -> bytes:
    """Hits of two hosts, with long names, pids that begin with 0, queue ids, and typed text that JSON escapes."""
    head, tail = "Nov 22 11:15:0%d mx%d postfix/smtpd[%s]: ", "SASL LOGIN authentication failed: x, sasl_username="
    lines = [
        head % (number % 7, number % 2, pid) + f"warning: {name}[192.0.2.{number % 3}]: {tail}{account}"
        for number, (pid, name, account) in enumerate(
            itertools.product(
                ("7", "007", "9" * 30),
                ("unknown", "n" * 255, "n" * 600),
                ("a", "a" * 1300, "a" * 1850, 'b"\\\x01\u00e9\u20ac', "c" * 260 + "d", "(unavailable)", ""),
            )
        )
    ]
    refused = (
        "reject: RCPT from unknown[%s]: 554 5.7.1 <x@example.net>: Relay access denied; from=<> to=<x@example.net>"
    )
    lines += [
        head % (7, 0, 5) + f"{queue_id}: {refused % ip} proto=ESMTP helo=<{'h' * size}>"
        for queue_id in ("NOQUEUE", "A1B2C3D4", "A1B2C3D5")
        for ip in ("192.0.2.7", "::ffff:192.0.2.7", "unknown", "192.0.2.7]:25[")
        for size in (1, 1400, 1800)
    ]
    return "".join(line + "\n" for line in lines).encode()


def odd_handshakes() -> bytes:
    """Failed handshakes, and words about them, of processes that come again."""
    dice, lines = random.Random(5), []
    bodies = (
        "SSL_accept error from {}: -1", "SSL_accept error from {}: -1", "SSL_accept error from {}: lost connection",
        "warning: TLS library problem: error:0A000102:SSL routines::unsupported protocol:statem_srvr.c:1657:",
        "warning: TLS library problem: error:1:::no shared cipher:", "lost connection after STARTTLS from {}",
        "connect from {}",
    )  # fmt: skip
    clients = ("unknown[192.0.2.7]", "a.example[2001:db8::1]:25", "unknown[unknown]", "b.example[::ffff:192.0.2.8]")
    for second in range(600):
        body, pid = dice.choice(bodies).format(dice.choice(clients)), dice.randrange(1, 9)
        lines.append(f"Nov 22 11:{second // 60:02}:{second % 60:02} mx1 postfix/smtpd[{pid}]: {body}\n")
    return "".join(lines).encode()


@pytest.mark.parametrize(
    "log",
    [b"".join(generate(6_000, "attack", seed=9)), odd_hits(), odd_handshakes(), logs("3.10")["relay.log"]],
    ids=["attack", "odd hits", "odd handshakes", "relay"],
)
def test_lines_of_hits_are_those_of_their_events(log: bytes) -> None:
    encode = msgspec.json.Encoder().encode
    unbuilt, events = unbuilt_of(log, GUIDE), [event for event in every_event(log) if type(event) in GUIDE]
    # Without the compiled reader, failed handshakes are none.
    assert sum(isinstance(one, Hit) for one in unbuilt) > len(events) / 3 or not BUILT
    for selection in selections(events, 12):
        expected = b"".join(encode(as_object(event)) + b"\n" for event in events if selection.wants(event))
        lines = JsonLines(selection)
        assert b"".join(lines.of([one]) for one in unbuilt) == expected
        assert lines.of(unbuilt) == expected


def test_more_hits_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "Composer", composer.Composer)
    test_lines_of_hits_are_those_of_their_events(odd_hits())
    monkeypatch.setattr(composer, "_REMEMBERED", 3)
    test_lines_of_hits_are_those_of_their_events(odd_hits())


SMTPD = "mx1 postfix/smtpd[%d]: "
PASSED = [
    "mx1 cron[1]: x",
    "mx1 postfix/smtpd: connect from unknown[192.0.2.1]",
    "mx1 postfix/qmgr[3]: A1B2C3D4: removed",
    SMTPD % 3 + "connect from unknown[192.0.2.1]",
    SMTPD % 3 + "A1B2C3D4: client=unknown[192.0.2.1]",
    SMTPD % 3 + "warning: hostname a.example.net does not resolve to address 192.0.2.1: Name or service not known",
    SMTPD % 3 + "warning: something new",
    SMTPD % 3 + "something new",
    SMTPD % 3 + "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x",
    SMTPD % 3 + "message repeated 2 times: [ connect from unknown[192.0.2.1]]",
    "mx1 last message repeated 2 times",
    "<22>",
]


@pytest.mark.parametrize("passed", PASSED)
@pytest.mark.parametrize("kinds", [GUIDE, frozenset((TlsFailed,))], ids=["several", "one"])
def test_every_line_tells_the_time_and_that_its_process_spoke(passed: str, kinds: Kinds) -> None:
    """The failure that waits longer is complete because of a line that does not matter, and before the other one."""
    day, failed = "Nov 22 11:15:", "SSL_accept error from unknown[192.0.2.%d]: -1"
    time = (
        "<22>" + day + "08 " + SMTPD % 3 + "connect from unknown[192.0.2.1]"
        if passed == "<22>"
        else f"{day}08 {passed}"
    )
    library = "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:2226:"
    for spoke in (
        "lost connection after STARTTLS from unknown[192.0.2.8]",
        "A1B2C3D4: client=unknown[192.0.2.8]",
        library,
    ):
        lines = [
            f"{day}02 {SMTPD % 107}{failed % 7}",
            f"{day}04 {SMTPD % 108}{failed % 8}",
            f"{day}04 {SMTPD % 5}connect from unknown[192.0.2.1]",
            time,
            f"{day}05 {SMTPD % 107}{library}",  # too late, though its own time is not
            f"{day}05 {SMTPD % 108}{spoke}",
            f"{day}05 {SMTPD % 108}connect from unknown[192.0.2.9]",
        ]
        log = "".join(line + "\n" for line in lines).encode()
        failures = [event for event in every_event(log) if isinstance(event, TlsFailed)]
        assert [(event.peer_ip, event.error == "other") for event in failures] == [
            ("192.0.2.7", True),
            ("192.0.2.8", spoke != library),
        ]
        assert_the_same(log, kinds)


@pytest.mark.parametrize("spoke", [1, 7, 70])
def test_many_are_waited_for(spoke: int) -> None:
    """More than the compiled reader tells apart at a glance, and pids of one digit."""
    head = b"Nov 22 11:15:02 mx1 postfix/smtpd[%d]: "
    log = b"".join(head % pid + b"SSL_accept error from unknown[192.0.2.%d]: -1\n" % pid for pid in range(1, 90))
    log += head % spoke + b"connect from unknown[192.0.2.1]\n"
    log += head % 500 + b"warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x\n"
    assert_the_same(log[log.index(b"\n", len(log) // 2) + 1 :], GUIDE)
    assert_the_same(log, GUIDE)
