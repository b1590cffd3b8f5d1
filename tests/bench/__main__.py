"""`python -m tests.bench`: pfwatch beside its peers on logs of both mixes, and its counts against the truth."""

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path

from tests.bench.measure import ProgramError, Tool, check, compare, installed, output_of, prepare, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5, help="measured rounds, after one that warms up")
    parser.add_argument("--mix", choices=("normal", "attack"), action="append", help="default: both")
    parser.add_argument("--form", choices=("bsd", "iso"), default="bsd")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="keep the logs here for the next time; else temporary")
    parser.add_argument("--cpu", type=int, help="the core that everything runs on; default: the last one")
    parser.add_argument("--command", help="stands in for `python -m pfwatch replay --json {file}`; counts unchecked")
    asked = parser.parse_args()
    if asked.lines < 1 or asked.runs < 1:
        parser.error("--lines and --runs have to be 1 or more")
    cores = os.sched_getaffinity(0)
    if asked.cpu is not None and asked.cpu not in cores:
        parser.error(f"--cpu {asked.cpu} is not one of the cores this process may use: {sorted(cores)}")
    core = max(cores) if asked.cpu is None else asked.cpu
    with tempfile.TemporaryDirectory(prefix="pfwatch-bench-") as temporary:
        directory: Path = asked.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            return run(asked, directory, core)
        except ProgramError as failure:
            sys.stderr.write(f"{failure}\n")
            return 1


def run(asked: argparse.Namespace, directory: Path, core: int) -> int:
    """Measure every mix; 1 when pfwatch counted something else than the truth."""
    replay = (sys.executable, "-m", "pfwatch", "replay", "--json", "{file}")
    pfwatch = Tool("stand-in", tuple(shlex.split(asked.command))) if asked.command else Tool("pfwatch", replay)
    found = [installed("pflogsumm", "pflogsumm", "{file}"), installed("wc -l", "wc", "-l", "{file}")]
    tools = [pfwatch, *(tool for tool in found if tool), Tool("python -c pass", (sys.executable, "-c", "pass"))]
    if found[0] is None:
        sys.stdout.write("pflogsumm is not installed (Debian package pflogsumm): no ratios\n")
    wrong = []
    for mix in asked.mix or ("normal", "attack"):
        log, truth = prepare(directory, asked.lines, mix, asked.seed, asked.form)
        os.sched_setaffinity(0, {core})  # the measured processes inherit it
        rounds = compare(tools, log, asked.runs)
        megabytes = log.stat().st_size / 1e6
        title = f"{mix}: {asked.lines:,} lines, {megabytes:.0f} MB, {asked.form}, core {core}, {asked.runs} runs"
        sys.stdout.write(f"\n{title}\n{table(rounds, asked.lines)}\n")
        if asked.command:
            sys.stdout.write("counts not checked: --command stands in for pfwatch\n")
            continue
        differences = check(output_of(pfwatch, log), truth)
        sys.stdout.write("\n".join(differences or ["counts agree with the truth"]) + "\n")
        wrong += differences
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
