"""The patterns of headers and plain forms, written as C: what the build compiles into the compiled reader.

Enters: patterns, as `Program`s of steps. Leaves: the text of `patterns.h`, with a function for each pattern, which fits
the same texts and takes the same groups. Only the build imports this; it must never know what a pattern is for.

Steps lead forward only. So an alternative is open once at most, and the way back to it is kept in variables of its own;
the latest one that is open is a number, and going back to it a `switch`. A group behind an alternative was not noted
yet when that was opened.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from typing import Final

from pfwatch.parsing.block import body_pattern, header_patterns, plain_forms
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.readings import key_of, noted_of
from pfwatch.parsing.steps import ENDLESS, Kind, Program, Step, UnsupportedPatternError
from pfwatch.records.header import FORMS

Groups = Collection[str | None] | None
_FEW: Final = 1
"""A byte is compared with so many ranges; where there are more, it is looked up in a table."""

_BEGIN: Final = """\
/* Written by the build, out of the rule tables: see pfwatch/parsing/in_c.py. */
#include <stddef.h>
#include <string.h>

typedef unsigned char byte;

/* Whether a text that begins at `at` fits: 1 or 0. At `end` stands a line feed, which is no part of the text. Tells
   where it stops, and for each group where it begins and ends, NULL where it is not there. */
typedef int (*Fit)(const byte *at, const byte *end, const byte **marks, const byte **stop);

struct Written {
    const char *pattern;
    size_t size;
    Fit fit;
    int groups;
    const char *names; /* each with its number */
    const byte *first; /* of 256: 1 for a byte with which a text can begin that fits */
};
"""


def patterns() -> dict[str, Groups]:
    """Pattern -> which of its named groups somebody wants, None for all: those of headers, and of plain forms."""
    every: dict[str, Groups] = {pattern: None for form in FORMS for pattern in header_patterns(form)}
    for form in (form for daemon in GRAMMAR for form in plain_forms(daemon)):
        pattern, wanted = body_pattern(form), {"client", noted_of(form), *key_of(form), *form.rule.spread}
        every[pattern] = wanted.union(every.get(pattern) or ())
    return every


def header_file(every: Mapping[str, Groups]) -> str:
    """The text of `patterns.h`. What has no steps is not in it."""
    tables, functions, rows = _Tables(), [], []
    for number, (pattern, groups) in enumerate(every.items()):
        text = pattern.encode("latin-1")
        try:
            program = Program(text, groups)
        except UnsupportedPatternError:
            continue
        functions.append(_Function(program, tables, f"fit_{number}").text())
        names = " ".join(f"{name} {group}" for name, group in program.groups.items()).encode()
        first = tables.name(_table(program.first()))
        row = _quoted(text), str(len(text)), f"fit_{number}", str(program.most_groups), _quoted(names), first
        rows.append(f"{{{', '.join(row)}}},")
    end = ["static const struct Written written[] = {", *rows, "};", f"enum {{ WRITTEN = {len(rows)} }};", ""]
    return "\n".join([_BEGIN, *tables.text(), *functions, *end])


class _Tables:
    """Sets of bytes."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def name(self, table: bytes) -> str:
        """The C name of a table of 256 bytes."""
        return self._names.setdefault(table, f"set_{len(self._names)}")

    def here(self, values: Collection[int]) -> str:
        """An expression that is true where one of these bytes stands here."""
        table = _table(values)
        within, without = _ranges(table, 1), _ranges(table, 0)
        if min(len(within), len(without)) > _FEW:
            return f"{self.name(table)}[*at]"
        if len(within) < len(without):
            return " || ".join(_is_in(*each) for each in within) or "0"
        return " && ".join(f"!({_is_in(*each)})" for each in without) or "1"

    def text(self) -> Iterator[str]:
        """Every table that has a name."""
        for table, name in self._names.items():
            yield f"static const byte {name}[256] = {{{','.join(map(str, table))}}};"


