"""Real logs of four Postfix releases: what pfwatch reads is what was done, exactly."""

from collections import Counter

import msgspec
import pytest

from pfwatch.events import AuthFailed, Event, RelayDenied, TlsFailed, as_object
from tests.samples.logs import STORIES, VERSIONS, logs, read, truth

INJECTED = "203.0.113.9"
"""Did nothing; it stands only in what clients typed."""

NAMES = [
    (version, story, name)
    for version in VERSIONS
    for story in STORIES
    for name in (f"{story}.log", f"{story}.rfc3339.log")
    if not (story.startswith("postlogd") and "rfc3339" in name)
]
every_log = pytest.mark.parametrize(("version", "story", "name"), NAMES)


def found_in(events: list[Event]) -> dict[str, Counter[str]]:
    found = {table: Counter[str]() for table in ("auth_failed", "auth_failed_accounts", "relay_denied", "tls_failed")}
    for event in events:
        weight = event.envelope.weight
        if isinstance(event, AuthFailed) and event.cause == "credentials":
            found["auth_failed"][str(event.client.ip)] += weight
            found["auth_failed_accounts"][str(event.username)] += weight
        elif isinstance(event, RelayDenied):
            found["relay_denied"][str(event.client.ip)] += weight
        elif isinstance(event, TlsFailed) and event.direction == "inbound" and event.client:
            found["tls_failed"][str(event.client.ip)] += weight
    return found


@every_log
def test_the_events_are_what_was_done(version: str, story: str, name: str) -> None:
    events, tally = read(logs(version)[name])
    done = truth(version)[story]
    found = found_in(events)
    for table in found:
        if table in done:  # the names of the injection are hostile: Postfix shortens and masks them
            assert found[table] == done[table], table
    assert tally.total == done["lines"]


@every_log
def test_what_the_daemon_reads_as_events_is_what_was_done(version: str, story: str, name: str) -> None:
    found = found_in(read(logs(version)[name], every_event=False)[0])
    done = truth(version)[story]
    for table in ("auth_failed", "relay_denied", "tls_failed"):
        assert found[table] == done[table], table


@every_log
@pytest.mark.parametrize("every_event", [True, False])
def test_every_line_has_exactly_one_fate(version: str, story: str, name: str, every_event: bool) -> None:
    log = logs(version)[name]
    _, tally = read(log, every_event=every_event)
    assert sum(tally.fates().values()) == tally.total == log.count(b"\n")
    assert tally.malformed == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["injection.log", "injection.rfc3339.log", "postlogd_injection.log"])
def test_no_typed_text_becomes_an_event_about_somebody_else(version: str, name: str) -> None:
    log = logs(version)[name]
    assert log.count(INJECTED.encode()) > 50, "the sample holds no injection"
    events, _ = read(log)
    assert events
    for event in events:
        client = getattr(event, "client", None)
        assert client is None or client.ip != INJECTED, event.envelope.record
        assert as_object(event).get("peer_ip") != INJECTED, event.envelope.record


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("story", [story for story in STORIES if not story.startswith("postlogd")])
def test_both_header_forms_of_one_run_give_the_same_events(version: str, story: str) -> None:
    one, other = (comparable(read(logs(version)[f"{story}.{form}"])[0]) for form in ("log", "rfc3339.log"))
    assert one == other


def comparable(events: list[Event]) -> list[object]:
    """Without the fraction of a second, which only one form has."""
    return [msgspec.to_builtins(as_object(event)) | {"at": event.envelope.stamp[:19]} for event in events]
