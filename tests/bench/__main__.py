"""`python -m tests.bench`: pfwatch beside its peers on logs of both mixes, and everybody's counts beside the truth."""

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench import page
from tests.bench.comparison import compare_mix
from tests.bench.counted import by_pfwatch, differences
from tests.bench.measure import ProgramError, Tool
from tests.bench.peers import Peer, all_peers
from tests.bench.results import MixResult, cores_in_words, table, verdict
from tests.bench.scale import Step, measure_scale, scale_table

REPLAY = (sys.executable, "-m", "pfwatch", "replay", "--json", "{file}")
KEYS = [peer.key for peer in all_peers()]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5, help="measured rounds, after one that warms up")
    parser.add_argument("--mix", choices=("normal", "attack"), action="append", help="default: both")
    parser.add_argument("--form", choices=("bsd", "iso"), default="bsd")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="keep the logs here for the next time; else temporary")
    parser.add_argument("--cpu", type=int, help="the core that everything runs on; default: the last one")
    parser.add_argument("--command", help="stands in for `python -m pfwatch replay --json {file}`; counts unchecked")
    parser.add_argument("--peer", choices=KEYS, action="append", help="only these, each with its own; default: all")
    parser.add_argument(
        "--all-cores", action="store_true", help="also the guide's script on all cores, by elapsed time"
    )
    parser.add_argument("--scale", action="store_true", help="instead: the cost of a line in logs of growing length")
    parser.add_argument(
        "--write", action="store_true", help=f"also write {page.PAGE.name} and its plot; measures everything"
    )
    asked = parser.parse_args(arguments)
    if asked.lines < 1 or asked.runs < 1:
        parser.error("--lines and --runs have to be 1 or more")
    cores = os.sched_getaffinity(0)
    if asked.cpu is not None and asked.cpu not in cores:
        parser.error(f"--cpu {asked.cpu} is not one of the cores this process may use: {sorted(cores)}")
    if asked.write and (asked.command or asked.peer or asked.mix or asked.scale):
        parser.error("--write measures everything: it goes without --command, --peer, --mix and --scale")
    core = max(cores) if asked.cpu is None else asked.cpu
    with tempfile.TemporaryDirectory(prefix="pfwatch-bench-") as temporary:
        directory: Path = asked.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            return run_scale(asked, directory, core) if asked.scale else run(asked, directory, core)
        except ProgramError as failure:
            sys.stderr.write(f"{failure}\n")
            return 1


def run(asked: argparse.Namespace, directory: Path, core: int) -> int:
    """Measure every mix; 1 when pfwatch counted something else than the truth."""
    asked.all_cores |= asked.write
    pfwatch = Peer("pfwatch", "pfwatch", Tool("pfwatch", REPLAY), by_pfwatch, "")
    if asked.command:
        stand_in = Tool("stand-in", tuple(shlex.split(asked.command)))
        pfwatch = Peer("stand-in", "", stand_in, lambda *_: [], "")
    peers = [peer for peer in all_peers(asked.form) if not asked.peer or peer.key in asked.peer]
    scale = list[Step]()
    if asked.write:  # first, because comparing counts makes this process larger, and no measured one seems smaller
        scale = measure_scale(asked.lines, asked.runs, directory, core, pfwatch.tool)
        sys.stdout.write(f"{scale_table(scale)}\n")
    results = []
    for mix in asked.mix or ("normal", "attack"):
        results.append(compare_mix(asked, mix, directory, core, pfwatch, peers))
        sys.stdout.write(f"\n{shown(results[-1], core)}\n")
        sys.stdout.flush()
    if asked.write:
        from tests.bench.parts import measure_parts  # only now, for the same reason

        parts = measure_parts(min(asked.lines, 100_000), asked.runs)
        for path in page.write(results, scale, parts, peers):
            sys.stdout.write(f"written: {path}\n")
    return 1 if any(differences(result.one_core[0].counted) for result in results) else 0


def run_scale(asked: argparse.Namespace, directory: Path, core: int) -> int:
    scale = measure_scale(asked.lines, asked.runs, directory, core, Tool("pfwatch", REPLAY))
    sys.stdout.write(f"{scale_table(scale)}\n")
    return 0


def shown(result: MixResult, core: int) -> str:
    """The results of a mix for a terminal."""
    lines = result.one_core[0].lines
    parts = [
        f"{result.mix}: {lines:,} lines, {result.megabytes:.0f} MB, {result.form}, core {core}, {result.runs} runs",
        table(result.one_core),
    ]
    parts += [f"{name} is not installed: not measured" for name in result.missing]
    if result.all_cores:
        parts += [f"\n{result.mix}, on {cores_in_words(result.cores)}, faster by elapsed time", table(result.all_cores)]
    return "\n".join([*parts, "", *map(verdict, result.one_core)])


if __name__ == "__main__":
    sys.exit(main())
