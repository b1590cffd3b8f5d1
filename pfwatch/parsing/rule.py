"""A row of the grammar: one wording of Postfix, with its own example.

Enters: nothing. Leaves: the `Rule`, which the scanner, `explain`, the tests and the documentation all read.
This file must never know which rules there are.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pfwatch.events import Envelope, Event

Build = Callable[[Envelope, re.Match[bytes]], Event]


@dataclass(frozen=True, eq=False)
class Plain:
    """The everyday form of a rule's bodies, in which nobody can have typed anything that looks like the line itself.

    It becomes a part of the pattern that cuts whole blocks (`parsing.block`): such lines cost no second look. Whatever
    it does not fit is read by the rule's own pattern, so it may be as strict as it likes, but it must never fit a body
    that another rule would read, nor take a field otherwise than `build` does.
    """

    pattern: str
    """Of the whole body; without alternatives at its top. A negated class never crosses the end of a line."""
    counts: bool = True
    """Whether such lines are only counted, by the rule's `tally`; else they are events."""
    build: Callable[..., Event] | None = None
    """Makes the event of an envelope and the `fields`; without it the rule's own pattern and `build` do."""
    fields: tuple[str, ...] = ()


_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()|]", re.DOTALL)
_PLAIN_TEXT = re.compile(r"(?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*")


def literal_prefix(pattern: str) -> str:
    """The text that whatever a pattern fits begins with."""
    if _has_choice(pattern):
        return ""
    text = _PLAIN_TEXT.match(pattern)[0]  # type: ignore[index] # it fits the empty text
    if pattern[len(text) : len(text) + 1] in {"?", "*", "+", "{"}:
        text = re.sub(r"\\?.\Z", "", text)
    return re.sub(r"\\(.)", r"\1", text)


def _has_choice(pattern: str) -> bool:
    """Whether the pattern is several, one or the other."""
    depth = 0
    for piece in _PIECE.findall(pattern):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "|" and not depth:
            return True
    return False


@dataclass(frozen=True, eq=False)
class Rule:
    """One wording. Rules of the same daemon and first word are tried in the order of their table."""

    name: str
    since: str
    """The first Postfix release with it; `2.10` stands for "longer than anyone cares"."""
    example: str
    """A whole line that this rule reads and no other."""
    pattern: str
    """Of the whole body, severity included; anchored at both ends."""
    build: Build
    words: tuple[str, ...]
    """The body's first words (behind a queue id), up to a blank, a colon or an equals sign: the scanner's index."""
    plain: tuple[Plain, ...] = ()
    tally: tuple[str, ...] | None = None
    """Groups that are enough for a count: such lines are only counted, unless events are asked for."""
    kind: type[Event] | None = None
    """What `build` makes of a line that is only counted."""
    asks: str | None = None
    """What `sessions/` is asked before a line is only counted: `unspoken`. If it says so, the line is an event."""
    notes: str | None = None
    """What `sessions/` remembers of the line, even when it is only counted: `connect`, `disconnect`, `client`,
    `removed`."""
    noted: tuple[str, ...] = ()
    """The groups that it is asked with and remembers."""
    fallback: bool = False
    """Reads what no rule before it does: the only one that may fit the example of another."""
    until: str | None = None
    source: str = ""
    """The place in the Postfix source that writes it."""
    prefix: bytes = field(init=False, repr=False)
    """The text that every body begins with, as far as the pattern says it plainly."""
    compiled: re.Pattern[bytes] = field(init=False, repr=False)
    counted: tuple[re.Pattern[bytes], ...] = field(init=False, repr=False)
    """The patterns of lines that are only counted."""

    def __post_init__(self) -> None:
        """Compile the patterns."""
        object.__setattr__(self, "prefix", literal_prefix(self.pattern).encode())
        compiled = re.compile(self.pattern.encode() + rb"\Z", re.DOTALL)
        object.__setattr__(self, "compiled", compiled)
        counted: tuple[re.Pattern[bytes], ...] = ()
        if self.tally is not None:
            strict = (plain.pattern for plain in self.plain if plain.counts)
            counted = tuple(re.compile(text.encode() + rb"\Z", re.DOTALL) for text in strict) or (compiled,)
        object.__setattr__(self, "counted", counted)
