"""Steps fit what `re` fits, and take the same groups."""

import random
import re
from functools import cache

import pytest

from pfwatch.parsing.block import body_pattern, header_patterns, plain_forms
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.steps import Program, UnsupportedPatternError
from pfwatch.records.header import FORMS
from tests.samples.logs import VERSIONS, logs

if BUILT:
    from pfwatch.parsing.compiled import Steps

pytestmark = pytest.mark.skipif(not BUILT, reason="the compiled reader is not built: there was no C compiler")

PATTERNS = {
    f"{daemon} {form.rule.name} {number}": body_pattern(form)
    for daemon in GRAMMAR
    for number, form in enumerate(plain_forms(daemon))
} | {f"header {form} {part}": pattern for form in FORMS for part, pattern in enumerate(header_patterns(form))}
WITHOUT_STEPS = {"header rfc5424 2"}


@cache
def lines() -> list[bytes]:
    """Different lines of real logs, with and without their header, whole and spoiled."""
    dice = random.Random(3)
    found: set[bytes] = set()
    for version in VERSIONS:
        for log in logs(version).values():
            for line in dice.sample(log.splitlines(), min(60, log.count(b"\n"))):
                header, _, body = line.partition(b"]: ")
                found |= {line, line[16:], header[header.find(b" postfix") - 3 :], body, body.partition(b": ")[2]}
    spoiled = set()
    for line in found:
        text = bytearray(line)
        for _ in range(dice.randrange(1, 4)):
            place = dice.randrange(len(text) + 1)
            text[place : place + dice.randrange(3)] = dice.choice((b"", b" ", b"x", b"9", b"]", b"<", b"\xff", b": "))
        spoiled.add(bytes(text))
    return sorted(found | spoiled)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_steps_of_a_pattern_fit_what_it_fits(name: str) -> None:
    pattern = PATTERNS[name].encode("latin-1")
    if name in WITHOUT_STEPS:
        with pytest.raises(UnsupportedPatternError):
            Program(pattern)
        return
    steps, expression, fitting = Steps(Program(pattern)), re.compile(pattern), 0
    for line in lines():
        found = expression.match(line)
        expected = found and (found.end(), [found.span(number) for number in range(1, expression.groups + 1)])
        assert steps.match(line) == expected, line
        fitting += found is not None
    assert (
        fitting
        or name.startswith(("header", "discard", "error", "nqmgr", "oqmgr", "lmtp", "cleanup delivery"))
        or (name in {"qmgr delivery 2", "tlsproxy tls-established-outbound 0"})
    ), "none of the lines is one of this pattern"


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (rb"(a|ab)(c|bcd)(d*)\Z", (b"abcd", b"abc", b"acd", b"ab", b"")),
        (rb"(?:(x)|(y))?z", (b"xz", b"yz", b"z", b"xyz")),
        (rb"a{2,3}(a?)b", (b"aab", b"aaab", b"aaaab", b"ab")),
        (rb"[^ ]*+ [^ ]*: (.*)", (b"one two: three: four", b"one two", b" : ")),
        (rb"(?!notes=)[a-z=]*+(?=;)", (b"note=;", b"notes=;", b";", b"note=")),
        (rb"(?:5\.[0-9]\.[0-9] )?(.*+)\Z", (b"5.1.1 no", b"5.1 no", b"\xff")),
        (rb"[a-f0-9]*[0-9a-f](?:: (x))?\Z", (b"12: x", b"12", b"1: y", b"")),
    ],
)
def test_alternatives_are_tried_in_the_order_of_re(pattern: bytes, texts: tuple[bytes, ...]) -> None:
    steps, expression = Steps(Program(pattern)), re.compile(pattern)
    for text in texts:
        found = expression.match(text)
        expected = found and (found.end(), [found.span(number) for number in range(1, expression.groups + 1)])
        assert steps.match(text) == expected, text


@pytest.mark.parametrize("pattern", [rb"(a)\1", rb"(?:ab)*c", rb"a*?b", rb"(?<=a)b", rb"^a", rb"(?i:a)", rb"(?>ab)c"])
def test_what_has_no_steps_is_said_to_have_none(pattern: bytes) -> None:
    with pytest.raises(UnsupportedPatternError):
        Program(pattern)


def test_too_many_open_alternatives_are_no_match_and_no_crash() -> None:
    steps = Steps(Program(rb"(?:ab|a)(?:b|bb)" * 60 + rb"c"))
    with pytest.raises(RecursionError):
        steps.match(b"abb" * 60)
