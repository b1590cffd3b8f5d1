"""A pattern as steps: what the compiled reader of plain lines does instead of `re`.

Enters: patterns of the rule tables, as `re` itself parses them. Leaves: `Program`s. Only `in_c` imports this, which
writes them as C; it must never know what a pattern is for.

The steps are those of a backtracking matcher in the order of `re`, so both fit the same texts and take the same
groups. What plain patterns do not need has no steps: references, lazy and nested repetitions, look-behind.
"""

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from enum import Enum, auto
from re import _constants as kinds  # type: ignore[attr-defined] # `re` has no public parser, and two would disagree
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final, NamedTuple

ENDLESS: Final = -1
MOST_GROUPS: Final = 12
_MOST_UNROLLED = 20


class UnsupportedPatternError(Exception):
    """A pattern with something that has no steps."""


class Kind(Enum):
    """What a step does; behind it stands what it needs of a `Step`."""

    MATCH = auto()  # the end
    LITERAL = auto()  # text
    ONE = auto()  # fits
    POSSESSIVE = auto()  # fits, least, most
    GREEDY = auto()  # the same, and gives back
    SPLIT = auto()  # to: where to go on if the following steps fail
    JUMP = auto()  # to
    MARK = auto()  # mark
    END = auto()  # of the text
    AHEAD = auto()  # to: where to go on behind its own steps, which end with MATCH
    NOT_AHEAD = auto()  # the same
    REST = auto()  # all that is left


class Step(NamedTuple):
    """A step. Whatever leads to another one leads forward."""

    kind: Kind
    text: bytes = b""
    fits: frozenset[int] = frozenset()
    """Bytes."""
    least: int = 0
    most: int = 0
    to: int = 0
    """The place of another step."""
    mark: int = 0
    """Begin or end of a group: 2n, 2n + 1."""


class Program:
    """Steps, in their order."""

    def __init__(self, pattern: bytes, groups: Collection[str | None] | None = None) -> None:
        """Of named groups only `groups` are noted, where not all are wanted. Raises UnsupportedPatternError."""
        self.code: list[Step] = []
        parsed = _parser.parse(pattern)
        self.groups: dict[str, int] = dict(parsed.state.groupdict)
        """Name -> number, from 1."""
        if parsed.state.groups > MOST_GROUPS:
            raise UnsupportedPatternError("it has too many groups")
        self.most_groups: int = parsed.state.groups - 1
        self._unnoted = {number for name, number in self.groups.items() if groups is not None and name not in groups}
        self._all(parsed)
        self._step(Kind.MATCH)

    def steps(self, begin: int = 0) -> Iterator[tuple[int, Step]]:
        """Each step from a place on, with its place, to the end; without those that are looked at ahead."""
        place = begin
        while True:
            step = self.code[place]
            yield place, step
            if step.kind is Kind.MATCH:
                return
            place = step.to if step.kind in {Kind.AHEAD, Kind.NOT_AHEAD} else place + 1

    def first(self, place: int = 0) -> frozenset[int]:
        """The bytes with which a text can begin that fits from a place on; a line feed where it can be empty."""
        step = self.code[place]
        match step.kind:
            case Kind.LITERAL:
                return frozenset(step.text[:1])
            case Kind.ONE:
                return step.fits
            case Kind.POSSESSIVE | Kind.GREEDY:
                return step.fits if step.least else step.fits | self.first(place + 1)
            case Kind.SPLIT:
                return self.first(place + 1) | self.first(step.to)
            case Kind.JUMP:
                return self.first(step.to)
            case Kind.MARK:
                return self.first(place + 1)
            case Kind.END:
                return frozenset({_LINE_FEED})
        return _EVERY

    def _step(self, kind: Kind, **operands: Any) -> int:
        """Append one; gives its place."""
        self.code.append(Step(kind, **operands))
        return len(self.code) - 1

    def _lead(self, place: int) -> None:
        """Let a step lead to the next one that is appended."""
        self.code[place] = self.code[place]._replace(to=len(self.code))

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
            self._step(Kind.LITERAL, text=bytes(text))
            text.clear()

    def _one(self, kind: Any, value: Any) -> None:
        match kind:
            case kinds.NOT_LITERAL | kinds.IN | kinds.ANY:
                self._step(Kind.ONE, fits=_fits(kind, value))
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
                ahead = self._step(Kind.AHEAD if kind is kinds.ASSERT else Kind.NOT_AHEAD)
                self._all(inner)
                self._step(Kind.MATCH)
                self._lead(ahead)
            case kinds.AT if value is kinds.AT_END_STRING:
                self._step(Kind.END)
            case _:
                raise UnsupportedPatternError(f"it has {kind}")

    def _repeat(self, kind: Any, least: int, most: int, inner: Any) -> None:
        endless = most is kinds.MAXREPEAT
        single = len(inner) == 1 and inner[0][0] in {kinds.LITERAL, kinds.NOT_LITERAL, kinds.IN, kinds.ANY}
        if single and least == most <= _MOST_UNROLLED:
            self._all(list(inner) * least)
        elif single and (least, endless, inner[0][0]) == (0, True, kinds.ANY):
            self._step(Kind.REST)
        elif single:
            repeat = Kind.POSSESSIVE if kind is kinds.POSSESSIVE_REPEAT else Kind.GREEDY
            self._step(repeat, fits=_fits(*inner[0]), least=least, most=ENDLESS if endless else most)
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
        self._step(Kind.MARK, mark=2 * number)
        self._all(inner)
        self._step(Kind.MARK, mark=2 * number + 1)

    def _branch(self, alternatives: list[Any]) -> None:
        ends = []
        for alternative in alternatives[:-1]:
            split = self._step(Kind.SPLIT)
            self._all(alternative)
            ends.append(self._step(Kind.JUMP))
            self._lead(split)
        self._all(alternatives[-1])
        for end in ends:
            self._lead(end)


_EVERY = frozenset(range(256))
_LINE_FEED = ord("\n")


def _fits(kind: Any, value: Any) -> frozenset[int]:
    """The bytes of a set. A line feed is in none, so the one behind a line ends every repetition."""
    return frozenset(_bytes(kind, value)) - {_LINE_FEED}


def _bytes(kind: Any, value: Any) -> AbstractSet[int]:
    """The bytes that fit."""
    match kind:
        case kinds.LITERAL:
            return {value}
        case kinds.NOT_LITERAL:
            return _EVERY - {value}
        case kinds.ANY:
            return _EVERY - {_LINE_FEED}
        case kinds.RANGE:
            begin, end = value
            return set(range(begin, end + 1))
        case kinds.IN:
            negated = value[0][0] is kinds.NEGATE
            fit = set[int]().union(*(_bytes(*item) for item in value[negated:]))
            return _EVERY - fit if negated else fit
        case _:
            raise UnsupportedPatternError(f"it has {kind} in a set")
