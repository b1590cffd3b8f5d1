"""An incident: something that a rule found, which opens, grows and ends.

Enters: nothing. Leaves: the frozen `Incident`, a snapshot that can be stored, mailed and compared.
This file must never know how it is found or who is told.
"""

from typing import Literal

import msgspec

IncidentSeverity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[IncidentSeverity, ...] = ("info", "warning", "critical")


class Incident(msgspec.Struct, frozen=True):
    """A snapshot of one incident. Times are seconds since the epoch, by the records' own clock."""

    id: str
    """`<rule>-<UTC time of the first event>-<8 hex digits of rule, host and subject>`: the same log gives the same."""
    rule: str
    severity: IncidentSeverity
    subject: str
    """What is counted: an address (`192.0.2.7`) or a network (`2001:db8:1:2::/64`)."""
    host: str
    """The mail server whose log it stands in, as its records say."""
    threshold: int
    window: int
    """Seconds."""
    first: float
    last: float
    count: int
    opened: float
    """When the threshold was reached."""
    ended: float | None = None
    """When it had been quiet for a whole window; None while it goes on."""
    tops: dict[str, list[tuple[str, int]]] = {}
    """Who and what, by name of the field (`account`, `client`, `client_name`, `service`, `method`, `recipient`,
    `error`): text and count, most frequent first, at most 20 of each. The texts are untrusted."""
    distinct: dict[str, int] = {}
    """How many different texts were seen per field; a lower bound once it reaches 1,000, and of those `incomplete`."""
    chart: list[tuple[float, int]] = []
    """Start of a minute and events in it, oldest first, at most 120; the gaps are zeros."""
    evidence: list[str] = []
    """Log lines as they stood in the log: the first three and the latest three. Untrusted."""
    incomplete: tuple[str, ...] = ()
    """Fields of which there were more texts than room. The counts of those that are told are exact all the same."""
