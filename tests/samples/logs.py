"""The sample logs: what real Postfix servers wrote while they were used and attacked, with the truth of what was done.

Enters: the archives beside this file. Leaves: logs as bytes, truths as tables, and the events of a log. One archive
for each Postfix release holds `<story>.log` (BSD header) and `<story>.rfc3339.log` (the same records; not for stories
that start with `postlogd`, which has one form only), and that of 3.7 `grammar_tour.log`, as many different lines as
one run could make. Addresses and names were replaced by those for documentation.
"""

import json
import tarfile
from collections import Counter
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

from pfwatch.events import Event
from pfwatch.metrics.counters import Counters
from pfwatch.metrics.record import record
from pfwatch.metrics.tallies import count
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.hits import Hit
from pfwatch.parsing.scanner import Scanner
from pfwatch.parsing.tally import Tally
from pfwatch.records.header import postfix_tag
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions

HERE = Path(__file__).parent
VERSIONS = ("3.5", "3.7", "3.10", "3.11")
STORIES = (
    "brute_force", "brute_force_v6", "spray", "distributed", "relay", "tls_errors", "multi_instance",
    "rsyslog_repeated", "injection", "postlogd_brute_force", "postlogd_relay", "postlogd_injection",
)  # fmt: skip
"""Those in which strangers do nothing but attack smtpd; `truth` has all."""
REFERENCE = 1_795_435_200.0
"""2026-11-23 12:00 UTC: the logs are of the day before."""


@cache
def logs(version: str) -> dict[str, bytes]:
    """File name -> content."""
    found = {}
    with tarfile.open(HERE / f"postfix-{version}.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


@cache
def truth(version: str) -> dict[str, dict[str, Any]]:
    """Story -> `lines`, and tables of what was done.

    By address: `auth_failed`, `auth_succeeded`, `relay_denied`, `imap_failed`; by class, then address: `auth_other`,
    `rejected`, `tls_failed`, `rate_limited`, `postscreen`, `protocol`, and `outage`, which was our own; by name as it
    was sent: `auth_failed_accounts`; by service: `auth_failed_services`; by status: `deliveries`. `sent` (by account),
    `inbound` (by address) and `local` are [messages, recipients].
    """
    found: dict[str, dict[str, Any]] = json.loads((HERE / f"postfix-{version}.json").read_text())
    return found


def stories(version: str) -> list[tuple[str, str]]:
    """Story and file name of every log whose truth is known."""
    forms = [(story, f"{story}.{form}") for story in truth(version) for form in ("log", "rfc3339.log")]
    return [(story, name) for story, name in forms if name in logs(version)]


def read(
    log: bytes, *, every_event: bool = True, reference: float = REFERENCE, dovecot: bool = False
) -> tuple[list[Event], Tally]:
    """The finished events of a log, read at once, and what became of its lines."""
    sessions = Sessions()
    scanner = Scanner(sessions, TimeReader(UTC), every_event=every_event, dovecot=dovecot)
    scanner.scan(log, reference)
    sessions.finish()
    return sessions.take(), scanner.take()


Counts = tuple[Counter[str], dict[object, float]]


def counters_of(log: bytes, *, every_event: bool, dovecot: bool = False, fast: bool = BUILT) -> Counts:
    """How often each kind was seen, and every counter, by way of events or of tallies. Lines that nobody reads are
    no kind here: told as events, they are; counted, they are not.
    """
    sessions = Sessions()
    scanner = Scanner(sessions, TimeReader(UTC), every_event=every_event, dovecot=dovecot, fast=fast)
    scanner.scan(log, REFERENCE)
    sessions.finish()
    counters, kinds, tally = Counters(), Counter[str](), scanner.take()
    counters.changed()
    for event in sessions.take_unbuilt():
        if not isinstance(event, Hit):  # hits are in the tally
            record(counters, event)
            kinds[event.kind] += event.envelope.weight
    count(counters, tally)
    for (_, kind), keys in tally.counts.items():
        assert kind is not None
        kinds[kind.kind] += sum(keys.values())
    for (tag, severity), weight in () if every_event else tally.unread.items():
        known = postfix_tag(tag)
        assert known is not None
        counters.add("postfix_unsupported_log_entries_total", (known.daemon, severity), weight)
    for unread in ("unsupported", "foreign", "malformed"):
        del kinds[unread]
    return kinds, {key: round(value, 6) for key, value in counters.changed().items()}


@cache
def richest_mix() -> bytes:
    """Some 220 lines in the order of time: sessions, handshakes, queue ids, repeats, mixed headers."""

    def part(name: str, first: int, last: int, version: str = "3.10") -> list[bytes]:
        return logs(version)[name].splitlines()[first:last]

    head = b"Nov 22 11:15:"
    last = head + b"26 mx1 last message repeated 4 times"
    lines = [
        *part("brute_force.log", 0, 30),
        *part("relay.rfc3339.log", 10, 50),
        last,
        *part("injection.log", 300, 362),
        b"",
        b"no record at all \xff\xfe\0",
        last,
        *part("tls_errors.log", 8, 60),
        head + b"30 mx1 dovecot: imap-login: Aborted login (no auth attempts in 0 secs)",
        head + b"30 mx1 last message repeated 2 times",
        b"<22>" + head + b"35 mx1 postfix/smtpd[9]: connect from unknown[192.0.2.1]\r",
        b"<22>1 2026-11-22T11:15:35Z mx1 postfix/smtpd 9 - - disconnect from unknown[192.0.2.1] auth=0/2 commands=0/2",
        head + b"36 mx1 postfix/smtpd[9]: SSL_accept error from unknown[192.0.2.1]: -1",
        head + b"36 mx1 postfix/smtpd: connect from unknown[192.0.2.99]",
        b"Feb 30 11:15:36 mx1 postfix/smtpd[9]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x",
        *part("rsyslog_repeated.log", 0, 30),
    ]
    return b"\n".join(lines) + b"\n"
