"""pfwatch and its peers on logs of one mix.

What enters: what is to be measured, and where. What leaves: the results. What this file must never know: how results
are shown.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from tests.bench.counted import Counted, check
from tests.bench.measure import Log, Tool, compare, output_of, prepared
from tests.bench.peers import Peer
from tests.bench.results import Line, MixResult, line

SLOW_LINES = 200_000
"""The length of the log of slow peers, which take ten seconds and more for a million lines. Long enough for their start
to weigh little.
"""
GUIDE = "guide"


def compare_mix(
    asked: argparse.Namespace, mix: str, directory: Path, core: int, pfwatch: Peer, peers: Sequence[Peer]
) -> MixResult:
    """Measure one mix on one core and, if asked, the guide's script on all."""
    log = prepared(directory, asked.lines, mix, asked.seed, asked.form)
    short = prepared(directory, min(asked.lines, SLOW_LINES), mix, asked.seed, asked.form)
    present = [peer for peer in peers if peer.installed]
    chosen: list[tuple[Peer, Log]] = [(pfwatch, log), *((peer, short if peer.slow else log) for peer in present)]
    cores = os.sched_getaffinity(0)
    guide = [peer for peer in present if peer.key == GUIDE]
    return MixResult(
        mix,
        log.path.stat().st_size / 1e6,
        asked.form,
        asked.runs,
        _measured(chosen, asked.runs, {core}),
        _measured([(pfwatch, log), (guide[0], log)], asked.runs, cores, by_elapsed=True)
        if asked.all_cores and guide
        else (),
        len(cores),
        [peer.tool.name for peer in peers if not peer.installed],
    )


def _measured(
    chosen: Sequence[tuple[Peer, Log]], runs: int, cores: set[int], *, by_elapsed: bool = False
) -> list[Line]:
    """A line for each, the first being the one that the others are compared with."""
    rounds = compare([(peer.tool, log) for peer, log in chosen], runs, cores)
    first, first_log = chosen[0]
    reference = rounds[first.tool.name], first_log.lines
    lines = []
    for peer, log in chosen:
        compared = None if peer is first else reference
        counted = _counted(peer, peer.tool, log)
        lines.append(line(peer.tool, rounds[peer.tool.name], log.lines, counted, compared, by_elapsed=by_elapsed))
    return lines


def _counted(peer: Peer, tool: Tool, log: Log) -> list[Counted]:
    return check(peer.counts, output_of(tool, log.path), log.truth, log.path)
