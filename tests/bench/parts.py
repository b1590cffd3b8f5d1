"""`python -m tests.bench.parts`: what each part of pfwatch takes, by itself, in microseconds.

What enters: nothing but a number of lines. What leaves: a table. What this file must never know: how a part works.

Every part is the real one, fed with what it is fed in a whole pfwatch. Preparing is not timed. Each is run several
times from its beginning, and the quickest run is shown: what disturbs only adds. It is CPU time, so waiting for the
disk is not in it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pfwatch.detection.detector import Detector
from pfwatch.detection.settings import DetectionSettings
from pfwatch.events import AuthFailed, Event, RelayDenied, TlsFailed
from pfwatch.metrics.counters import Counters
from pfwatch.metrics.record import record
from pfwatch.metrics.tallies import count
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.hits import Hit
from pfwatch.parsing.listener import Process
from pfwatch.parsing.scanner import Scanner
from pfwatch.parsing.single import SingleReader
from pfwatch.parsing.stretch import StretchReader
from pfwatch.parsing.tally import Tally
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.records.header import Row, compile_form
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from pfwatch.sources.lines import LineCutter
from pfwatch.sources.settings import SourceSettings
from pfwatch.store.changes import Changes
from pfwatch.store.database import Store
from pfwatch.web.collector import Exposition
from tests.bench.generate import START, Mix, generate
from tests.bench.results import columns

REFERENCE = START.timestamp() + 30 * 86_400
"""The logs are younger than this."""
BLOCK_OF_COMMIT = 10_000
"""Lines between two commits: a busy second."""


class Trial(NamedTuple):
    """A run that is prepared: what is timed, and how many units it works on."""

    work: Callable[[], object]
    units: int
    end: Callable[[], object] = lambda: None
    """Tidies up."""


Prepare = Callable[[Sequence[bytes]], Trial]


class Processes(Sessions):
    """Sessions that keep what they are told and do not follow it, so that it can be told to others."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Event, Process]] = []

    def told(self, event: Event, process: Process) -> Event:
        self.seen.append((event, process))
        return super().told(event, process)


def lines_of(blocks: Sequence[bytes]) -> int:
    return sum(block.count(b"\n") for block in blocks)


def cutting(blocks: Sequence[bytes]) -> Trial:
    """Pieces as they are read from a file, to whole lines."""
    data, size = b"".join(blocks), SourceSettings().block_size
    pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
    cutter = LineCutter(SourceSettings().max_line)

    def work() -> None:
        for piece in pieces:
            cutter.feed(piece)

    return Trial(work, lines_of(blocks))


def scanning(blocks: Sequence[bytes], *, fast: bool) -> Trial:
    """Lines to tallies, hits and events, with the sessions that it tells them to."""
    sessions = Sessions()
    scanner = Scanner(sessions, TimeReader(), fast=fast)

    def work() -> None:
        for block in blocks:
            scanner.scan(block, REFERENCE)
            scanner.take(counts=False)
            sessions.take_unbuilt()

    return Trial(work, lines_of(blocks))


def by_compiled_code(blocks: Sequence[bytes]) -> Trial:
    return scanning(blocks, fast=True)


def by_pattern(blocks: Sequence[bytes]) -> Trial:
    return scanning(blocks, fast=False)


def apart(blocks: Sequence[bytes]) -> Trial:
    """Stretches to what they bring about, as the other processes of a replay read them."""
    reader = StretchReader(None, None, dovecot=False)

    def work() -> None:
        for block in blocks:
            reader.read(block, REFERENCE)

    return Trial(work, lines_of(blocks))


def following(blocks: Sequence[bytes]) -> Trial:
    """What these bring about to hits and events, with the sessions, as the process with the story does it."""
    reader, sessions = StretchReader(None, None, dovecot=False), Sessions()
    stretches = [reader.read(block, REFERENCE) for block in blocks]
    scanner = Scanner(sessions, TimeReader(), bare=True)

    def work() -> None:
        for stretch in stretches:
            scanner.follow(stretch)
            scanner.take(counts=False)
            sessions.take_unbuilt()

    return Trial(work, lines_of(blocks))


def one_by_one(blocks: Sequence[bytes]) -> Trial:
    """Lines that are not plain, as if none were; each becomes an event."""
    times = TimeReader()
    times.expect(REFERENCE)
    reader = SingleReader(Sessions(), times, every_event=True, dovecot=False, tell_unread=False, wanted=None)
    pattern = compile_form("bsd")
    rows = [Row._make(groups) for block in blocks for groups in pattern.findall(b"\n" + block, 0, len(block))]

    def work() -> None:
        for row in rows:
            reader.read(row, 1)

    return Trial(work, len(rows))


def sessions(blocks: Sequence[bytes]) -> Trial:
    """Events of every line to finished events."""
    processes = Processes()
    scanner = Scanner(processes, TimeReader(), every_event=True)
    for block in blocks:
        scanner.scan(block, REFERENCE)
    followed, seen = Sessions(), processes.seen

    def work() -> None:
        for event, process in seen:
            followed.told(event, process)

    return Trial(work, len(seen))


def hits_to_detection(blocks: Sequence[bytes]) -> Trial:
    """Hits to subjects' windows and to incidents."""
    hits: list[Event | Hit] = [one for one in finished(blocks) if isinstance(one, Hit)]
    detector = Detector(DetectionSettings())

    def work() -> None:
        number = 0
        while number < len(hits):
            number, _ = detector.count_hits(hits, number, float("inf"))

    return Trial(work, len(hits))


