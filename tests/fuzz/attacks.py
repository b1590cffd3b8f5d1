"""Attack strings for a regular expression, made from the expression itself.

Enters: the text of a pattern. Leaves: `Attack`s: a beginning that the pattern accepts up to one of its repetitions, a
piece to be repeated there, and an end at which the match shall fail. What makes `re` slow is a text that can be divided
among the repetitions of a pattern in many ways; so the pieces are the repetition's own characters, the literals of the
pattern, and whatever may follow the repetition.
"""

import importlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

# The standard library's own parser of patterns: no public module gives the tree.
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")

_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_COMMON = b'a0A. -:=,;<>"\\[](){}/\x00\xff'
_MOST_BRANCHES = 4
_LONGEST_PIECE = 200

Items = list[tuple[Any, Any]]


class Attack(NamedTuple):
    """One way to hold a pattern up."""

    begin: bytes
    pump: bytes
    end: bytes

    def text(self, size: int) -> bytes:
        """The attack in about so many bytes."""
        room = size - len(self.begin) - len(self.end)
        return self.begin + self.pump * max(1, room // len(self.pump)) + self.end


class _Place(NamedTuple):
    """A repetition in a pattern."""

    begin: bytes
    """A text that leads there."""
    body: Items
    behind: Items


@lru_cache(maxsize=1)
def _every_byte() -> tuple[bytes, ...]:
    return tuple(bytes((number,)) for number in range(256))


def attacks_on(pattern: str | bytes, *, searched: bool = False, most: int = 600) -> list[Attack]:
    """At most so many attacks; with `searched`, also those that begin anywhere."""
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    tree = list(_parser.parse(text.encode("latin-1"), re.DOTALL))
    literals = tuple(dict.fromkeys(_literals(tree)))
    alphabet = bytes(dict.fromkeys(chain(_COMMON, *(literals))))
    found: dict[Attack, None] = {}
    for place in _places(tree, b"", []):
        for attack in _attacks_at(place, literals, alphabet):
            found.setdefault(attack)
            if searched:
                found.setdefault(Attack(b"", attack.begin + attack.pump, attack.end))
    if searched:
        for whole in _samples(tree, alphabet):
            for length in {1, len(whole) // 2, len(whole) - 1, len(whole)} - {0}:
                found.setdefault(Attack(b"", whole[:length], b""))
    step = max(1, len(found) // most)
    return [attack for attack in list(found)[::step] if attack.pump]


def literals_of(pattern: str | bytes) -> list[bytes]:
    """The runs of plain characters in a pattern."""
    text = pattern.encode("latin-1") if isinstance(pattern, str) else pattern
    return list(dict.fromkeys(_literals(list(_parser.parse(text, re.DOTALL)))))


def _attacks_at(place: _Place, literals: Sequence[bytes], alphabet: bytes) -> Iterator[Attack]:
    bodies = list(dict.fromkeys(_samples(place.body, alphabet)))
    behind = list(dict.fromkeys(text for text in _samples(place.behind, alphabet) if text))
    pumps = dict.fromkeys(bodies)
    one = _class_of(place.body)
    if one is not None:  # what may follow, and the pattern's own words, as far as the repetition takes them
        pumps |= dict.fromkeys(text for text in (*behind, *literals) if all(byte in one for byte in text))
        pumps |= dict.fromkeys(text[:-1] for text in behind if all(byte in one for byte in text[:-1]))
    pumps |= dict.fromkeys(body + text for body in bodies[:3] for text in behind[:3])
    ends = dict.fromkeys((b"", b"\x00", b"!", *(text[:-1] for text in behind[:3]), *(t + b"\x00" for t in behind[:2])))
    for pump in pumps:
        if 0 < len(pump) <= _LONGEST_PIECE:
            for end in ends:
                yield Attack(place.begin, pump, end)


def _places(items: Items, begin: bytes, behind: Items) -> Iterator[_Place]:
    """Every repetition that can be long."""
    for number, (kind, value) in enumerate(items):
        name, rest = str(kind), items[number + 1 :] + behind
        if name in _REPEATS:
            _, most, body = value
            if most == _constants.MAXREPEAT or most > 40:
                yield _Place(begin, list(body), rest)
            yield from _places(list(body), begin, ([(kind, value)] if most > 1 else []) + rest)
        elif name == "BRANCH":
            for branch in value[1]:
                yield from _places(list(branch), begin, rest)
        elif name == "SUBPATTERN":
            yield from _places(list(value[-1]), begin, rest)
        elif name in {"ASSERT", "ASSERT_NOT"}:
            yield from _places(list(value[1]), begin, rest)
        elif name == "ATOMIC_GROUP":
            yield from _places(list(value), begin, rest)
        begin += next(_samples([(kind, value)], b"a0A "), b"")


def _samples(items: Items, alphabet: bytes) -> Iterator[bytes]:
    """Some texts that these items accept: the shortest first, every branch once, every kind of character once."""
    variants: list[list[bytes]] = [_of_item(kind, value, alphabet) for kind, value in items]
    if not all(variants):
        return
    first = [texts[0] for texts in variants]
    yield b"".join(first)
    for number, texts in enumerate(variants):
        for text in texts[1:]:
            yield b"".join((*first[:number], text, *first[number + 1 :]))


def _of_item(kind: Any, value: Any, alphabet: bytes) -> list[bytes]:
    name = str(kind)
    taken = _class_of([(kind, value)])
    if taken is not None:
        return [bytes((byte,)) for byte in alphabet if byte in taken] or [bytes((byte,)) for byte in sorted(taken)[:1]]
    if name in _REPEATS:
        least, most, body = value
        bodies = list(dict.fromkeys(_samples(list(body), alphabet))) or [b""]
        some = [text * max(least, 1) for text in bodies[: _MOST_BRANCHES * 2]] if most else []
        return [b"" if least == 0 else bodies[0] * least, *some]
    if name == "BRANCH":
        return [text for branch in value[1] for text in list(_samples(list(branch), alphabet))[:_MOST_BRANCHES]]
    if name == "SUBPATTERN":
        return list(dict.fromkeys(_samples(list(value[-1]), alphabet)))
    if name == "ATOMIC_GROUP":
        return list(dict.fromkeys(_samples(list(value), alphabet)))
    return [b""]  # an anchor, or what is only looked at


def _class_of(items: Items) -> frozenset[int] | None:
    """The bytes that a single character class accepts; None for anything else."""
    if len(items) != 1:
        return None
    kind, value = items[0]
    name = str(kind)
    if name == "SUBPATTERN":
        return _class_of(list(value[-1]))
    if name == "LITERAL":
        return frozenset((value,))
    if name == "ANY":
        return frozenset(range(256))
    if name == "NOT_LITERAL":
        return frozenset(range(256)) - {value}
    if name != "IN":
        return None
    expression = re.compile(_class_text(value).encode("latin-1"), re.DOTALL)
    return frozenset(byte[0] for byte in _every_byte() if expression.fullmatch(byte))


_CATEGORIES = {"CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s", "CATEGORY_WORD": r"\w", "CATEGORY_NOT_SPACE": r"\S"}


def _class_text(members: Items) -> str:
    pieces = []
    for kind, value in members:
        name = str(kind)
        if name == "NEGATE":
            pieces.append("^")
        elif name == "LITERAL":
            pieces.append(f"\\x{value:02x}")
        elif name == "RANGE":
            pieces.append(f"\\x{value[0]:02x}-\\x{value[1]:02x}")
        else:
            pieces.append(_CATEGORIES[str(value)])
    return f"[{''.join(pieces)}]"


def _literals(items: Items) -> Iterator[bytes]:
    """Runs of plain characters, also those inside of groups and repetitions."""
    run = b""
    for kind, value in items:
        name = str(kind)
        if name == "LITERAL":
            run += bytes((value,))
            continue
        if run:
            yield run
            run = b""
        if name in _REPEATS:
            yield from _literals(list(value[2]))
        elif name == "BRANCH":
            yield from chain.from_iterable(_literals(list(branch)) for branch in value[1])
        elif name == "SUBPATTERN":
            yield from _literals(list(value[-1]))
        elif name in {"ASSERT", "ASSERT_NOT"}:
            yield from _literals(list(value[1]))
    if run:
        yield run
