"""Time grows with the text and not faster, whatever stands in it. `./dev fuzz growth` is the long search."""

import re
from collections.abc import Callable
from functools import partial
from itertools import count

import pytest

from pfwatch.parsing.grammar import every_rule
from pfwatch.parsing.reject import category, read_reply
from tests.fuzz.attacks import Attack, attacks_on
from tests.fuzz.growth import Found, measure, seconds
from tests.fuzz.patterns import every_pattern

EVERY = every_rule()
_FEW = 24
_SIZE = 16 * 1024
_STEP = 2e-8
"""Seconds."""
_TOO_LONG = 0.02
"""Seconds for 16 KiB. The slowest pattern takes 3 ms; one whose time grows with the square takes 50 to 200."""


def _body_of(name: str) -> Callable[[bytes], object]:
    return EVERY[name][0].compiled.match


FOUND = [
    (
        "postqueue-down",
        _body_of("postqueue-down"),
        Attack(b"warning: Mail system is down -- accessing queue directly (Connect to the ", b"a", b""),
    ),
    (
        "master-change-ignored-advice",
        _body_of("master-change-ignored-advice"),
        Attack(b'warning: old value: "', b'", new value: ""', b"\0"),
    ),
    ("category of senders", category, Attack(b"", b"Sender address rejected: 0", b"")),
    ("category of recipients", category, Attack(b"", b"Recipient address rejected: 0", b"")),
]
"""What the search found: their time grew with the square of the length."""


@pytest.mark.parametrize(("name", "run", "attack"), FOUND, ids=[name for name, _, _ in FOUND])
def test_a_text_eight_times_as_long_takes_eight_times_as_long(
    name: str, run: Callable[[bytes], object], attack: Attack
) -> None:
    short, long = (seconds(run, attack.text(size), 5) for size in (8 * 1024, 64 * 1024))
    assert long < 24 * short + 0.001, "linear is 8, the square is 64"


def test_the_worst_tail_of_a_refusal_takes_few_milliseconds() -> None:
    """Behind 2,000 bytes nothing is read. The search found one that took 20 ms, now 0.7."""
    pieces = ((b"; from=<", 10), (b"> to=<; from=<", 50), (b">, proto=ESMTP, helo=<", 200), (b" sasl_sender=", 50))
    assert seconds(read_reply, b"".join(piece * times for piece, times in pieces)[:2000], 5) < 0.008


def test_no_pattern_is_held_up_by_a_text_that_is_made_against_it() -> None:
    slow = []
    for named in every_pattern():
        run = named.pattern.search if named.searched else named.pattern.match
        for attack in attacks_on(named.pattern.pattern, searched=named.searched, most=_FEW):
            text = attack.text(_SIZE)
            if seconds(run, text) > _TOO_LONG and seconds(run, text, 5) > _TOO_LONG:
                slow.append((named.name, attack))
    assert slow == []


@pytest.mark.parametrize(
    ("pattern", "size", "slow"),
    [
        (b"a[^)]*?[a-z]++ b", 8192, True),
        (b'"x.*y.*z', 8192, True),
        (b"(?:a|aa)+b", 30, True),
        (b"a[^ ]*+ b", 8192, False),
        (b"a.*?: c", 8192, False),
    ],
)
def test_the_attacks_find_what_is_slow(pattern: bytes, size: int, slow: bool) -> None:
    run = re.compile(pattern + rb"\Z", re.DOTALL).match
    assert any(seconds(run, attack.text(size), 2) > 0.004 for attack in attacks_on(pattern)) is slow


def told_of(steps: Callable[[int, int], float]) -> Found | None:
    """What is told of work that takes so many steps: by length, and by how often it was done before. The clock counts
    nothing but these.
    """
    calls, clock = count(), 0.0

    def run(text: bytes) -> None:
        nonlocal clock
        clock += _STEP * int(steps(len(text), next(calls)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.process_time", lambda: clock)
        return measure("work", run, Attack(b"", b"a", b""))


def test_a_busy_machine_is_no_finding() -> None:
    """Somebody else's work makes all of ours slow for a while, and then no longer."""
    assert told_of(lambda size, _: size) is None
    for begin in range(3, 18, 3):
        slow = range(begin, begin + 6)
        assert told_of(partial(lambda slow, size, call: size * (3 if call in slow else 1), slow)) is None


@pytest.mark.parametrize(("power", "scale"), [(1.5, 0.02), (2, 0.0001)])
def test_what_grows_faster_than_the_text_is_told(power: float, scale: float) -> None:
    found = told_of(lambda size, _: scale * size**power)
    assert found
    assert power - 0.2 < found.exponent < power + 0.2


def test_what_was_read_before_is_not_measured_again() -> None:
    """A line that is remembered takes no time: only the first of its kind shows what a stranger can do."""
    known = set[bytes]()

    def run(text: bytes) -> None:
        if text not in known:
            known.add(text)
            for _ in range(int(0.02 * len(text) ** 1.5)):
                pass

    assert measure("remembered", run, Attack(b"", b"a", b""))
