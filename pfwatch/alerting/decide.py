"""Whether somebody is told about an incident, and why or why not.

Enters: an incident, what was told of it before, settings and a moment. Leaves: one word. A pure function: this file
must never know how it is told, and remembers nothing.
"""

import ipaddress
from typing import Literal

import msgspec

from pfwatch.alerting.settings import AlertSettings, Silence
from pfwatch.detection.incident import Incident
from pfwatch.detection.settings import RuleSettings

Verdict = Literal[
    "first",
    "grew",
    "repeat",
    "resolved",
    "simulated",
    "silenced",
    "too_old",
    "cooldown",
    "told",
    "unwanted",
]
"""A reason to tell (the first four), or why not: the rule only simulates; a silence matches; the latest event is older
than `max_alert_age`; the subject had an incident a short while ago; it was told and nothing is new; its end is not to
be told."""

TELL = frozenset(("first", "grew", "repeat", "resolved"))


class Told(msgspec.Struct, frozen=True):
    """What was told of an incident so far."""

    thread: str
    at: float
    count: int
    number: int


def decide(
    incident: Incident,
    told: Told | None,
    settings: AlertSettings,
    rule: RuleSettings,
    now: float,
    *,
    clock: float | None = None,
    quiet_until: float = 0.0,
) -> Verdict:
    """Decide at `now`, the records' time; `clock` is the wall's where it is known, `quiet_until` the cooldown's end."""
    if rule.simulate:
        return "simulated"
    for silence in settings.silences:
        if _matches(silence, incident, now):
            return "silenced"
    if told is not None and incident.ended is not None:
        return "resolved" if settings.send_resolved else "unwanted"
    age = (clock if clock and clock > now else now) - incident.last
    if age > settings.max_alert_age:
        return "too_old"
    if told is None:
        return "cooldown" if incident.first < quiet_until else "first"
    if incident.count >= told.count * settings.grew_factor:
        return "grew"
    if now - told.at >= settings.repeat_interval:
        return "repeat"
    return "told"


def _matches(silence: Silence, incident: Incident, now: float) -> bool:
    if silence.until is not None and now >= silence.until:
        return False
    if silence.rule and silence.rule != incident.rule:
        return False
    return not silence.subject or _within(incident.subject, silence.subject)


def _within(subject: str, pattern: str) -> bool:
    """Whether an address or network lies in another."""
    if subject == pattern:
        return True
    try:
        inner, outer = ipaddress.ip_network(subject, strict=False), ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type] # the same version
