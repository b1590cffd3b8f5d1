"""A pattern as steps: what the compiled reader of plain lines goes through instead of `re`.

Enters: patterns of the rule tables, as `re` itself parses them. Leaves: `Steps`' program, its sets of bytes and its
literal texts. Only the parts around the compiled reader import this; it must never know what a pattern is for.

The steps are those of a backtracking matcher in the order of `re`, so both fit the same texts and take the same
groups. What plain patterns do not need has no steps: references, lazy and nested repetitions, look-behind.
"""

from array import array
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from re import _constants as kinds  # type: ignore[attr-defined] # `re` has no public parser, and two would disagree
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

MATCH: Final = 0
LITERAL: Final = 1
ONE: Final = 2
POSSESSIVE: Final = 3
GREEDY: Final = 4
SPLIT: Final = 5
JUMP: Final = 6
MARK: Final = 7
END: Final = 8
AHEAD: Final = 9
NOT_AHEAD: Final = 10
REST: Final = 11

ENDLESS: Final = -1
MOST_GROUPS: Final = 12
_MOST_UNROLLED = 20


class UnsupportedPatternError(Exception):
    """A pattern with something that has no steps."""


class Program:
    """Steps, and what they refer to."""

    def __init__(self, pattern: bytes, groups: Collection[str | None] | None = None) -> None:
        """Of named groups only `groups` are noted, where not all are wanted: each costs two steps. Raises
        UnsupportedPatternError.
        """
        self.code = array("i")
        """Steps, each with its operands:

        LITERAL offset, length; ONE set; POSSESSIVE and GREEDY set, least, most; SPLIT where to go on if the next steps
        fail, and room for a number of the matcher's; JUMP where; MARK begin or end of a group (2n, 2n + 1); AHEAD and
        NOT_AHEAD where to go on behind their own steps, which end with MATCH; REST (all that is left), END and MATCH
        nothing.
        """
        self.texts = b""
        """The literal texts, one behind the other."""
        self.sets: list[bytes] = []
        """256 bytes each, 1 for a byte that is in the set."""
        parsed = _parser.parse(pattern)
        self.groups: dict[str, int] = dict(parsed.state.groupdict)
        """Name -> number, from 1."""
        if parsed.state.groups > MOST_GROUPS:
            raise UnsupportedPatternError("it has too many groups")
        self.most_groups: int = parsed.state.groups - 1
        self._unnoted = {number for name, number in self.groups.items() if groups is not None and name not in groups}
        self._all(parsed)
        self._step(MATCH)

    def _step(self, *operands: int) -> int:
        """Append one; gives the place of its last operand."""
        self.code.extend(operands)
        return len(self.code) - 1

    def _all(self, items: Any) -> None:
        literal = bytearray()
        for kind, value in items:
            if kind is kinds.LITERAL:
                literal.append(value)
                continue
            self._literal(literal)
            self._one(kind, value)
        self._literal(literal)

    def _literal(self, text: bytearray) -> None:
        if text:
            self._step(LITERAL, len(self.texts), len(text))
            self.texts += bytes(text)
            text.clear()

    def _one(self, kind: Any, value: Any) -> None:
        match kind:
            case kinds.NOT_LITERAL | kinds.IN | kinds.ANY:
                self._step(ONE, self._set(kind, value))
            case kinds.POSSESSIVE_REPEAT | kinds.MAX_REPEAT:
                self._repeat(kind, *value)
            case kinds.SUBPATTERN:
                self._group(*value)
            case kinds.BRANCH:
                self._branch(value[1])
            case kinds.ASSERT | kinds.ASSERT_NOT:
                direction, inner = value
                if direction < 0:
                    raise UnsupportedPatternError("it looks behind")
                behind = self._step(AHEAD if kind is kinds.ASSERT else NOT_AHEAD, 0)
                self._all(inner)
                self._step(MATCH)
                self.code[behind] = len(self.code)
            case kinds.AT if value is kinds.AT_END_STRING:
                self._step(END)
            case _:
                raise UnsupportedPatternError(f"it has {kind}")

    def _repeat(self, kind: Any, least: int, most: int, inner: Any) -> None:
        endless = most is kinds.MAXREPEAT
        single = len(inner) == 1 and inner[0][0] in {kinds.LITERAL, kinds.NOT_LITERAL, kinds.IN, kinds.ANY}
        if single and least == most <= _MOST_UNROLLED:
            self._all(list(inner) * least)
        elif single and (least, endless, inner[0][0]) == (0, True, kinds.ANY):
            self._step(REST)
        elif single:
            step = POSSESSIVE if kind is kinds.POSSESSIVE_REPEAT else GREEDY
            self._step(step, self._set(*inner[0]), least, ENDLESS if endless else most)
        elif kind is kinds.MAX_REPEAT and (least, most) == (0, 1):
            self._branch([inner, []])
        else:
            raise UnsupportedPatternError("it repeats more than single bytes")

    def _group(self, number: int | None, add: int, remove: int, inner: Any) -> None:
        if add or remove:
            raise UnsupportedPatternError("it has flags of its own")
        if number is None or number in self._unnoted:
            self._all(inner)
            return
        self._step(MARK, 2 * number)
        self._all(inner)
        self._step(MARK, 2 * number + 1)

    def _branch(self, alternatives: list[Any]) -> None:
        ends = []
        for alternative in alternatives[:-1]:
            other = self._step(SPLIT, 0, 0) - 1
            self._all(alternative)
            ends.append(self._step(JUMP, 0))
            self.code[other] = len(self.code)
        self._all(alternatives[-1])
        for end in ends:
            self.code[end] = len(self.code)

    def _set(self, kind: Any, value: Any) -> int:
        """The number of a set of bytes."""
        table = bytes(map(_bytes(kind, value).__contains__, range(256)))
        if table not in self.sets:
            self.sets.append(table)
        return self.sets.index(table)


_EVERY = frozenset(range(256))


def _bytes(kind: Any, value: Any) -> AbstractSet[int]:
    """The bytes that fit."""
    match kind:
        case kinds.LITERAL:
            return {value}
        case kinds.NOT_LITERAL:
            return _EVERY - {value}
        case kinds.ANY:
            return _EVERY - {ord("\n")}
        case kinds.RANGE:
            begin, end = value
            return set(range(begin, end + 1))
        case kinds.IN:
            negated = value[0][0] is kinds.NEGATE
            fit = set[int]().union(*(_bytes(*item) for item in value[negated:]))
            return _EVERY - fit if negated else fit
        case _:
            raise UnsupportedPatternError(f"it has {kind} in a set")
