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
    tally: tuple[str, ...] | None = None
    """Groups that are enough for a count: such lines are only counted, unless events are asked for."""
    kind: type[Event] | None = None
    """What `build` makes of a line that is only counted."""
    tally_pattern: str | None = None
    """Of the bodies that are only counted, and holds the tally's groups, where that is stricter than `pattern`."""
    event_if: str | None = None
    """A pattern in the body that makes an event even of a line that would only be counted."""
    notes: str | None = None
    """What `sessions/` remembers of the line, even when it is only counted: `connect`, `disconnect`, `client`,
    `removed`."""
    fallback: bool = False
    """Reads what no rule before it does: the only one that may fit the example of another."""
    until: str | None = None
    source: str = ""
    """The place in the Postfix source that writes it."""
    compiled: re.Pattern[bytes] = field(init=False, repr=False)
    counted: re.Pattern[bytes] | None = field(init=False, repr=False)
    """The pattern of lines that are only counted; None where every line is an event."""
    is_event: Callable[[bytes], object] | None = field(init=False, repr=False)
    """Whether a body that `counted` fits is an event all the same."""

    def __post_init__(self) -> None:
        """Compile the patterns."""
        compiled = re.compile(self.pattern.encode() + rb"\Z", re.DOTALL)
        object.__setattr__(self, "compiled", compiled)
        counted = None
        if self.tally is not None:
            strict = self.tally_pattern
            counted = re.compile(strict.encode() + rb"\Z", re.DOTALL) if strict is not None else compiled
        object.__setattr__(self, "counted", counted)
        search = re.compile(self.event_if.encode()).search if self.event_if is not None else None
        object.__setattr__(self, "is_event", search)
