"""`python -m tests.crash`: kills pfwatch again and again while its log grows and rotates; nothing may be missing."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.crash.compare import table
from tests.crash.run import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev crash", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs, at random moments")
    parser.add_argument("--rotations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mix", choices=("normal", "attack"), default="normal")
    parser.add_argument("--directory", type=Path, help="an empty folder to keep everything in; else temporary")
    asked = parser.parse_args()
    if asked.lines < 1 or asked.kills < 0 or asked.rotations < 0:
        parser.error("--lines has to be 1 or more, --kills and --rotations 0 or more")
    plan = Plan(asked.lines, asked.kills, asked.rotations, asked.seed, asked.mix)
    with tempfile.TemporaryDirectory(prefix="pfwatch-crash-") as temporary:
        folder: Path = asked.directory or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = asyncio.run(run(folder, plan, say))
    say("\n".join([*result.notes, "", table(result.rows)]))
    if not result.differences:
        say("\nno difference")
        return 0
    say("\nDIFFERENT. What pfwatch said, with the times:")
    say("\n".join(f"{times:6} {line}" for line, times in result.said.most_common(20)))
    return 1


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
