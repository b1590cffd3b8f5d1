"""A real Postfix in other configurations than everybody's: every line is read, and every attack is on its address."""

from collections import Counter

import pytest

from pfwatch.events import as_object
from tests.samples.configurations import DONE, NOBODY, configurations
from tests.samples.logs import read

EVERY = sorted(configurations())
LATER = 1_795_600_000.0


@pytest.mark.parametrize("name", EVERY)
def test_every_line_is_read(name: str) -> None:
    log = configurations()[name]
    for every_event in (True, False):
        events, tally = read(log, every_event=every_event, reference=LATER)
        assert sum(tally.fates().values()) == tally.total == log.count(b"\n")
        unread = [event.envelope.record[4] for event in events if event.kind == "unsupported"]
        assert (tally.unsupported, tally.malformed, unread) == (0, 0, [])


@pytest.mark.parametrize(("name", "kind"), DONE)
def test_the_events_are_what_was_done(name: str, kind: str) -> None:
    found = Counter[str]()
    for event in read(configurations()[name], reference=LATER)[0]:
        if event.kind == kind:
            found[as_object(event)["client_ip"]] += event.envelope.weight
    assert found == DONE[name, kind]


@pytest.mark.parametrize("name", EVERY)
def test_nobody_who_was_only_named_did_anything(name: str) -> None:
    for event in read(configurations()[name], reference=LATER)[0]:
        shown = as_object(event)
        assert NOBODY.isdisjoint((shown.get("client_ip"), shown.get("peer_ip"))), event.envelope.record
