"""cleanup: what header, body and milter checks did with a message.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

CLEANUP: tuple[Rule, ...] = ()
