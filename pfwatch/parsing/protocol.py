"""smtpd: clients that break the protocol, names that do not confirm, what a proxy answered.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

RULES: tuple[Rule, ...] = ()
