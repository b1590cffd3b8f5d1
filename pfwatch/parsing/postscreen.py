"""postscreen and dnsblog: who is tested before smtpd sees them, and how they did.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

POSTSCREEN: tuple[Rule, ...] = ()
DNSBLOG: tuple[Rule, ...] = ()
