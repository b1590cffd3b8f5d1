"""Hostile lines: whatever stands in a line, it is accounted for, and nothing stops."""

import re

import pytest

from pfwatch.parsing.grammar import every_rule
from pfwatch.pipeline import Pipeline, Settings
from tests.samples.logs import REFERENCE, read

EVERY = every_rule()
NUMBERS = (b"9" * 5000, b"9" * 400, b"1.2.3.4.5", b"", b"-1", b"0" * 30)
"""int() of more than 4,300 digits raises, a float of more than 308 is infinite, and some are no number at all."""


@pytest.mark.parametrize("name", EVERY)
def test_no_number_in_a_line_of_any_rule_stops_the_reading(name: str) -> None:
    head, _, body = EVERY[name][0].example.encode().partition(b"]: ")
    lines = [
        head + b"]: " + body[: found.start()] + number + body[found.end() :] + b"\n"
        for found in re.finditer(rb"[0-9]+", body)
        for number in NUMBERS
    ]
    log = b"".join(lines)
    for every_event in (True, False):
        tally = read(log, every_event=every_event)[1]
        assert sum(tally.fates().values()) == tally.total == len(lines)
    pipeline = Pipeline(Settings())
    pipeline.feed(log, "log", REFERENCE)
    pipeline.finish()
    assert all(value < 1e30 for value in pipeline.counters.changed().values())
