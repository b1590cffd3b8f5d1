"""anvil: the highest rates that it saw.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

ANVIL: tuple[Rule, ...] = ()
