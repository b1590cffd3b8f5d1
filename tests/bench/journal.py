"""`python -m tests.bench.journal`: how fast a journal is read, beside systemd-python and beside a log file.

Enters: nothing. Leaves: a table. One journal of four files is made of generated lines, with the 24 fields that journald
writes. Measured, in turns and on one core, as CPU seconds: the iteration that systemd-python documents, with every
field converted; pfwatch's way through the same package to blocks of lines; and whole processes of `pfwatch replay` on
the journal and on a file of the very lines that it holds. It is no pass/fail test.
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

from pfwatch.sources.journal_finished import read_journal
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
    parser.add_argument("--cpu", type=int, help="the core that everything runs on; default: the last one")
    asked = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if asked.cpu is None else asked.cpu})
    with tempfile.TemporaryDirectory(prefix="pfwatch-bench-") as temporary:
        directory: Path = asked.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        for mix in asked.mix or ("normal", "attack"):
            journal, log = made(directory, asked.entries, mix)
            sys.stdout.write(f"\n{mix}: {asked.entries:,} entries in {_FILES} files, {asked.runs} runs, CPU seconds\n")
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
    default: list[float] = []
    ours: list[float] = []
    of_journal: list[float] = []
    of_file: list[float] = []
    lines = log.read_bytes().count(b"\n")
    for run in range(runs + 1):
        found = (
            timed(by_default, journal), timed(by_pfwatch, journal),
            lines / measure(journal_tool, journal, output_of(journal_tool, journal)).cpu,
            lines / measure(file_tool, log, output_of(file_tool, log)).cpu,
        )  # fmt: skip
        if run:  # the first one warms up
            for speeds, speed in zip((default, ours, of_journal, of_file), found, strict=True):
                speeds.append(speed)
    rows = [
        ("systemd-python, default iteration", default, default),
        ("pfwatch, blocks of lines", ours, default),
        ("pfwatch replay, whole process, the lines as a file", of_file, of_file),
        ("pfwatch replay, whole process, the journal", of_journal, of_file),
    ]
    text = f"{'':<52} {'entries/s':>12} {'slowest':>10} {'ratio':>6}\n"
    for name, speeds, base in rows:
        ratio = median(one / other for one, other in zip(speeds, base, strict=True))
        text += f"{name:<52} {median(speeds):>12,.0f} {min(speeds):>10,.0f} {ratio:>6.2f}\n"
    same = output_of(journal_tool, journal).read_bytes() == output_of(file_tool, log).read_bytes()
    return text + ("both replays say the same\n" if same else "THE REPLAYS DIFFER\n")


if __name__ == "__main__":
    sys.exit(main())
