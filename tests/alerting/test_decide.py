"""Whether somebody is told about an incident, and why or why not."""

from typing import Any

import msgspec
import pytest

from pfwatch.alerting.decide import TELL, Told, decide
from pfwatch.alerting.settings import AlertSettings, Silence
from pfwatch.detection.settings import SHIPPED
from tests.alerting.stories import bruteforce

RULE = SHIPPED["auth-bruteforce"]
INCIDENT = bruteforce(count=10)
NOW = INCIDENT.last
TOLD = Told("thread", NOW, 10, 1)


def verdict(
    told: Told | None = None,
    now: float = NOW,
    *,
    clock: float | None = None,
    quiet_until: float = 0.0,
    simulate: bool = False,
    settings: dict[str, Any] | None = None,
    **incident: object,
) -> str:
    rule = msgspec.structs.replace(RULE, simulate=simulate)
    changed = msgspec.structs.replace(INCIDENT, **incident)
    return decide(changed, told, AlertSettings(**(settings or {})), rule, now, clock=clock, quiet_until=quiet_until)


def test_a_new_incident_is_told() -> None:
    assert verdict() == "first"
    assert "first" in TELL


def test_what_was_told_is_not_told_again_for_nothing() -> None:
    assert verdict(TOLD) == "told"
    assert "told" not in TELL


@pytest.mark.parametrize(("count", "expected"), [(99, "told"), (100, "grew"), (1000, "grew")])
def test_ten_times_as_large_is_told(count: int, expected: str) -> None:
    assert verdict(TOLD, count=count) == expected


@pytest.mark.parametrize(("later", "expected"), [(86_399, "told"), (86_400, "repeat")])
def test_still_going_on_after_a_day_is_told(later: float, expected: str) -> None:
    assert verdict(TOLD, NOW + later, last=NOW + later) == expected


@pytest.mark.parametrize(("later", "expected"), [(3600, "first"), (3601, "too_old")])
def test_nobody_is_told_of_what_is_an_hour_old(later: float, expected: str) -> None:
    assert verdict(now=NOW + later) == expected
    assert verdict(clock=NOW + later) == expected


def test_a_clock_that_is_behind_the_log_makes_nothing_young() -> None:
    assert verdict(now=NOW + 5000, clock=NOW) == "too_old"


def test_an_end_is_told_only_where_it_is_wanted() -> None:
    assert verdict(TOLD, ended=NOW) == "unwanted"
    assert verdict(TOLD, ended=NOW, settings={"send_resolved": True}) == "resolved"
    assert verdict(None, ended=NOW) == "first"


def test_within_the_cooldown_nobody_is_told_and_after_it_somebody_is() -> None:
    assert verdict(quiet_until=INCIDENT.first + 1) == "cooldown"
    assert verdict(quiet_until=INCIDENT.first) == "first"


def test_a_simulated_rule_tells_nobody_whatever_else_is_so() -> None:
    for told in (None, TOLD):
        assert verdict(told, count=1000, simulate=True) == "simulated"


@pytest.mark.parametrize(
    ("silence", "silent"),
    [
        (Silence(), True),
        (Silence(rule="auth-bruteforce"), True),
        (Silence(rule="relay-probe"), False),
        (Silence(subject="192.0.2.7"), True),
        (Silence(subject="192.0.2.0/24"), True),
        (Silence(subject="198.51.100.0/24"), False),
        (Silence(subject="2001:db8::/32"), False),
        (Silence(rule="auth-bruteforce", subject="192.0.2.7"), True),
        (Silence(rule="relay-probe", subject="192.0.2.7"), False),
        (Silence(until=NOW + 1), True),
        (Silence(until=NOW), False),
    ],
)
def test_a_silence_covers_what_it_names_until_it_ends(silence: Silence, silent: bool) -> None:
    assert (verdict(settings={"silences": (silence,)}) == "silenced") is silent


def test_a_silence_of_a_network_covers_an_ipv6_subject_within() -> None:
    silences = {"silences": (Silence(subject="2001:db8::/32"),)}
    assert verdict(subject="2001:db8:1:2::/64", settings=silences) == "silenced"
    assert verdict(subject="2001:db9:1:2::/64", settings=silences) == "first"
