"""Where a first start begins to read a log that is there already.

Enters: an open log and a moment. Leaves: the offset of the first line that is not older. This file must never know
what a line says behind its header.
"""

import math
import os
from collections.abc import Iterator
from typing import BinaryIO

from pfwatch.records.container import ContainerLog
from pfwatch.records.header import FORMS, compile_form
from pfwatch.records.time import TimeReader

_LOOK = 64 * 1024
"""Bytes in which a record is looked for, and the most that is taken of one line: there may be megabytes without a line
feed.
"""
_PATTERNS = tuple(compile_form(form) for form in FORMS)


def first_line_since(log: BinaryIO, since: float, times: TimeReader) -> int:
    """The offset by bisection: records of one log stand in the order of time, or nearly."""
    low, high = 0, log.seek(0, os.SEEK_END)
    while high - low > _LOOK:
        middle = (low + high) // 2
        found = _first_record(log, middle, high, times)
        if found is None or found[1] >= since:
            high = middle
        else:
            low = found[0]
    return _first_since(log, low, since, times)


def _first_record(log: BinaryIO, offset: int, end: int, times: TimeReader) -> tuple[int, float] | None:
    """Offset and time of the first record that begins behind `offset`, before `end`, and has a time."""
    log.seek(offset)
    if not _leave_line(log, end):
        return None
    begin = log.tell()
    for place, line in _lines(log):
        at = _time_of(line, times)
        if at is not None:
            return place, at
        if place - begin > _LOOK:
            break
    return None


def _first_since(log: BinaryIO, offset: int, since: float, times: TimeReader) -> int:
    """The offset of the first line that is not older; else of what is behind the last whole one, which may yet get its
    end.
    """
    log.seek(offset)
    places = (place for place, line in _lines(log) if not line or (_time_of(line, times) or -math.inf) >= since)
    return next(places, offset)


def _lines(log: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Where each line begins, and how; last, where the last whole one ends, and nothing."""
    offset = log.tell()
    while line := log.readline(_LOOK):
        if not line.endswith(b"\n") and not _leave_line(log):
            break
        yield offset, line
        offset = log.tell()
    yield offset, b""


def _leave_line(log: BinaryIO, end: float = math.inf) -> bool:
    """Go behind the next line feed; False when there is none before `end`."""
    while piece := log.readline(_LOOK):
        if piece.endswith(b"\n"):
            return True
        if log.tell() >= end:
            break
    return False


def _time_of(line: bytes, times: TimeReader) -> float | None:
    line = b"\n" + ContainerLog().unwrap(line).rstrip(b"\r\n")
    for pattern in _PATTERNS:
        found = pattern.match(line)
        if found and found[1]:
            moment = times.read(found[1])
            return moment.at if moment else None
    return None
