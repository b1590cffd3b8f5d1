"""`python -m tests.bench.journal`: how fast a journal is read, beside systemd-python and beside a log file.

Enters: nothing. Leaves: a table. One journal of four files is made of generated lines, with the 24 fields that journald
writes. Measured, in turns: the iteration that systemd-python documents, with every field converted, and pfwatch's way
through the same package to blocks of lines, in CPU seconds; and whole processes of `pfwatch replay` on the journal and
on a file of the very lines that it holds, in CPU seconds of all processes and in elapsed ones. With a second core the
journal is read beside the parser, so elapsed time is what somebody waits. It is no pass/fail test.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

from pfwatch.sources.journal.finished import read_journal
from pfwatch.sources.settings import JournalSettings, SourceSettings
from tests.bench.measure import Tool, measure, output_of, prepare
from tests.journals import of_lines, write_journal

_FILES = 4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.journal", description=__doc__)
    parser.add_argument("--entries", type=int, default=220_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mix", choices=("normal", "attack"), action="append", help="default: both")
    parser.add_argument("--directory", type=Path, help="keep the journal here for the next time; else temporary")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pfwatch-bench-") as temporary:
        directory: Path = asked.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        for mix in asked.mix or ("normal", "attack"):
            journal, log = made(directory, asked.entries, mix)
            cores = len(os.sched_getaffinity(0))
            sys.stdout.write(f"\n{mix}: {asked.entries:,} entries, {_FILES} files, {asked.runs} runs, {cores} cores\n")
            sys.stdout.write(table(journal, log, asked.runs))
    return 0


def made(directory: Path, entries: int, mix: str) -> tuple[Path, Path]:
    """A journal, and the file of its lines."""
    journal, log = directory / f"{mix}-{entries}.journals", directory / f"{mix}-{entries}.lines"
    if not log.exists():
        source, _ = prepare(directory, entries, mix, 1, "iso")
        with source.open("rb") as lines:
            for number in range(_FILES):
                write_journal(journal / f"{number}.journal", of_lines(islice(lines, -(-entries // _FILES))))
        log.write_bytes(b"".join(block.data for block in read_journal(settings(journal))))
    return journal, log


def settings(journal: Path) -> SourceSettings:
    return SourceSettings(journal=JournalSettings(directory=str(journal)))


def by_default(journal: Path) -> int:
    from systemd.journal import Reader

    with Reader(path=str(journal)) as reader:
        return sum(1 for _ in reader)


def by_pfwatch(journal: Path) -> int:
    return sum(block.data.count(b"\n") for block in read_journal(settings(journal)))


def timed(read: Callable[[Path], int], path: Path) -> float:
    """Entries in a second."""
    begin = time.process_time()
    number = read(path)
    return number / (time.process_time() - begin)


def table(journal: Path, log: Path, runs: int) -> str:
    gc.freeze()
    replay = (sys.executable, "-m", "pfwatch", "replay", "--json", "{file}")
    journal_tool, file_tool = Tool("replay of journal", replay), Tool("replay of file", replay)
    lines = log.read_bytes().count(b"\n")
    rounds: list[tuple[float, ...]] = []
    for _ in range(runs + 1):
        reading = timed(by_default, journal), timed(by_pfwatch, journal)
        of_file = measure(file_tool, log, output_of(file_tool, log))
        of_journal = measure(journal_tool, journal, output_of(journal_tool, journal))
        times = of_file.cpu, of_journal.cpu, of_file.elapsed, of_journal.elapsed
        rounds.append((*reading, *(lines / seconds for seconds in times)))
    columns = list(zip(*rounds[1:], strict=True))  # the first round warms up
    default, ours, file_cpu, journal_cpu, file_elapsed, journal_elapsed = columns
    rows = [
        ("systemd-python, default iteration", default, default),
        ("pfwatch, blocks of lines", ours, default),
        ("pfwatch replay, the lines as a file, CPU", file_cpu, file_cpu),
        ("pfwatch replay, the journal, CPU", journal_cpu, file_cpu),
        ("pfwatch replay, the lines as a file, elapsed", file_elapsed, file_elapsed),
        ("pfwatch replay, the journal, elapsed", journal_elapsed, file_elapsed),
    ]
    text = f"{'':<52} {'entries/s':>12} {'slowest':>10} {'ratio':>6}\n"
    for name, speeds, base in rows:
        ratio = median(one / other for one, other in zip(speeds, base, strict=True))
        text += f"{name:<52} {median(speeds):>12,.0f} {min(speeds):>10,.0f} {ratio:>6.2f}\n"
    same = output_of(journal_tool, journal).read_bytes() == output_of(file_tool, log).read_bytes()
    return text + ("both replays say the same\n" if same else "THE REPLAYS DIFFER\n")


if __name__ == "__main__":
    sys.exit(main())
