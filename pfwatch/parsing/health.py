"""Trouble that any daemon can have: tables, sockets, disks, helpers that do not answer.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

EVERYWHERE: tuple[Rule, ...] = ()
