"""Certificates that do not verify, and our own TLS settings that cannot be used.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

INBOUND: tuple[Rule, ...] = ()
OUTBOUND: tuple[Rule, ...] = ()
SETTINGS: tuple[Rule, ...] = ()
