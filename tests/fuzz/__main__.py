"""`python -m tests.fuzz`: looks for lines that hold pfwatch up, break a promise or take its memory."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import growth, guided, memory, seeds

WHAT = ("growth", "guided", "memory")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("what", choices=WHAT, nargs="?", default="growth", help="default: growth")
    parser.add_argument("--seconds", type=int, default=600, help="time for the search; default: 600")
    parser.add_argument("--only", default="", help="growth: only rules and patterns whose name holds this text")
    parser.add_argument("--seed", type=int, default=1, help="growth: of the dice that choose among the attacks")
    parser.add_argument("--directory", type=Path, help="guided: keep corpus and findings here; else temporary")
    parser.add_argument("--lines", type=int, default=10_000_000, help="memory: how many")
    asked = parser.parse_args()
    if asked.what == "memory":
        return memory.show(asked.lines)
    if asked.what == "growth":
        return show_growth(asked.seconds, asked.only, asked.seed)
    with tempfile.TemporaryDirectory(prefix="pfwatch-fuzz-") as temporary:
        directory: Path = asked.directory or Path(temporary)
        seeds.write_seeds(directory / "corpus")
        return guided.run(asked.seconds, directory)


def show_growth(seconds: int, only: str, seed: int) -> int:
    """Tell every pattern and line whose time grows too fast; 1 when there is one."""
    begin, found = time.monotonic(), 0
    for search, share in ((growth.search_patterns, 0.6), (growth.search_lines, 1.0)):
        for one in search(begin + seconds * share, only, seed):
            sys.stdout.write(f"{one}\n")
            sys.stdout.flush()
            found += 1
    spent = time.monotonic() - begin
    sys.stdout.write(f"{found} found in {spent:.0f} seconds\n")
    if spent > seconds:
        sys.stdout.write("the time was over before everything was tried: give it more with --seconds\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
