"""Where a first start begins to read a log that is there already.

Enters: an open log and a moment. Leaves: the offset of the first line that is not older. This file must never know
what a line says behind its header.
"""

import os
from typing import BinaryIO

from pfwatch.records.container import ContainerLog
from pfwatch.records.header import FORMS, compile_form
from pfwatch.records.time import TimeReader

_LOOK = 64 * 1024
_PATTERNS = tuple(compile_form(form) for form in FORMS)


def first_line_since(log: BinaryIO, since: float, times: TimeReader) -> int:
    """The offset by bisection: records of one log stand in the order of time, or nearly."""
    low, high = 0, log.seek(0, os.SEEK_END)
    while high - low > _LOOK:
        middle = (low + high) // 2
        found = _first_record(log, middle, times)
        if found is None or found[1] >= since:
            high = middle
        else:
            low = found[0]
    return _first_since(log, low, since, times)


def _first_record(log: BinaryIO, offset: int, times: TimeReader) -> tuple[int, float] | None:
    """Offset and time of the first record that begins behind `offset` and has a time."""
    log.seek(offset)
    offset += len(log.readline())
    for line in log.read(_LOOK).splitlines(keepends=True):
        at = _time_of(line, times)
        if at is not None:
            return offset, at
        offset += len(line)
    return None


def _first_since(log: BinaryIO, offset: int, since: float, times: TimeReader) -> int:
    log.seek(offset)
    for line in log:
        at = _time_of(line, times)
        if at is not None and at >= since:
            return offset
        offset += len(line)
    return offset


def _time_of(line: bytes, times: TimeReader) -> float | None:
    line = b"\n" + ContainerLog().unwrap(line).rstrip(b"\r\n")
    for pattern in _PATTERNS:
        found = pattern.match(line)
        if found and found[1]:
            moment = times.read(found[1])
            return moment.at if moment else None
    return None
