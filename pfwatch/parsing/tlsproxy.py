"""tlsproxy and tlsmgr: TLS on behalf of other daemons.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

from pfwatch.parsing.rule import Rule

TLSPROXY: tuple[Rule, ...] = ()
TLSMGR: tuple[Rule, ...] = ()
