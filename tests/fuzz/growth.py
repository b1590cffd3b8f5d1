"""How the time of a match grows with the length of the text.

Enters: patterns, and whole lines for the scanner. Leaves: those whose time grows clearly faster than the text.

Times are those of this process alone. On a busy machine they are still too long now and then, never too short; so a
text that is slow for its length is only a suspect. It is measured again at growing lengths, in many rounds through all
of them, and told when the best of each length grows faster than it should at every doubling.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from itertools import islice, pairwise
from typing import NamedTuple

from pfwatch.parsing.grammar import every_rule
from pfwatch.pipeline import Pipeline, Settings
from tests.fuzz.attacks import Attack, attacks_on, literals_of
from tests.fuzz.patterns import Named, every_pattern
from tests.samples.logs import REFERENCE

LONGEST = 64 * 1024
"""Bytes of a line (`SourceSettings.max_line`)."""
_SIZES = (4 * 1024, 8 * 1024, 16 * 1024, 32 * 1024, LONGEST)
_SUSPICIOUS = 12e-9
"""Seconds a byte; a plain walk over the text takes a tenth."""
_NOISE = 0.0004
"""Seconds that are not worth a second look."""
_ENOUGH = 0.05
"""Seconds at which a text need not become longer."""
_MOST = 5
"""Steep attacks on one pattern after which no more are looked for: the worst of them is told."""
_STEEP = 1.25
"""Exponent that is told: time for a text twice as long grows by 2.4."""
_STEEP_ONCE = 1.1
"""What the exponent of each doubling must be at least: caches that become too small make one step, not two."""
_STEEP_LOOK = 0.05
"""How much above 1 the exponent of a suspect is at least."""
_ROUNDS = 15
_FEWEST_ROUNDS = 3
"""After so many a suspect may be cleared; it is told after all."""


class Found(NamedTuple):
    """A text that takes too long."""

    name: str
    attack: Attack
    size: int
    seconds: float
    exponent: float
    error: str = ""
    times: tuple[tuple[int, float], ...] = ()
    """Bytes, and the best time for so many."""

    def __str__(self) -> str:
        begin, pump, end = self.attack
        if self.error:
            return f"{self.name}: {self.error}\n    {_short(begin)} + {_short(pump)} * n + {_short(end)}"
        return (
            f"{self.name}: {self.seconds * 1000:.1f} ms for {self.size} bytes, grows by the power of "
            f"{self.exponent:.2f}\n    {_short(begin)} + {_short(pump)} * n + {_short(end)}\n    "
            + ", ".join(f"{size // 1024} KiB {best * 1000:.3f} ms" for size, best in self.times)
        )


def _short(text: bytes) -> str:
    return repr(text) if len(text) <= 160 else f"{text[:80]!r}...{text[-70:]!r}"


def seconds(run: Callable[[bytes], object], text: bytes, times: int = 1) -> float:
    """The best of several runs, in seconds of this process."""
    best = math.inf
    for _ in range(times):
        begin = time.process_time()
        run(text)
        best = min(best, time.process_time() - begin)
    return best


def measure(name: str, run: Callable[[bytes], object], attack: Attack, wrap: bytes = b"") -> Found | None:
    """The growth of one attack, if it is steep. Every size is tried only when the one before it was bearable."""
    times: list[tuple[int, float]] = []
    for size in _SIZES[::2]:
        text = wrap + attack.text(size)
        try:
            times.append((size, seconds(run, text)))
        except Exception as error:
            return Found(name, attack, size, math.inf, math.inf, f"{type(error).__name__}: {str(error)[:200]}")
        if times[-1][1] > _ENOUGH:
            break
    once = times[-1][1]
    if once < max(_NOISE, _SUSPICIOUS * len(text)) or (once <= _ENOUGH and not _looks_steep(times)):
        return None
    return confirm(name, run, attack, wrap)


def _looks_steep(times: Sequence[tuple[int, float]]) -> bool:
    """At a first look, from any length to the last: what a line takes however short it is can hide one step."""
    size, slowest = times[-1]
    return any(slowest * before > earlier * size * (size / before) ** _STEEP_LOOK for before, earlier in times[:-1])


def confirm(name: str, run: Callable[[bytes], object], attack: Attack, wrap: bytes = b"") -> Found | None:
    """The growth of a suspect, if it is steep indeed. No text comes twice: what was read may be remembered."""
    sizes, best = list(_SIZES), dict[int, float]()
    for turn in range(1, _ROUNDS + 1):
        for number, size in enumerate(sizes):
            once = seconds(run, wrap + attack.text(size - turn * len(attack.pump)))
            best[size] = min(best.get(size, math.inf), once)
            if best[size] > _ENOUGH:
                del sizes[number + 1 :]
                break
        times = tuple((size, best[size]) for size in sizes)
        exponent = _exponent(times)
        if turn >= _FEWEST_ROUNDS and (exponent <= _STEEP or times[-1][1] <= _NOISE):
            return None
    return Found(name, attack, *times[-1], exponent, times=times)


def _exponent(times: Sequence[tuple[int, float]]) -> float:
    """Of the last two doublings; infinite where the shortest text is too slow already, 0 where one of them is flat."""
    logarithms = [math.log(max(best, 1e-7) / size) / math.log(2) for size, best in times[-3:]]
    steps = [later - earlier + 1 for earlier, later in pairwise(logarithms)]
    if not steps:
        return math.inf
    return sum(steps) / len(steps) if min(steps) > _STEEP_ONCE else 0.0


def search_patterns(deadline: float, wanted: str = "", seed: int = 1) -> Iterator[Found]:
    """The worst attack on every pattern that has one; in another order for another seed."""
    patterns = every_pattern()
    random.Random(seed).shuffle(patterns)
    for named in patterns:
        if wanted in named.name and time.monotonic() < deadline:
            worst = _worst(measure(named.name, run, attack) for run, attack in _runs(named))
            if worst:
                yield worst


def _runs(named: Named) -> Iterator[tuple[Callable[[bytes], object], Attack]]:
    run = named.pattern.search if named.searched else named.pattern.match
    for attack in attacks_on(named.pattern.pattern, searched=named.searched):
        yield run, attack


def _worst(measured: Iterator[Found | None]) -> Found | None:
    found = list(islice(filter(None, measured), _MOST))
    return max(found, key=lambda one: one.seconds * (LONGEST / one.size) ** min(one.exponent, 9), default=None)


def search_lines(deadline: float, wanted: str = "", seed: int = 1) -> Iterator[Found]:
    """The worst line for the whole core, by the rule that it is made from."""
    words, core = _words_of_builders(), _Core()
    dice = random.Random(seed)
    rules = list(every_rule().items())
    dice.shuffle(rules)
    for name, (rule, _) in rules:
        if wanted not in name or time.monotonic() > deadline:
            continue
        head, _, body = rule.example.encode().partition(b": ")
        attacks = [*attacks_on(rule.compiled.pattern, most=150), *_filled(body, words, dice, 60)]
        worst = _worst(measure(f"line of {name}", core.read, attack, head + b": ") for attack in attacks)
        if worst:
            yield worst


def _words_of_builders() -> list[bytes]:
    """What the code behind the patterns looks for in typed text."""
    words = {
        word
        for named in every_pattern()
        if "." in named.name and " " not in named.name
        for word in literals_of(named.pattern.pattern)
        if 1 < len(word) < 60
    }
    return sorted(words)


def _filled(body: bytes, words: list[bytes], dice: random.Random, most: int) -> Iterator[Attack]:
    """The example with a word of the builders, or a byte that is no text, repeated at some place of it."""
    for _ in range(most):
        place = dice.randrange(len(body) + 1)
        pump = dice.choice((dice.choice(words), dice.choice(words) + dice.choice(words), bytes((dice.randrange(256),))))
        pump = pump.replace(b"\n", b" ")
        yield Attack(body[:place], pump, body[place:])


class _Core:
    """Two pipelines that read line after line, as a daemon does."""

    def __init__(self) -> None:
        self._pipelines = [Pipeline(Settings(zone=UTC, dovecot=True), every_event=form) for form in (True, False)]

    def read(self, line: bytes) -> None:
        """One line, both as an event and as a count."""
        for pipeline in self._pipelines:
            pipeline.feed(line.replace(b"\n", b" ") + b"\n", "log", REFERENCE)
            pipeline.drain()
