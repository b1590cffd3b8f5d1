"""The counts of a stretch of log, and what became of each of its lines.

Enters: nothing; the scanner fills it. Leaves: the `Tally`. This file must never know how a line is read.
"""

from collections.abc import Mapping

import msgspec

from pfwatch.events import Event
from pfwatch.parsing.rule import Rule

Key = tuple[bytes | None, ...]
Spread = tuple[dict[bytes, int], ...]
"""For each group that a rule spreads, text -> how often."""
Counted = tuple[Rule, type[Event] | None]
"""A rule and the kind of event that these lines of it are."""

SLASH_IN_TAG = (
    "a syslog template cuts the program name at the slash: every daemon is logged as `postfix`, and its lines cannot "
    'be read. In rsyslog, put global(parser.permitSlashInProgramName="on") at the top of the configuration'
)
"""What to tell whoever has `misnamed` lines."""


class Tally(msgspec.Struct):
    """The counts of the lines since it was taken."""

    total: int = 0
    tallied: int = 0
    events: int = 0
    parts: int = 0
    foreign: int = 0
    unsupported: int = 0
    malformed: int = 0
    counts: dict[Counted, dict[Key, int]] = {}
    """What was counted -> the tag and the groups that it is counted by -> how often, repeats included."""
    spread: dict[Counted, dict[Key, Spread]] = {}
    """What was counted -> the same tag and groups -> how often each text of the groups that the rule spreads."""
    unread: dict[tuple[bytes, str], int] = {}
    """(tag, severity) -> lines of Postfix without a rule, repeats included."""
    misnamed: int = 0
    """Unsupported lines under the bare tag `postfix`: a syslog template cuts the program name at the slash."""

    def add_spread(self, rule: Rule, kind: type[Event] | None, key: Key, spread: Spread) -> None:
        """Add counts of the texts of lines that `add` has counted under this key."""
        spreads = self.spread.setdefault((rule, kind), {})
        if key not in spreads:
            spreads[key] = tuple(dict(column) for column in spread)
            return
        for known, column in zip(spreads[key], spread, strict=True):
            for text, weight in column.items():
                known[text] = known.get(text, 0) + weight

    def add(self, rule: Rule, kind: type[Event] | None, keys: Mapping[Key, int]) -> None:
        """Add counts of a rule's lines that are events of this kind."""
        counts = self.counts.setdefault((rule, kind), {})
        if not counts:
            counts.update(keys)
            return
        for key, weight in keys.items():
            counts[key] = counts.get(key, 0) + weight

    def fates(self) -> dict[str, int]:
        """Lines by what became of them; they add up to `total`."""
        return {fate: getattr(self, fate) for fate in FATES}


FATES = ("tallied", "events", "parts", "foreign", "unsupported", "malformed")
