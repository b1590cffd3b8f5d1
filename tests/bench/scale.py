"""What a line costs in logs of growing length, and in one where every line is from somebody else.

What enters: the length of the longest log. What leaves: microseconds per line, the start of the program subtracted, and
memory. What this file must never know: how pfwatch reads a line.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.generate import CHUNK
from tests.bench.measure import Log, Tool, compare, prepared
from tests.bench.results import columns

SHORTEST = 10_000
STRANGERS = 1_000_000
SHORT = 100_000
SHORT_RUNS = 10
"""Of logs that take no longer than the program's start, which varies."""


class Step(NamedTuple):
    """One log."""

    what: str
    lines: int
    microseconds: float
    """Of CPU time for a line, the program's start subtracted."""
    further: float
    """The same of those lines that the next shorter log has not: what is done once, at the first line of its kind, is
    not in it.
    """
    memory: float
    """The greatest resident set, in MiB."""


def measure_scale(lines: int, runs: int, directory: Path, core: int, pfwatch: Tool) -> list[Step]:
    """The shortest log, ten times as long, and so on up to this many lines, of both mixes; then strangers alone."""
    empty = directory / "empty.log"
    empty.write_bytes(b"")
    lengths = [SHORTEST * 10**power for power in range(9) if SHORTEST * 10**power <= lines] or [lines]
    logs = [
        (f"{mix} mix", prepared(directory, length, mix, 1, "bsd")) for mix in ("normal", "attack") for length in lengths
    ]
    strangers = min(lines, STRANGERS)
    logs.append(("a failed login from another address in each line", write_strangers(directory, strangers)))
    # Named by their logs, because the tool is always the same.
    named = [
        (Tool(log.path.stem, pfwatch.command), log) for log in (Log(empty, empty, 0), *(log for _, log in logs))
    ]  # fmt: skip
    rounds = compare([one for one in named if one[1].lines <= SHORT], max(runs, SHORT_RUNS), {core})
    rounds |= compare([one for one in named if one[1].lines > SHORT], runs, {core})
    # The least, not the middle: what disturbs only adds, and ten thousand lines take less than a start varies.
    least = {name: min(run.cpu for run in measured) for name, measured in rounds.items()}
    begin, steps = least[empty.stem], list[Step]()
    before = "", 0, begin
    for what, log in logs:
        used = least[log.path.stem]
        _, fewer, less = before if before[0] == what else ("", 0, begin)
        memory = max(run.memory for run in rounds[log.path.stem])
        further = (used - less) / (log.lines - fewer)
        steps.append(Step(what, log.lines, (used - begin) / log.lines * 1e6, further * 1e6, memory))
        before = what, log.lines, used
    return steps


def scale_table(steps: Sequence[Step]) -> str:
    rows = [("", "lines", "microseconds per line", "per further line", "RSS MiB")]
    rows += [
        (one.what, f"{one.lines:,}", f"{one.microseconds:.2f}", f"{one.further:.2f}", f"{one.memory:.0f}")
        for one in steps
    ]
    return columns(rows)


def write_strangers(directory: Path, lines: int) -> Log:
    """A log in which every line is a failed login from another address."""
    path = directory / f"strangers-{lines}.log"
    with path.open("wb") as file:
        file.writelines(strangers(lines))
    return Log(path, path, lines)


def strangers(lines: int) -> Iterator[bytes]:
    """At most four million: the addresses are those of 100.64.0.0/10, which is nobody's."""
    pending: list[str] = []
    for number in range(lines):
        second, address = number // 50 + 6 * 3600, f"100.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        day, second = 2 + second // 86_400, second % 86_400
        at = f"Mar {day:2} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        reason = "SASL LOGIN authentication failed: (reason unavailable), sasl_username=info"
        pending.append(f"{at} mx1 postfix/smtpd[{2000 + number % 64}]: warning: unknown[{address}]: {reason}\n")
        if len(pending) * 130 > CHUNK:
            yield "".join(pending).encode("ascii")
            pending = []
    yield "".join(pending).encode("ascii")
