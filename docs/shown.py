"""The output that hand-written pages show: of every command in a `console` block, run again.

Enters: a page. Leaves: the page with each command's output as it is now. A line `…` at the end of an output stands for
the rest. This file must never know which pages there are.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"(?ms)^```console\n(.*?)^```$")
_COMMAND = re.compile(r"(?m)^\$ pfwatch (replay|events|explain|unread|check-config|version|--help)\b.*(?:\\\n.*)*$")
MORE = "…"


def refreshed(page: str) -> str:
    """The page with every shown output as the commands print it now."""
    return _BLOCK.sub(lambda block: f"```console\n{_block(block[1])}```", page)


def _block(block: str) -> str:
    command = _COMMAND.match(block)
    if command is None:
        return block
    lines = _output(command[0].removeprefix("$ pfwatch ")).splitlines()
    shown = block[command.end() + 1 :].splitlines()
    if shown and shown[-1] == MORE:
        lines = [*lines[: len(shown) - 1], MORE]
    return "\n".join((command[0], *lines)) + "\n"


def _output(arguments: str) -> str:
    """What the command writes; its lines on standard error come last. An empty one is a failure to write about."""
    done = subprocess.run(  # noqa: S603 - pfwatch, with what our own pages say
        [sys.executable, "-m", "pfwatch", *shlex.split(arguments)],
        cwd=ROOT,
        env={**os.environ, "TZ": "UTC", "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = done.stdout + done.stderr
    if not output:
        raise RuntimeError(f"pfwatch {arguments}: prints nothing")
    return output
