"""smtp and lmtp: what a delivery met on its way, in lines of their own.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

RULES: tuple[Rule, ...] = ()