def events_to_detection(blocks: Sequence[bytes]) -> Trial:
    """The same by events of the kinds that rules count."""
    events = [event for event in every_event(blocks) if isinstance(event, AuthFailed | RelayDenied | TlsFailed)]
    detector = Detector(DetectionSettings())

    def work() -> None:
        for event in events:
            detector.feed(event)

    return Trial(work, len(events))


def events_to_counters(blocks: Sequence[bytes]) -> Trial:
    """Events to the numbers of /metrics."""
    events, counters = every_event(blocks), Counters()

    def work() -> None:
        for event in events:
            record(counters, event)

    return Trial(work, len(events))


def tallies_to_counters(blocks: Sequence[bytes]) -> Trial:
    """The same by tallies, which hold the counts of many lines."""
    scanner, counters = Scanner(Sessions(), TimeReader()), Counters()
    tallies: list[Tally] = []
    for block in blocks:
        scanner.scan(block, REFERENCE)
        tallies.append(scanner.take())

    def work() -> None:
        for tally in tallies:
            count(counters, tally)

    return Trial(work, lines_of(blocks))


def commits(blocks: Sequence[bytes]) -> Trial:
    """What a second of a busy log brought about, into a real database."""
    pipeline, changes = Pipeline(Settings(), keep=True), list[Changes]()
    for block in seconds(blocks):
        outcome = pipeline.feed(block, "mail.log", REFERENCE)
        kept = pipeline.drain()
        changes.append(Changes({}, pipeline.counters.changed(), kept, outcome.notifications))
        pipeline.counters.committed()

    directory = tempfile.TemporaryDirectory(prefix="pfwatch-parts-")
    store = Store(Path(directory.name) / "state.db")

    def work() -> None:
        for step in changes:
            store.commit(step)

    def end() -> None:
        store.close()
        directory.cleanup()

    return Trial(work, len(changes), end)


def rendering(blocks: Sequence[bytes]) -> Trial:
    """One answer of /metrics after the whole log."""
    pipeline = Pipeline(Settings())
    pipeline.begin("mail.log")
    for block in blocks:
        pipeline.feed(block, "mail.log", REFERENCE)
    pipeline.drain()
    pipeline.counters.changed()
    pipeline.counters.committed()
    exposition, times = Exposition(pipeline.counters), 5

    def work() -> None:
        for _ in range(times):
            exposition.encode("text/plain", "")

    return Trial(work, times)


PARTS: dict[str, tuple[str, Prepare]] = {
    "cut lines": ("line", cutting),
    "read by compiled code": ("line", by_compiled_code),
    "read apart": ("line", apart),
    "follow what was read apart": ("line", following),
    "read by one pattern": ("line", by_pattern),
    "read one by one": ("line", one_by_one),
    "sessions": ("event", sessions),
    "detection by hits": ("hit", hits_to_detection),
    "detection by events": ("event", events_to_detection),
    "counters by events": ("event", events_to_counters),
    "counters by tallies": ("line", tallies_to_counters),
    "commit": ("commit", commits),
    "render /metrics": ("scrape", rendering),
}
"""Name -> unit, and how it is prepared."""


def every_event(blocks: Sequence[bytes]) -> list[Event]:
    """The finished events of every line."""
    followed = Sessions()
    scanner = Scanner(followed, TimeReader(), every_event=True)
    for block in blocks:
        scanner.scan(block, REFERENCE)
    return followed.take()


def finished(blocks: Sequence[bytes]) -> list[Event | Hit]:
    """What comes out behind sessions in a whole pfwatch."""
    followed = Sessions()
    scanner = Scanner(followed, TimeReader())
    for block in blocks:
        scanner.scan(block, REFERENCE)
    return followed.take_unbuilt()


def seconds(blocks: Sequence[bytes]) -> Iterator[bytes]:
    """The same lines, as many together as are committed together."""
    lines = iter(b"".join(blocks).splitlines(keepends=True))
    while piece := b"".join(islice(lines, BLOCK_OF_COMMIT)):
        yield piece


def measure_part(prepare: Prepare, blocks: Sequence[bytes], runs: int) -> float | None:
    """Microseconds of CPU time for one unit; None where the log has none of it."""
    least = float("inf")
    for _ in range(runs):
        trial = prepare(blocks)
        if not trial.units:
            return None
        began = time.process_time()
        trial.work()
        least = min(least, (time.process_time() - began) / trial.units)
        trial.end()
    return least * 1e6


def measure_parts(lines: int, runs: int, mixes: Sequence[Mix] = ("normal", "attack")) -> list[tuple[str, ...]]:
    """A row for each part, a column for each mix."""
    logs = {mix: list(generate(lines, mix)) for mix in mixes}
    rows: list[tuple[str, ...]] = [("", "unit", *(f"{mix}: CPU microseconds" for mix in mixes))]
    for name, (unit, prepare) in PARTS.items():
        if prepare in {by_compiled_code, apart, following} and not BUILT:
            rows.append((name, unit, *("not compiled" for _ in mixes)))
            continue
        costs = (measure_part(prepare, logs[mix], runs) for mix in mixes)
        rows.append((name, unit, *("-" if cost is None else f"{cost:,.3f}" for cost in costs)))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.parts", description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args(arguments)
    if asked.lines < 1 or asked.runs < 1:
        parser.error("--lines and --runs have to be 1 or more")
    sys.stdout.write(f"{columns(measure_parts(asked.lines, asked.runs))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
