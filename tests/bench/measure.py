"""Whole programs measured beside each other on the same log.

What enters: commands and log files. What leaves: CPU seconds, elapsed seconds and memory of whole processes, as a plain
table, and the differences between what pfwatch counted and the truth. What this file must never know: anything of
pfwatch but its command line and the keys of its JSON.
"""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
REFERENCE = "pflogsumm"
# Their lines are accounted for under `lines`, whether or not `counts` names them.
NOT_COMPARED = {"foreign", "unsupported", "malformed", "tls_detail"}


class ProgramError(Exception):
    """A measured program did not end well; says which, how, and its last words."""


@dataclass(frozen=True)
class Tool:
    """A program to measure; `{file}` in its command stands for the log."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One process from start to end: user and system CPU seconds, elapsed seconds, greatest resident set in MiB."""

    cpu: float
    elapsed: float
    memory: float


def installed(name: str, *command: str) -> Tool | None:
    return Tool(name, command) if shutil.which(command[0]) else None


def prepare(directory: Path, lines: int, mix: str, seed: int, form: str) -> tuple[Path, Path]:
    """The log and its truth from the directory, written first if this generator has not written them there yet."""
    generator = hashlib.sha256((HERE / "generate.py").read_bytes()).hexdigest()[:12]
    log = directory / f"{mix}-{lines}-{seed}-{form}-{generator}.log"
    truth = log.with_suffix(".json")
    if not (log.exists() and truth.exists()):
        unfinished = log.with_suffix(".unfinished")
        # In a process of its own, because this one's memory is the least that can be measured.
        command = [
            sys.executable,
            "-m",
            "tests.bench.generate",
            "--lines",
            str(lines),
            "--mix",
            mix,
            "--seed",
            str(seed),
        ]
        command += ["--form", form, "--output", str(unfinished), "--truth", str(truth)]
        if subprocess.run(command, check=False).returncode:
            raise ProgramError(f"no log to measure with: `{' '.join(command)}` failed; its message stands above")
        unfinished.rename(log)
    return log, truth


def measure(tool: Tool, log: Path, output: Path) -> Run:
    """Run a program to its end, its standard output into a file; raise ProgramError unless it exits with 0."""
    command = [part.replace("{file}", str(log)) for part in tool.command]
    complaints = output.with_suffix(".stderr")
    created = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), created, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, str(complaints), created, 0o600),
    ]
    started = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=streams)
    _, status, usage = os.wait4(pid, 0)
    elapsed = time.perf_counter() - started
    if status:
        last_words = complaints.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
        code = os.waitstatus_to_exitcode(status)
        raise ProgramError(f"{tool.name}: `{' '.join(command)}` ended with {code}: {last_words[0]}")
    return Run(usage.ru_utime + usage.ru_stime, elapsed, usage.ru_maxrss / 1024)


def compare(tools: Sequence[Tool], log: Path, runs: int) -> dict[str, list[Run]]:
    """Every tool once, then every tool again, for neighbours in time share a machine's moods; the first is warm-up."""
    rounds: dict[str, list[Run]] = {tool.name: [] for tool in tools}
    for number in range(runs + 1):
        for tool in tools:
            run = measure(tool, log, output_of(tool, log))
            if number:
                rounds[tool.name].append(run)
    return rounds


def output_of(tool: Tool, log: Path) -> Path:
    return log.with_suffix(f".{tool.name.replace(' ', '-').replace('/', '-')}.output")


def table(rounds: Mapping[str, Sequence[Run]], lines: int) -> str:
    """Medians, and how many times the CPU time of a tool the reference took, pair by pair of one round."""
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [("", "CPU s", "elapsed s", "lines per CPU s", "RSS MiB", f"faster than {REFERENCE}: min median max")]
    for name, measured in rounds.items():
        cpu = median(run.cpu for run in measured)
        memory = median(run.memory for run in measured)
        rows.append(
            (
                name,
                f"{cpu:.3f}",
                f"{median(run.elapsed for run in measured):.3f}",
                f"{lines / cpu:,.0f}" if cpu else "-",
                # A child starts as a copy of this process, and the kernel remembers that as its greatest size.
                f"{memory:.0f}" if memory > floor + 1 else f"<= {floor:.0f}",
                _ratios(measured, rounds.get(REFERENCE, ())),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _ratios(measured: Sequence[Run], reference: Sequence[Run]) -> str:
    ratios = [there.cpu / here.cpu for here, there in zip(measured, reference, strict=False) if here.cpu]
    return f"{min(ratios):.2f}  {median(ratios):.2f}  {max(ratios):.2f}" if ratios else "-"


def mismatches(report: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    """Where the JSON of `pfwatch replay` and the truth of the log differ; one line for each number."""
    kinds: dict[str, int] = truth["kinds"]
    lines, counts = report.get("lines", {}), report.get("counts", {})
    parts = kinds.get("tls_detail", 0)
    read = lines.get("events", 0) + lines.get("tallied", 0)
    pairs = [
        ("lines.total", lines.get("total"), truth["lines"]),
        ("lines.events + lines.tallied", read, truth["lines"] - truth["foreign"] - parts),
        ("lines.parts", lines.get("parts"), parts),
        ("lines.foreign", lines.get("foreign"), truth["foreign"]),
        ("lines.unsupported", lines.get("unsupported"), 0),
        ("lines.malformed", lines.get("malformed"), 0),
    ]
    compared = sorted((kinds.keys() | counts.keys()) - NOT_COMPARED)
    pairs += [(f"counts.{kind}", counts.get(kind, 0), kinds.get(kind, 0)) for kind in compared]
    return [f"MISMATCH {name}: reported {got}, true {true}" for name, got, true in pairs if got != true]


def check(output: Path, truth: Path) -> list[str]:
    """The mismatches of a finished `pfwatch replay --json`."""
    try:
        report = json.loads(output.read_bytes())
    except ValueError as error:
        return [f"MISMATCH {output}: not the JSON of a replay ({error})"]
    if not isinstance(report, dict):
        return [f"MISMATCH {output}: the JSON of a replay is an object, this is a {type(report).__name__}"]
    return mismatches(report, json.loads(truth.read_bytes()))