class _Function:
    """The function of a program, or of a part of it that is looked at ahead: of that nobody wants the groups."""

    def __init__(self, program: Program, tables: _Tables, name: str, begin: int = 0) -> None:
        self._program, self._tables, self._name, self._begin = program, tables, name, begin
        self._ahead: list[str] = []
        """The functions that it calls."""
        self._text: list[str] = []
        self._back: dict[int, str] = {}
        """Place of an alternative -> how to take it."""

    def text(self) -> str:
        """The function, behind those that it calls."""
        steps = dict(self._program.steps(self._begin))
        targets = {step.to for step in steps.values() if step.kind in {Kind.SPLIT, Kind.JUMP}}
        written = -1
        for place, step in steps.items():
            if place in targets:
                self._text.append(f"at{place}:")
            if place != written:
                written = self._step(place, step)
        marks = [] if self._begin else [(place, step.mark) for place, step in steps.items() if step.kind is Kind.MARK]
        return "\n".join([*self._ahead, *self._head(), *self._text, *self._tail(marks), ""])

    def _head(self) -> Iterator[str]:
        marks = "" if self._begin else ", const byte **marks, const byte **stop"
        yield f"static int {self._name}(const byte *at, const byte *end{marks})"
        yield "{"
        if self._back:
            yield "int back = 0;"
        for place in self._back:
            yield f"const byte *from{place} = NULL, *least{place} = NULL; int before{place} = 0;"
        if not self._begin:
            yield f"memset(marks, 0, {2 * self._program.most_groups + 2} * sizeof *marks);"

    def _tail(self, marks: list[tuple[int, int]]) -> Iterator[str]:
        yield "fail:"
        if self._back:
            yield "switch (back) {"
            for number, (place, way) in enumerate(self._back.items(), 1):
                yield f"case {number}:"
                yield from (f"marks[{mark}] = NULL;" for behind, mark in marks if behind > place)
                yield way
            yield "}"
        yield "return 0;"
        yield "}"

    def _step(self, place: int, step: Step) -> int:
        """Write a step. Gives the place of the following one where that is written as well, else -1."""
        match step.kind:
            case Kind.SPLIT:
                return self._split(place, step.to)
            case Kind.POSSESSIVE | Kind.GREEDY:
                self._repeat(place, step)
            case Kind.AHEAD | Kind.NOT_AHEAD:
                name, fails = f"{self._name}_{place}", "!" if step.kind is Kind.AHEAD else ""
                self._ahead.append(_Function(self._program, self._tables, name, place + 1).text())
                self._text.append(f"if ({fails}{name}(at, end)) goto fail;")
            case _:
                self._text += self._simple(step)
        return -1

    def _simple(self, step: Step) -> Iterator[str]:
        match step.kind:
            case Kind.LITERAL:
                yield f"if (!({_is(step.text)})) goto fail;"
                yield f"at += {len(step.text)};"
            case Kind.ONE:
                yield f"if (!({self._tables.here(step.fits)})) goto fail;"
                yield "at++;"
            case Kind.JUMP:
                yield f"goto at{step.to};"
            case Kind.MARK if not self._begin:
                yield f"marks[{step.mark}] = at;"
            case Kind.REST:
                yield "at = end;"
            case Kind.END:
                yield "if (at != end) goto fail;"
            case Kind.MATCH:
                yield "return 1;" if self._begin else "*stop = at; return 1;"

    def _repeat(self, place: int, step: Step) -> None:
        write, here = self._text.append, self._tables.here(step.fits)
        write("{")
        write("const byte *begin = at;")
        if step.most == ENDLESS:
            write(f"while ({here}) at++;")
        else:
            write(f"const byte *limit = end - at < {step.most} ? end : at + {step.most};")
            write(f"while (at < limit && ({here})) at++;")
        if step.least:
            write(f"if (at - begin < {step.least}) goto fail;")
        if step.kind is Kind.GREEDY:
            way = f"at = --from{place}; if (at == least{place}) back = before{place}; goto behind{place};"
            opened = self._open(place, way)
            write(f"if (at - begin > {step.least}) {{ {opened} least{place} = begin + {step.least}; }}")
        write("}")
        if step.kind is Kind.GREEDY:
            write(f"behind{place}:;")

    def _split(self, place: int, other: int) -> int:
        """Go one way or the other; where both can fit, the other one stays open."""
        write, way = self._text.append, f"at = from{place}; back = before{place}; goto at{other};"
        following, first, second = (
            self._program.code[place + 1],
            self._program.first(place + 1),
            self._program.first(other),
        )
        if following.kind is Kind.LITERAL:  # looked at whole: most alternatives differ in a few bytes
            write(f"if (!({_is(following.text)})) goto at{other};")
            if first <= second:
                write(self._open(place, way))
            write(f"at += {len(following.text)};")
            return place + 1
        write(f"if (!({self._tables.here(first)})) goto at{other};")
        if first & second:
            write(f"if ({self._tables.here(second)}) {{ {self._open(place, way)} }}")
        return -1

    def _open(self, place: int, way: str) -> str:
        self._back[place] = way
        return f"from{place} = at; before{place} = back; back = {len(self._back)};"


def _table(values: Collection[int]) -> bytes:
    return bytes(value in values for value in range(256))


def _ranges(table: bytes, what: int) -> list[tuple[int, int]]:
    """The ranges of places with this value."""
    places = [list(group) for value, group in groupby(range(256), table.__getitem__) if value == what]
    return [(each[0], each[-1]) for each in places]


def _is_in(least: int, most: int) -> str:
    return f"*at == {least}" if least == most else f"(byte)(*at - {least}) <= {most - least}"


def _is(text: bytes) -> str:
    """An expression that is true where this text stands here."""
    if len(text) == 1:
        return f"*at == {text[0]}"
    return f"end - at >= {len(text)} && memcmp(at, {_quoted(text)}, {len(text)}) == 0"


def _quoted(text: bytes) -> str:
    """A C string."""
    return (
        '"'
        + "".join(f"\\{value:03o}" if chr(value) in '"\\?' or not 32 <= value < 127 else chr(value) for value in text)
        + '"'
    )
