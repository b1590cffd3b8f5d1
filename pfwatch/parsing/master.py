"""master, postfix(1), its scripts and the other commands: starting, stopping and what is wrong with the system's files.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

MASTER: tuple[Rule, ...] = ()
POSTFIX: tuple[Rule, ...] = ()
COMMANDS: tuple[Rule, ...] = ()
