"""Events of a few kinds are, one by one and in the same order, those that reading every line as an event gives."""

import random
from collections.abc import Iterator
from datetime import UTC
from functools import cache

import pytest

from pfwatch.events import KINDS, AuthFailed, Event, Foreign, Malformed, RelayDenied, TlsFailed, Unsupported
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
    sessions, wanted = Sessions(), needed(kinds)
    assert wanted is not None
    reader = LogReader(sessions, UTC, wanted=wanted, dovecot=True, fast=fast)
    for piece in pieces_of(log):
        reader.read(piece, REFERENCE)
    sessions.finish()
    unbuilt = sessions.take_unbuilt()
    assert all(one.hits.kind is type(built(one)) for one in unbuilt if isinstance(one, Hit))
    return [event for event in map(built, unbuilt) if type(event) in kinds]


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


@pytest.mark.parametrize(("version", "name"), EVERY_LOG)
def test_several_kinds_of_a_real_log(version: str, name: str) -> None:
    for kinds in combinations(1, len(name)):
        assert_the_same(logs(version)[name], kinds)


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
