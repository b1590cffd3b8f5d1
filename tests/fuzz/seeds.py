"""Where the guided fuzzer begins, and the words that it may use.

Enters: nothing. Leaves: a corpus, and a dictionary for libFuzzer. Only the guided fuzzer imports this.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pfwatch.parsing.grammar import every_rule
from tests.fuzz.attacks import literals_of
from tests.fuzz.guided import LONGEST
from tests.samples.logs import VERSIONS, logs, richest_mix


def seeds() -> Iterator[bytes]:
    """Where the search begins."""
    for rule, _ in every_rule().values():
        yield b"\x00" + rule.example.encode() + b"\n"
    for version in VERSIONS:
        for log in logs(version).values():
            lines = log.splitlines(keepends=True)
            yield from (b"\x00" + b"".join(lines[place : place + 15]) for place in range(0, len(lines), 300))
    mix = richest_mix().splitlines(keepends=True)
    yield from (b"\x00" + b"".join(mix[place : place + 12]) for place in range(0, len(mix), 12))
    evil = b"> to=<x>: unknown[@@]: , sasl_username=; from=<a> to=<b> proto=ESMTP helo=<c> from y[@@]; rip=@@"
    for number in range(64):
        yield b"\xff" + bytes((number,)) + evil
        yield b"\xff" + bytes((number,)) + b"x\ty\t" + evil + b"\n" + bytes((number + 1,)) + evil[::-1]


def write_seeds(corpus: Path) -> None:
    """Put the seeds into a folder."""
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds():
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed[:LONGEST])


def dictionary() -> Iterator[str]:
    """The words of every rule."""
    words = {word for rule, _ in every_rule().values() for word in literals_of(rule.pattern) if 1 < len(word) < 64}
    words |= {b"[@@]", b"@@", b" last message repeated 3 times", b"message repeated 3 times: [ "}
    for word in sorted(words):
        yield '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'
