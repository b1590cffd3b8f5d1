"""bounce, defer and trace: notifications about messages; verify and scache.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

BOUNCE: tuple[Rule, ...] = ()
VERIFY: tuple[Rule, ...] = ()
SCACHE: tuple[Rule, ...] = ()
