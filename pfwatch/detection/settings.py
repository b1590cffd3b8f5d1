"""What an administrator can set of the detection, with the shipped values.

Enters: nothing. Leaves: frozen settings. This file must never know where they are configured.
"""

import msgspec

from pfwatch.detection.incident import IncidentSeverity


class RuleSettings(msgspec.Struct, frozen=True):
    """One detection rule. Reaching `threshold` events of one subject within `window` seconds opens an incident."""

    threshold: int
    window: int
    """Seconds."""
    severity: IncidentSeverity
    cooldown: int = 3600
    """Seconds after an incident's end in which a new one of the same subject notifies nobody."""
    enabled: bool = True
    simulate: bool = False
    """Find, count and show, but notify nobody."""
    allow: tuple[str, ...] = ()
    """Addresses and networks (`192.0.2.7`, `198.51.100.0/24`, `2001:db8::/32`) that this rule leaves alone."""


SHIPPED = {
    "auth-bruteforce": RuleSettings(threshold=10, window=600, severity="warning"),
    "relay-probe": RuleSettings(threshold=3, window=600, severity="warning"),
    "tls-client-failures": RuleSettings(threshold=5, window=3600, severity="info"),
}


class DetectionSettings(msgspec.Struct, frozen=True):
    """Every shipped rule by name, and what all of them share."""

    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Addresses and networks that no rule counts."""
    max_subjects: int = 20_000
    """Subjects each rule watches at once; beyond it the one longest quiet is given up, and counted."""
    rules: dict[str, RuleSettings] = msgspec.field(default_factory=lambda: dict(SHIPPED))
