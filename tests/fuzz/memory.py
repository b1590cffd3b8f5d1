"""Lines of which no two have anything in common, straight into the core, and what they take.

Enters: how many. Leaves: resident memory every so often, and how many rows stand in each table that grows.

An attacker chooses addresses, accounts, helos, recipients and how often he says what; queue ids and pids differ anyway.
Host names and tags are chosen by local programs.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from pfwatch.parsing.readings import Reading
from pfwatch.pipeline import Pipeline, Settings
from tests.samples.logs import REFERENCE

BLOCK = 256 * 1024
_A_SECOND = 2_000
"""Lines. Ten million take an hour and a half."""
_BEGIN = datetime(2026, 11, 20, tzinfo=UTC)

SHAPES: Final = {
    "login": (
        "mx1 postfix/smtpd[{n}]: warning: unknown[{ip}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, "
        "sasl_username=user{n}@example.org"
    ),
    "relay": (
        "mx1 postfix/smtpd[{n}]: NOQUEUE: reject: RCPT from unknown[{ip}]: 554 5.7.1 <r{n}@example.net>: Relay access "
        "denied; from=<s{n}@example.com> to=<r{n}@example.net> proto=ESMTP helo=<h{n}>"
    ),
    "connect": "mx1 postfix/smtpd[{n}]: connect from h{n}.example.net[{ip}]",
    "message": "mx1 postfix/smtpd[{n}]: {id}: client=h{n}.example.net[{ip}], sasl_method=PLAIN, sasl_username=user{n}",
    "handshake": "mx1 postfix/smtpd[{n}]: SSL_accept error from unknown[{ip}]: -1",
    "words": (
        "mx1 postfix/tlsproxy[{n}]: warning: TLS library problem: error:{n}:SSL routines::no shared cipher:x.c:{n}:"
    ),
    "oversized": "mx1 postfix/smtpd[{n}]: warning: {id}: queue file size limit exceeded",
    "unwritten": "mx1 postfix/cleanup[{n}]: warning: {id}: queue file size limit exceeded",
    "warning": "mx1 postfix/smtpd[{n}]: warning: something new {n} of {id}",
    "host": "mx{n} postfix/smtpd[{n}]: connect from unknown[{ip}]",
    "tag": "mx1 postfix-{n}/smtpd[{n}]: connect from unknown[{ip}]",
    "program": "mx1 program{n}[{n}]: whatever {n}",
    "disconnect": "mx1 postfix/smtpd[{n}]: disconnect from unknown[{ip}] ehlo=1 auth=0/{n} commands=1/{n}",
    "queued": "mx1 postfix/qmgr[5]: {id}: from=<s{n}@example.com>, size={n}, nrcpt=1 (queue active)",
    "delivery": (
        "mx1 postfix/smtp[{n}]: {id}: to=<r{n}@example.net>, relay=h{n}.example.net[{ip}]:25, delay=1.{n}, "
        "delays=0.{n}/0/0/1.{n}, dsn=2.0.0, status=sent (250 Ok {n})"
    ),
    "tls": (
        "mx1 postfix/smtpd[{n}]: Anonymous TLS connection established from unknown[{ip}]: TLSv1.3 with cipher C{n} "
        "(256/256 bits) {n}"
    ),
    "identified": "mx1 postfix/cleanup[{n}]: {id}: message-id=<{n}@example.com>",
    "trouble": "mx1 postfix/smtpd[{n}]: warning: problem talking to server private/policy{n}: Connection refused",
    "lost": "mx1 postfix/smtpd[{n}]: lost connection after AUTH from unknown[{ip}]",
    "library": "mx1 postfix/smtp[{n}]: warning: TLS library problem: error:{n}:whatever {n}:",
    "screened": "mx1 postfix/postscreen[4]: CONNECT from [{ip}]:{n} to [192.0.2.1]:25",
    "said": (
        "mx1 postfix/smtp[{n}]: {id}: host h{n}.example.net[{ip}] said: 450 4.2.0 {n} (in reply to RCPT TO command)"
    ),
}


def lines(count: int, shapes: Iterable[str] = SHAPES, a_second: int = _A_SECOND) -> Iterator[bytes]:
    """So many lines, these shapes in turn. No address, queue id, pid or name comes twice."""
    texts = [SHAPES[shape] for shape in shapes]
    for number in range(count):
        moment = _BEGIN + timedelta(seconds=number // a_second)
        text = texts[number % len(texts)].format(n=number, id=f"{number:010X}", ip=_address(number))
        yield f"{moment:%b %d %H:%M:%S} {text}\n".encode()


def _address(number: int) -> str:
    """An own network for each: `2001:db8::/32` has four thousand million of the size that one customer gets."""
    if number % 2:
        return f"2001:db8:{number >> 16 or 1:x}:{number & 0xFFFF or 1:x}::1"
    return f"{1 + (number >> 24)}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def blocks(lines: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Lines in blocks, each with the number of lines so far."""
    block: list[bytes] = []
    number = size = 0
    for number, line in enumerate(lines, 1):
        block.append(line)
        size += len(line)
        if size >= BLOCK:
            yield b"".join(block), number
            block, size = [], 0
    if block:
        yield b"".join(block), number


def rows(pipeline: Pipeline) -> dict[str, int]:
    """How much stands in whatever grows."""
    sessions, detector = pipeline._sessions, pipeline._detector
    found = {f"sessions {name}": len(table.rows) for name, table in sessions._tables().items()}
    found["sessions watch"] = len(sessions.watch)
    found["sessions finished"] = len(sessions.finished)
    for name, watched in detector._watched.items():
        found[f"detection {name}"] = len(watched.rows.of_subject)
    found["open incidents"] = len(detector._open)
    plan = pipeline._planner._plan
    for name in ("group", "digest", "ended", "told", "cooling"):
        found[f"planner {name}"] = len(getattr(plan, name))
    snapshot = pipeline.counters.shown()
    found["series"] = sum(len(series) for series in snapshot.counters.values())
    found["series"] += sum(len(series) for series in snapshot.histograms.values())
    for log in pipeline._logs.values():
        scanner = log._scanner
        readings = (*scanner._readings.identified.values(), *scanner._readings.anonymous.values())
        found["origins"] = len(readings)
        known = [reading for heads in readings for reading in heads.values() if isinstance(reading, Reading)]
        found["texts"] = sum(len(reading.counts or ()) for reading in known)
    return found


def resident() -> int:
    """Bytes of this process that are in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no path of ours
        return int(file.read().split()[1]) * 4096


def show(count: int) -> int:
    """Feed so many lines, and print what they take every tenth of the way."""
    pipeline, step, begin = Pipeline(Settings(zone=UTC), keep=True), max(1, count // 10), time.monotonic()
    sys.stdout.write(f"{'lines':>12} {'MB':>7} {'seconds':>8}\n{0:>12,} {resident() / 1e6:7.1f}\n")
    due = step
    for block, done in blocks(lines(count)):
        pipeline.feed(block, "log", REFERENCE)
        pipeline.drain()
        if done >= due:
            due += step
            sys.stdout.write(f"{done:>12,} {resident() / 1e6:7.1f} {time.monotonic() - begin:8.0f}\n")
            sys.stdout.flush()
    sys.stdout.write("\n".join(f"{name}: {number:,}" for name, number in rows(pipeline).items()) + "\n")
    return 0
