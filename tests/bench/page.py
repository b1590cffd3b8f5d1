"""The page about speed, made from a measurement.

What enters: results. What leaves: `docs/explanation/performance.md` and its plot. The same results give the same files.
What this file must never know: how anything is measured.
"""

import os
import platform
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from tests.bench.chart import Group, bars
from tests.bench.counted import differences
from tests.bench.measure import Spread
from tests.bench.peers import Peer
from tests.bench.results import Line, MixResult, cores_in_words, ratio
from tests.bench.scale import Step

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "performance.md"
PLOT = "performance.svg"

Rows = Sequence[Sequence[str]]
"""A table, its head first."""

INTRODUCTION = """\
# How fast it is

This page is written by `./dev bench --write`, from one run of it. `./dev bench` measures the same on your machine and
writes nothing.

## What is measured

Whole programs, from start to end, on log files that a [generator](../../tests/bench/generate.py) makes up together with
the truth of what is in them: each line is worded as Postfix words it. In the *normal* mix 8 of 100 lines are about
attacks, in the *attack* mix 80. pfwatch runs as `pfwatch replay --json`, in its default configuration.

* **In turns.** Every program runs once, then every program again; the first round is not counted. A ratio is of two
  runs in the same round, so it does not depend on how busy the machine was a minute ago. Numbers are medians of all
  rounds, and ratios come with their least and their greatest.
* **CPU time on one core.** All programs are bound to the same core. User and system time of the program and its
  children is what counts, because that is what a mail server has to share with it.
* **Elapsed time on all cores** for the script of pipes, which can use several at a time.
* **The counts are compared with the truth.** A program that is quick because it does not read everything would show.
* The start of a program is in its numbers, and weighs more in a short log. Slow programs are measured on a shorter log
  of the same mix and compared by the line; the table has the lengths.
"""

MORE = """\
## What pfwatch does in that time

The programs do different things with a log, so a ratio is not a verdict. In the time above, pfwatch

* reads *every* line of Postfix, from all its daemons, and accounts for each line of the log by its fate;
* reads addresses and names only from where Postfix itself writes them, so that text which a client typed cannot pass
  for another event;
* follows connections and messages through their lines: a TLS failure with the library's reason, a login with its
  client;
* counts failed logins, relay probes and TLS failures by client in a sliding window, opens and ends incidents, and
  decides which mails it would have sent.

A replay does not keep what its report does not show: the counters of `/metrics`, the accounts and the lines of an
incident. The daemon keeps them, and commits everything to its database once a second. `./dev live` measures the daemon.
"""

PARTS = """\
## What each part takes

By itself, as `python -m tests.bench.parts` measures it: CPU time of the quickest of several runs. Lines that are not
plain are read one by one. Without a C compiler, one pattern takes the place of compiled code.

"""

SCALE = """\
## Does a line cost more in a longer log?

The start of the program is subtracted; it is measured on an empty log. What is done once, when the first line of its
kind comes, weighs in a short log; *further* lines are those that the next shorter log has not. In the last log every
line is from somebody new, of whom only so many are remembered. `./dev bench --scale --lines 10000000` goes to ten
million.

"""


def write(
    results: Sequence[MixResult], scale: Sequence[Step], parts: Rows, peers: Sequence[Peer], page: Path = PAGE
) -> list[Path]:
    """Write the page and its plot; gives their paths."""
    plot = page.with_name(PLOT)
    page.write_text(text_of(results, scale, parts, peers), encoding="utf-8")
    plot.write_text(plot_of(results), encoding="utf-8")
    return [page, plot]


def text_of(results: Sequence[MixResult], scale: Sequence[Step], parts: Rows, peers: Sequence[Peer]) -> str:
    sections = [
        INTRODUCTION,
        _machine(peers),
        "## Lines in a second of one core\n",
        f"![Lines per CPU second]({PLOT})\n",
    ]
    sections += [_one_core(result) for result in results]
    sections += [_all_cores(result) for result in results if result.all_cores]
    sections += [_slower(results), _deviations(results), _peers(peers), MORE, _parts(parts), _scale(scale)]
    return "\n".join(section for section in sections if section)


def plot_of(results: Sequence[MixResult]) -> str:
    rates = [{line.name: line.rate for line in result.one_core} for result in results]
    names = list(dict.fromkeys(name for one in rates for name in one))
    groups = [Group(name, [one.get(name) for one in rates]) for name in names]
    return bars("Lines per CPU second", [f"{result.mix} mix" for result in results], groups)


