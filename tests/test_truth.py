"""Real logs of four Postfix releases under attack: both ways to read them, both headers, and what was only typed."""

from collections import Counter

import msgspec
import pytest

from pfwatch.events import AuthFailed, Event, RelayDenied, TlsFailed, as_object
from tests.samples.logs import STORIES, VERSIONS, logs, read, stories, truth

INJECTED = "203.0.113.9"
"""Did nothing; it stands only in what clients typed."""

NAMES = [(version, *one) for version in VERSIONS for one in stories(version) if one[0] in STORIES]
every_log = pytest.mark.parametrize(("version", "story", "name"), NAMES)


def found_in(events: list[Event]) -> dict[str, Counter[str]]:
    found = {table: Counter[str]() for table in ("auth_failed", "relay_denied", "tls_failed")}
    for event in events:
        weight = event.envelope.weight
        if isinstance(event, AuthFailed) and event.cause == "credentials":
            found["auth_failed"][str(event.client.ip)] += weight
        elif isinstance(event, RelayDenied):
            found["relay_denied"][str(event.client.ip)] += weight
        elif isinstance(event, TlsFailed) and event.direction == "inbound" and event.client:
            found["tls_failed"][str(event.client.ip)] += weight
    return found


@every_log
def test_what_the_daemon_reads_as_events_is_what_was_done(version: str, story: str, name: str) -> None:
    found = found_in(read(logs(version)[name], every_event=False)[0])
    done = truth(version)[story]
    assert found["auth_failed"] == done["auth_failed"]
    assert found["relay_denied"] == done["relay_denied"]
    assert found["tls_failed"] == sum(map(Counter, done.get("tls_failed", {}).values()), Counter[str]())


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


BOTH_FORMS = [(version, name) for version in VERSIONS for _, name in stories(version) if "rfc3339" in name]


@pytest.mark.parametrize(("version", "name"), BOTH_FORMS)
def test_both_header_forms_of_one_run_give_the_same_events(version: str, name: str) -> None:
    one, other = (comparable(read(logs(version)[form])[0]) for form in (name, name.replace("rfc3339.", "")))
    assert one == other


def comparable(events: list[Event]) -> list[object]:
    """Without the fraction of a second, which only one form has."""
    return [msgspec.to_builtins(as_object(event)) | {"at": event.envelope.stamp[:19]} for event in events]
