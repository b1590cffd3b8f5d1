"""Whole programs measured beside each other, each on a log that another process has written.

What enters: commands and log files. What leaves: CPU seconds, elapsed seconds and memory of whole processes, round by
round, and how many times as fast one program is as another. What this file must never know: what a program says about
a log, or how a number is shown.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).parent


class ProgramError(Exception):
    """A measured program did not end well; says which, how, and its last words."""


@dataclass(frozen=True)
class Run:
    """One program from start to end, its children with it: user and system CPU seconds, elapsed seconds, greatest
    resident set in MiB.
    """

    cpu: float
    elapsed: float
    memory: float


class Log(NamedTuple):
    """A log to measure with, and the file with the truth about it."""

    path: Path
    truth: Path
    lines: int


@dataclass(frozen=True)
class Tool:
    """A program to measure; `{file}` in its command stands for the log."""

    name: str
    command: tuple[str, ...]
    standard_input: bool = False
    """Give it the log there."""
    measured_by: "Callable[[Tool, Path, Path], Run] | None" = None
    """For a program that does not end by itself."""


class Spread(NamedTuple):
    """How many times as fast, over all rounds."""

    least: float
    middle: float
    most: float


def prepare(directory: Path, lines: int, mix: str, seed: int, form: str) -> tuple[Path, Path]:
    """The log and its truth from the directory, written first if this generator has not written them there yet."""
    generator = hashlib.sha256((HERE / "generate.py").read_bytes()).hexdigest()[:12]
    path = directory / f"{mix}-{lines}-{seed}-{form}-{generator}.log"
    truth = path.with_suffix(".json")
    if not (path.exists() and truth.exists()):
        unfinished = path.with_suffix(".unfinished")
        # In a process of its own, because this one's memory is the least that can be measured.
        command = [sys.executable, "-m", "tests.bench.generate", "--lines", str(lines), "--mix", mix]
        command += ["--seed", str(seed), "--form", form, "--output", str(unfinished), "--truth", str(truth)]
        if subprocess.run(command, check=False).returncode:
            raise ProgramError(f"no log to measure with: `{' '.join(command)}` failed; its message stands above")
        unfinished.rename(path)
    return path, truth


def prepared(directory: Path, lines: int, mix: str, seed: int, form: str) -> Log:
    """The same with its length."""
    return Log(*prepare(directory, lines, mix, seed, form), lines)


def measure(tool: Tool, log: Path, output: Path) -> Run:
    """Run a program to its end, its standard output into a file; raise ProgramError unless it exits with 0."""
    if tool.measured_by is not None:
        return tool.measured_by(tool, log, output)
    started = time.perf_counter()
    pid = start(tool, log, output)
    _, status, usage = os.wait4(pid, 0)
    elapsed = time.perf_counter() - started
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise ProgramError(f"{tool.name}: `{' '.join(tool.command)}` ended with {code}: {last_words(output)}")
    return Run(usage.ru_utime + usage.ru_stime, elapsed, usage.ru_maxrss / 1024)


def start(tool: Tool, log: Path, output: Path) -> int:
    """Start a program; gives its process id."""
    command = [part.replace("{file}", str(log)) for part in tool.command]
    created = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, str(log) if tool.standard_input else os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), created, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, str(output.with_suffix(".stderr")), created, 0o600),
    ]
    try:
        return os.posix_spawnp(command[0], command, os.environ, file_actions=streams)
    except OSError as error:
        raise ProgramError(f"{tool.name}: `{' '.join(command)}` cannot be started: {error.strerror}") from error


def last_words(output: Path) -> str:
    """The last line that a program wrote to its standard error."""
    complaints = output.with_suffix(".stderr").read_text(errors="replace").strip().splitlines()
    return complaints[-1] if complaints else "no message"


def compare(tools: Sequence[tuple[Tool, Log]], runs: int, cores: set[int]) -> dict[str, list[Run]]:
    """Every tool once, then every tool again, for neighbours in time share a machine's moods; the first is warm-up.

    All run on these cores and no other.
    """
    rounds: dict[str, list[Run]] = {tool.name: [] for tool, _ in tools}
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # the measured processes inherit it
    try:
        for number in range(runs + 1):
            for tool, log in tools:
                run = measure(tool, log.path, output_of(tool, log.path))
                if number:
                    rounds[tool.name].append(run)
    finally:
        os.sched_setaffinity(0, allowed)
    return rounds


def output_of(tool: Tool, log: Path) -> Path:
    """Where what a program says about a log is written."""
    return log.with_suffix(f".{tool.name.replace(' ', '-').replace('/', '-')}.output")


def cpu_per_line(run: Run, lines: int) -> float:
    return run.cpu / lines


def elapsed_per_line(run: Run, lines: int) -> float:
    return run.elapsed / lines


def times_as_fast(
    first: tuple[Sequence[Run], int], second: tuple[Sequence[Run], int], cost: Callable[[Run, int], float]
) -> Spread:
    """How many times as fast the first program is as the second, pair by pair of one round; each is given with the
    lines of its log.
    """
    (here, lines_here), (there, lines_there) = first, second
    pairs = zip(here, there, strict=True)
    ratios = [cost(two, lines_there) / max(cost(one, lines_here), 1e-12) for one, two in pairs]
    return Spread(min(ratios), median(ratios), max(ratios))


def medians(rounds: Mapping[str, Sequence[Run]]) -> dict[str, Run]:
    """The middle of each number by itself."""
    return {
        name: Run(
            median(run.cpu for run in runs), median(run.elapsed for run in runs), median(run.memory for run in runs)
        )
        for name, runs in rounds.items()
    }
