"""What must hold for any log whatever stands in it.

Enters: a log as bytes. Leaves: nothing, or an AssertionError that says which promise was broken.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from typing import Any

from pfwatch.events import AuthFailed, Client, Event, RelayDenied, TlsFailed
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.scanner import Scanner
from pfwatch.parsing.stretch import StretchReader
from pfwatch.parsing.tally import Tally
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from pfwatch.sources.lines import LineCutter
from tests.fuzz.typed import INJECTED
from tests.samples.logs import REFERENCE, Counts, counters_of

MAX_LINE = 64 * 1024
Reading = tuple[list[Event], Tally, bytes]


def check(log: bytes, *, typed: bool = False) -> None:
    """Every promise; with `typed`, also that nobody is accused whose address was only typed."""
    pieces = _cut_somewhere(log)
    whole = {form: _read([log], every_event=form) for form in (True, False)}
    for form, (_, tally, _) in whole.items():
        lines = log.count(b"\n") + (not log.endswith(b"\n") and log != b"")
        assert sum(tally.fates().values()) == tally.total == lines, f"the fates do not add up ({form=})"
        for how, cut in (("in pieces", pieces), ("line by line", log.splitlines(keepends=True))):
            if how == "in pieces" or b"\r" not in log:
                assert _read(cut, every_event=form) == whole[form], f"read {how} it is something else ({form=})"
    accused = [_accused(whole[form][0]) for form in (True, False)]
    assert accused[0] == accused[1], "counting and telling see other events"
    for event in whole[True][0] if typed else ():
        assert INJECTED not in set(addresses_of(event)), f"a typed address was believed: {event}"
    _check_pipeline(log)
    whole_lines = _whole_lines(log)
    _check_stretches(whole_lines)
    told, counted = (counters_of(whole_lines, every_event=form, dovecot=True) for form in (True, False))
    assert told == counted, f"counters differ by the form: {_difference(told, counted)}"
    assert _read(pieces, every_event=False, fast=False) == whole[False], "compiled code reads something else"


def addresses_of(event: Event) -> Iterator[str | None]:
    """Whom an event names."""
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, Client):
            yield value.ip
        elif name.endswith("_ip"):
            yield value


def _difference(told: Counts, counted: Counts) -> str:
    pairs: list[tuple[Mapping[Any, float], Mapping[Any, float]]] = list(zip(told, counted, strict=True))
    return " ".join(
        f"{key}: {one.get(key)} told, {other.get(key)} counted"
        for one, other in pairs
        for key in one.keys() | other.keys()
        if one.get(key) != other.get(key)
    )


def _cut_somewhere(log: bytes) -> list[bytes]:
    """Pieces that only the log decides about, so that a finding can be repeated."""
    dice = random.Random(log)
    places = sorted(dice.randrange(len(log) + 1) for _ in range(dice.choice((1, 3, 10))))
    return [log[begin:end] for begin, end in zip([0, *places], [*places, len(log)], strict=True)]


def _read(pieces: Iterable[bytes], *, every_event: bool, fast: bool = BUILT) -> Reading:
    sessions = Sessions()
    scanner = Scanner(sessions, TimeReader(UTC), every_event=every_event, dovecot=True, fast=fast)
    cutter = LineCutter(MAX_LINE)
    for piece in pieces:
        scanner.scan(cutter.feed(piece), REFERENCE)
    scanner.scan(cutter.finish(), REFERENCE)
    sessions.finish()
    return sessions.take(), scanner.take(), scanner.state()


def _accused(events: Iterable[Event]) -> list[Event]:
    """By the line: a failed handshake that waits for its library's words is told at the next event, which comes sooner
    where every line is one.
    """
    kinds = (AuthFailed, RelayDenied, TlsFailed)
    return sorted((one for one in events if isinstance(one, kinds)), key=lambda one: one.envelope.record)


def _whole_lines(log: bytes) -> bytes:
    cutter = LineCutter(MAX_LINE)
    return cutter.feed(log) + cutter.finish()


def _check_pipeline(log: bytes) -> None:
    """The same story at once and line by line."""
    log += b"" if log.endswith(b"\n") else b"\n"
    told = []
    for pieces in ([log], [line + b"\n" for line in log.split(b"\n")[:-1]]):
        pipeline = Pipeline(Settings(zone=UTC, dovecot=True), keep=True)
        changes = [change for piece in pieces for change in pipeline.feed(piece, "log", REFERENCE).changes]
        changes += pipeline.finish().changes
        pipeline.drain()
        told.append(([(one.what, one.key, one.at) for one in changes], pipeline.counters.changed()))
    assert told[0] == told[1], "the pipeline's story depends on the blocks"


def _check_stretches(lines: bytes) -> None:
    """The same story in order and in stretches that are read apart."""
    if not BUILT or not lines:
        return
    dice, told = random.Random(lines), []
    places = sorted(lines.find(b"\n", dice.randrange(len(lines))) + 1 for _ in range(dice.choice((1, 3, 10))))
    pieces = [lines[begin:end] for begin, end in zip([0, *places], [*places, len(lines)], strict=True) if begin < end]
    for apart in (False, True):
        pipeline, reader = (
            Pipeline(Settings(zone=UTC, dovecot=True), whole=False),
            StretchReader(UTC, None, dovecot=True),
        )
        outcomes = [
            pipeline.follow(reader.read(piece, REFERENCE), "log", REFERENCE)
            if apart
            else pipeline.feed(piece, "log", REFERENCE)
            for piece in pieces
        ]
        pipeline.add("log", reader.counts(), [])
        outcomes.append(pipeline.finish())
        fates, counts = Counter[str](), Counter[Any]()
        for outcome in outcomes:
            assert outcome.tally is not None
            fates.update(outcome.tally.fates())
            for counted, keys in outcome.tally.counts.items():
                counts[counted] += sum(keys.values())
        changes = [(one.what, one.key, one.at) for outcome in outcomes for one in outcome.changes]
        built = [event for outcome in outcomes for event in outcome.built]
        told.append((fates, counts, changes, built, [loss for outcome in outcomes for loss in outcome.losses]))
    assert told[0] == told[1], "read in stretches it is something else"
