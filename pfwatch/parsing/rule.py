"""A row of the grammar: one wording of Postfix, with its own example.

Enters: nothing. Leaves: the `Rule`, which the scanner, `explain`, the tests and the documentation all read.
This file must never know which rules there are.
"""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, Literal, TypeVar, get_args, get_type_hints

import msgspec

from pfwatch.events import Envelope, Event

Made = TypeVar("Made", bound=Event)
Build = Callable[[Envelope, re.Match[bytes]], Made]
"""What makes events of these kinds."""
Judge = Callable[..., bool | None]
NO_QUEUE: Final = "NOQUEUE: "
Note = Literal["connect", "disconnect", "client", "removed"]


class Plain(msgspec.Struct, frozen=True, eq=False):
    """The everyday form of a rule's bodies, in which nobody can have typed anything that looks like the line itself.

    Such lines are cut by the pattern of whole blocks into what stands before the client, the client, and what stands
    behind him (`parsing.block`). What this form does not fit is read by the rule's own pattern, so it may be as strict
    as it likes, but it must never fit a body that another rule would read, nor take a field otherwise than `build`
    does.
    """

    pattern: str
    """Of the whole body; without alternatives at its top."""
    varied: bool = False
    """Whether such lines differ behind the client. Others are alike by the thousand, and each text is read once."""
    hit: type[Event] | None = None
    """The kind of event where detection wants each single line: a *hit*. Other lines are only counted, by the rule's
    `tally`."""
    key: tuple[str, ...] | None = None
    """Groups that lines are counted by, instead of the rule's `tally`."""
    judge: Judge | None = None
    """Whether a line with this key is a hit, or only counted; None: it is to be read as an event."""
    rare: bool = False
    """Once in a hundred lines: not worth a head in the block's pattern, so only the compiled reader takes it there."""
    typed: tuple[str, ...] = ()
    """Groups that hold what somebody outside typed: fields of the event, or texts that the line merely repeats. As
    another text of them changes nothing else of the event, one event tells what all such lines have in common. Behind
    each but one at the end stands a byte that it cannot have.
    """
    bare: bool = False
    """Only where hits are bare: who and when is all that such a hit tells, and all that is wanted of it there. Also of
    lines of which detection wants none, and that are nothing but one more event of their kind."""
    listed: bool = False
    """Of those that are bare: also where events are only listed. Their event can be built of the hit and what else is
    told of it."""
    again: tuple[tuple[str, str], ...] = ()
    """Fields of the event that tell of the client again, one behind the other, each with what of him."""
    waits: bool = False
    """Whether such a hit is not complete yet: `sessions/` waits for what the library says, too."""
    explains: bool = False
    """Whether the library says it, of a failure that may wait for it; if none does, it is an event."""
    failed_login: bool = False
    """Whether an AUTH command of the client failed; `sessions/` counts these against the sums of a disconnect."""

    @property
    def queue_id(self) -> bytes | None:
        """What stands before each such body where others have a queue id: `NOQUEUE`, if it does."""
        return NO_QUEUE.removesuffix(": ").encode() if self.pattern.startswith(NO_QUEUE) else None


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


class Rule(msgspec.Struct, frozen=True, eq=False, dict=True):
    """One wording. Rules of the same daemon and first word are tried in the order of their table."""

    name: str
    since: str
    """The first Postfix release with it; `2.10` stands for "longer than anyone cares"."""
    example: str
    """A whole line that this rule reads and no other."""
    pattern: str
    """Of the whole body, severity included; anchored at both ends."""
    build: Build[Event]
    words: tuple[str, ...]
    """The body's first words (behind a queue id), up to a blank, a colon or an equals sign: the scanner's index."""
    plain: tuple[Plain, ...] = ()
    tally: tuple[str, ...] | None = None
    """Groups that are enough for a count: such lines are only counted, unless events are asked for."""
    spread: tuple[str, ...] = ()
    """Groups whose texts are counted each by itself, beside the `tally`: together they differ in nearly every line, but
    each has few texts. They are groups of the plain forms, and none of them is optional."""
    kind: type[Event] | None = None
    """What `build` makes of a line that is only counted."""
    asks: str | None = None
    """What `sessions/` is asked before a line is only counted: `unspoken`. If it says so, the line is an event."""
    notes: Note | None = None
    """What `sessions/` remembers of the line, even when it is only counted."""
    noted: tuple[str, ...] = ()
    """The groups that it is asked with and remembers."""
    measure: Callable[[bytes | None], Any] | None = None
    """What is remembered of the last of them, where that is not the text itself."""
    fallback: bool = False
    """Reads what no rule before it does: the only one that may fit the example of another."""
    until: str | None = None
    source: str = ""
    """The place in the Postfix source that writes it."""

    @cached_property
    def makes(self) -> frozenset[type[Event]]:
        """The kinds that `build` can make, as its annotation says, which mypy holds it to."""
        made = getattr(self.build, "__annotations__", {}).get("return")
        if made is None or isinstance(made, str):
            made = get_type_hints(self.build)["return"]
        return frozenset(get_args(made) or (made,))

    @cached_property
    def prefix(self) -> bytes:
        """The text that every body begins with, as far as the pattern says it plainly."""
        return literal_prefix(self.pattern).encode()

    @cached_property
    def compiled(self) -> re.Pattern[bytes]:
        """The pattern of a whole body. Compiled when a line asks for it: most rules never read one."""
        return re.compile(self.pattern.encode() + rb"\Z", re.DOTALL)

    @cached_property
    def counted(self) -> tuple[tuple[re.Pattern[bytes], Judge | None], ...]:
        """The patterns of lines that are only counted, where the judge has nothing against it."""
        if self.tally is None:
            return ()
        strict = ((one.pattern.encode() + rb"\Z", one.judge) for one in self.plain)
        return tuple((re.compile(text, re.DOTALL), judge) for text, judge in strict) or ((self.compiled, None),)
