"""Results of measurements, and their tables for a terminal.

What enters: runs of programs, and what they counted. What leaves: plain values, and text in columns. What this file
must never know: how a program is run.
"""

import resource
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.counted import Counted, differences
from tests.bench.measure import Run, Spread, Tool, cpu_per_line, elapsed_per_line, medians, times_as_fast

HEADINGS = ("", "lines", "CPU s", "elapsed s", "lines per CPU s", "RSS MiB", "pfwatch is faster: min median max")


@dataclass(frozen=True)
class Line:
    """A program on one log: medians, and how many times as fast pfwatch was, if that was compared."""

    name: str
    lines: int
    middle: Run
    faster: Spread | None
    counted: Sequence[Counted] = ()

    @property
    def rate(self) -> float:
        """Lines in a CPU second."""
        return self.lines / max(self.middle.cpu, 1e-6)


@dataclass(frozen=True)
class MixResult:
    """Everything measured on logs of one mix. The first line is that of pfwatch."""

    mix: str
    megabytes: float
    form: str
    runs: int
    one_core: Sequence[Line]
    all_cores: Sequence[Line] = ()
    cores: int = 1
    missing: Sequence[str] = field(default_factory=tuple)
    """Names of the peers that are not installed."""


def line(
    tool: Tool,
    runs: Sequence[Run],
    lines: int,
    counted: Sequence[Counted] = (),
    reference: tuple[Sequence[Run], int] | None = None,
    *,
    by_elapsed: bool = False,
) -> Line:
    """A program's runs, compared with those of the reference by CPU time, or by elapsed time."""
    cost = elapsed_per_line if by_elapsed else cpu_per_line
    faster = times_as_fast(reference, (runs, lines), cost) if reference else None
    return Line(tool.name, lines, medians({tool.name: runs})[tool.name], faster, counted)


def cores_in_words(cores: int) -> str:
    return f"{cores} cores" if cores > 1 else "one core"


def ratio(times: float) -> str:
    """Two decimals, and more for what is far below one."""
    return f"{times:.2f}" if times >= 0.1 else f"{times:.4f}"


def shown_spread(spread: Spread | None) -> str:
    return "  ".join(map(ratio, spread)) if spread else "-"


def cells(one: Line) -> tuple[str, ...]:
    """A row under `HEADINGS`."""
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        one.name,
        f"{one.lines:,}",
        f"{one.middle.cpu:.3f}",
        f"{one.middle.elapsed:.3f}",
        f"{one.rate:,.0f}",
        # A child starts as a copy of this process, and the kernel remembers that as its greatest size.
        f"{one.middle.memory:.0f}" if one.middle.memory > floor + 1 else f"<= {floor:.0f}",
        shown_spread(one.faster),
    )


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def table(lines: Sequence[Line]) -> str:
    return columns([HEADINGS, *map(cells, lines)])


def verdict(one: Line) -> str:
    """Whether a program counted what is true, in a line or a few."""
    if not one.counted:
        return f"{one.name}: counts not compared"
    wrong = differences(one.counted)
    return (
        "\n".join(f"{one.name}: {text}" for text in wrong)
        or f"{one.name}: counts agree with the truth ({len(one.counted)} compared)"
    )
