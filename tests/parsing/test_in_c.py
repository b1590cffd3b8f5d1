"""A pattern written as C fits what `re` fits, and takes the same groups."""

import random
import re
import subprocess
import sysconfig
from ctypes import CDLL, c_long
from functools import cache
from typing import Any

import pytest

from pfwatch.parsing.block import body_pattern, header_patterns, plain_forms
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.in_c import header_file, patterns
from pfwatch.records.header import FORMS
from tests.samples.logs import VERSIONS, logs

if BUILT:
    from pfwatch.parsing.compiled import Pattern

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
def test_a_pattern_of_the_rules_fits_what_it_fits_as_c(name: str) -> None:
    pattern = PATTERNS[name].encode("latin-1")
    if name in WITHOUT_STEPS:
        with pytest.raises(LookupError):
            Pattern(pattern)
        return
    compiled, expression, fitting = Pattern(pattern), re.compile(pattern), 0
    wanted = patterns()[PATTERNS[name]]
    unwanted = {number for group, number in expression.groupindex.items() if wanted is not None and group not in wanted}
    for line in lines():
        found = expression.match(line)
        assert compiled.match(line) == spans(found, unwanted), line
        fitting += found is not None
    assert (
        fitting
        or name.startswith(("header", "discard", "error", "nqmgr", "oqmgr", "lmtp", "cleanup delivery"))
        or (name in {"qmgr delivery 2", "tlsproxy tls-established-outbound 0"})
    ), "none of the lines is one of this pattern"


ODD_ONES = {
    rb"(a|ab)(c|bcd)(d*)\Z": (b"abcd", b"abc", b"acd", b"ab", b""),
    rb"(?:(x)|(y))?z": (b"xz", b"yz", b"z", b"xyz"),
    rb"a{2,3}(a?)b": (b"aab", b"aaab", b"aaaab", b"ab"),
    rb"[^ ]*+ [^ ]*: (.*)": (b"one two: three: four", b"one two", b" : "),
    rb"(?!notes=)[a-z=]*+(?=;)": (b"note=;", b"notes=;", b";", b"note="),
    rb"(?:5\.[0-9]\.[0-9] )?(.*+)\Z": (b"5.1.1 no", b"5.1 no", b"\xff"),
    rb"[a-f0-9]*[0-9a-f](?:: (x))?\Z": (b"12: x", b"12", b"1: y", b""),
    rb"(?:(a)b?|(ab))(?:(b)|(c))\Z": (b"ab", b"abb", b"abc", b"ac", b"a"),
    rb"([^\x00-\x08\x80-\xff\"\\?]*)([a-z]?)(\x00|\xff|\"\\\?\?=)": (b"ab\xff", b"\x00", b'x"\\??=', b"ab", b"\x80"),
    rb"(?:ab|a)(?:b|bb)" * 30 + rb"c": (b"abb" * 30 + b"c", b"ab" * 30 + b"c", b"abb" * 8),
    rb"(?:(a)b|a)c": (b"ac", b"abc"),
    rb"([a-z]*)yz(q?)": (b"xyzabyzcde", b"yz", b"yzq"),
    rb"(?=(?:ab|a)b)(.)(?!c|bd)": (b"ab", b"abb", b"abd", b"ac", b""),
}
_SHIM = """
#include "patterns.h"
int fit(int number, const byte *begin, long size, long *places)
{
    const byte *marks[26], *stop;
    if (!written[number].fit(begin, begin + size, marks, &stop)) return 0;
    places[0] = stop - begin;
    for (int mark = 2; mark < 2 * written[number].groups + 2; mark++)
        places[mark - 1] = marks[mark | 1] ? marks[mark] - begin : -1;
    return 1;
}
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Odd patterns, compiled."""
    where = tmp_path_factory.mktemp("shim")
    (where / "patterns.h").write_text(header_file({one.decode("latin-1"): None for one in ODD_ONES}), encoding="ascii")
    (where / "shim.c").write_text(_SHIM, encoding="ascii")
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    strict = ["-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused", "-Wno-unused-parameter", "-Wno-type-limits"]
    subprocess.run([*compiler, *strict, "-shared", "-fPIC", "shim.c", "-o", "shim.so"], cwd=where, check=True)
    return CDLL(str(where / "shim.so"))


@pytest.mark.parametrize("pattern", ODD_ONES)
def test_alternatives_are_tried_in_the_order_of_re(pattern: bytes, shim: Any) -> None:
    expression, number = re.compile(pattern), list(ODD_ONES).index(pattern)
    for text in ODD_ONES[pattern]:
        places = (c_long * 26)()
        fits = shim.fit(number, text + b"\n", c_long(len(text)), places)
        ends = places[: 2 * expression.groups + 1]
        assert ((ends[0], list(zip(ends[1::2], ends[2::2], strict=True))) if fits else None) == spans(
            expression.match(text), set()
        ), text


def test_a_pattern_that_was_not_built_is_told_from_those_that_were() -> None:
    with pytest.raises(LookupError):
        Pattern(b"connect from nobody")


def spans(found: re.Match[bytes] | None, unwanted: set[int]) -> tuple[int, list[tuple[int, int]]] | None:
    """As `Pattern.match` tells them."""
    if found is None:
        return None
    groups = range(1, found.re.groups + 1)
    return found.end(), [(-1, -1) if number in unwanted else found.span(number) for number in groups]