def _machine(peers: Sequence[Peer]) -> str:
    versions = [f"{peer.package} {version}" for peer in peers if (version := peer.version())]
    rows = [
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("system", _system()),
        ("peers, by their packages", ", ".join(versions) or "versions are not known"),
    ]
    return "## On which machine\n\n" + _table(("", ""), rows)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _one_core(result: MixResult) -> str:
    first = result.one_core[0]
    heading = (
        f"**{result.mix.capitalize()} mix**, {first.lines:,} lines, {result.megabytes:.0f} MB, {result.runs} rounds:\n"
    )
    rows = [
        (
            one.name,
            f"{one.lines:,}",
            f"{one.middle.cpu:.3f}",
            f"{one.rate:,.0f}",
            _times(one.faster),
            _agreement(one),
        )
        for one in result.one_core
    ]
    rows += [(name, "", "", "", "", "not installed, not measured") for name in result.missing]
    head = (
        "",
        "lines",
        "CPU seconds",
        "lines per CPU second",
        "pfwatch is faster by (least to most)",
        "counts and the truth",
    )
    return f"{heading}\n{_table(head, rows)}"


def _all_cores(result: MixResult) -> str:
    heading = f"**{result.mix.capitalize()} mix on {cores_in_words(result.cores)}**, by elapsed time:\n"
    rows = [
        (one.name, f"{one.middle.elapsed:.3f}", f"{one.middle.cpu:.3f}", _times(one.faster)) for one in result.all_cores
    ]
    head = ("", "elapsed seconds", "CPU seconds", "pfwatch is faster by (least to most)")
    return f"{heading}\n{_table(head, rows)}"


def _times(spread: Spread | None) -> str:
    return f"{ratio(spread.middle)} ({ratio(spread.least)} to {ratio(spread.most)})" if spread else ""


def _agreement(one: Line) -> str:
    if not one.counted:
        return "not compared"
    wrong = len(differences(one.counted))
    return f"{wrong} of {len(one.counted)} differ" if wrong else f"{len(one.counted)} agree"


def _slower(results: Sequence[MixResult]) -> str:
    """Where pfwatch is not the faster one."""
    rows = [
        f"* {one.name}, {result.mix} mix{where}: pfwatch takes {1 / one.faster.middle:.2f} times as long "
        f"({1 / one.faster.most:.2f} to {1 / one.faster.least:.2f})\n"
        for result in results
        for where, lines in (("", result.one_core), (f", on {cores_in_words(result.cores)}, elapsed", result.all_cores))
        for one in lines
        if one.faster and one.faster.middle < 1
    ]
    if not rows:
        return "pfwatch was slower than none of them.\n"
    return "## Where pfwatch is slower\n\n" + "".join(rows)


def _deviations(results: Sequence[MixResult]) -> str:
    """Every count that is not the truth."""
    wrong = [
        f"* {one.name}, {result.mix} mix: "
        + ", ".join(f"{name} {said} of {true}" for name, said, true in differing)
        + "\n"
        for result in results
        for one in result.one_core
        if (differing := [count for count in one.counted if count.said != count.true])
    ]
    return "## Counts that differ from the truth\n\n" + "".join(wrong) if wrong else ""


def _peers(peers: Sequence[Peer]) -> str:
    return "## What the others do, and how they are run\n\n" + _table(
        ("", "what it does"), [(peer.tool.name, peer.how) for peer in peers]
    )


def _parts(parts: Rows) -> str:
    return PARTS + _table(parts[0], parts[1:])


def _scale(steps: Sequence[Step]) -> str:
    rows = [
        (
            what if not number else "",
            f"{one.lines:,}",
            f"{one.microseconds:.2f}",
            f"{one.further:.2f}",
            f"{one.memory:.0f}",
        )
        for what, group in groupby(steps, lambda one: one.what)
        for number, one in enumerate(group)
    ]
    head = ("", "lines", "microseconds of CPU time per line", "per further line", "resident memory, MiB")
    return SCALE + _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Numbers to the right."""
    marks = [
        "---:" if all(not cell or cell[0].isdigit() for cell in cells) and any(cells) else "---"
        for cells in zip(*rows, strict=True)
    ]
    lines = [head, marks, *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
