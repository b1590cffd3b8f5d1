"""`python -m tests.bench.live`: what following a log takes that grows at a rate, or by many lines at once.

CPU seconds are those of the daemon alone, so they say the same on a busy machine; waiting times do not.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.generate import Mix, generate

STEPS = 10
"""Writes in a second."""
SCRAPE_EVERY = 5.0
BURST_RATE = 1_000
PATIENCE = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Daemon:
    """A running `pfwatch run`, looked at from outside."""

    process: subprocess.Popen[str]
    folder: Path
    address: str = ""
    scrapes: list[float] = field(default_factory=list)
    """Seconds that each took."""
    lags: list[float] = field(default_factory=list)
    unanswered: int = 0
    """Scrapes that got none in time."""

    def cpu(self) -> float:
        """Seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self, what: str) -> float:
        """MiB; `VmRSS` now, `VmHWM` at most so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))

    def scrape(self) -> None:
        """As Prometheus does it."""
        begin = time.monotonic()
        try:
            with urllib.request.urlopen(f"{self.address}/metrics", timeout=10) as answer:  # noqa: S310 - it is http
                text = answer.read().decode()
        except OSError:
            self.unanswered += 1
            return
        self.scrapes.append(time.monotonic() - begin)
        self.lags += [float(line.split()[-1]) for line in text.splitlines() if line.startswith("pfwatch_source_lag_s")]

    def unread(self) -> int:
        """Bytes of the log behind the committed position."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/state.db?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT position FROM positions").fetchall()
        read = json.loads(rows[0][0])["offset"] if rows else 0
        return (self.folder / "mail.log").stat().st_size - int(read)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Daemon]:
    """With the shipped settings, but for its places."""
    (folder / "mail.log").touch()
    (folder / "pfwatch.toml").write_text(
        f'[log]\npaths = ["{folder}/mail.log"]\ntime_zone = "UTC"\n[state]\npath = "{folder}/state.db"\n'
        '[web]\nlisten = "127.0.0.1:0"\n'
    )
    with (folder / "said").open("w") as said:
        command = [sys.executable, "-m", "pfwatch", "run", "--config", str(folder / "pfwatch.toml")]
        daemon = Daemon(subprocess.Popen(command, stderr=said, text=True), folder)
    try:
        wait_for(lambda: "metrics on " in (folder / "said").read_text())
        daemon.address = (folder / "said").read_text().split("metrics on ")[1].split("/metrics")[0]
        yield daemon
    finally:
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait(10)


def wait_for(condition: Callable[[], bool]) -> float:
    """Seconds until it holds."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > PATIENCE:
            raise TimeoutError("pfwatch does not get there")
        time.sleep(0.01)
    return time.monotonic() - begin


def at_rate(daemon: Daemon, rate: int, seconds: int, mix: Mix) -> list[tuple[str, str]]:
    """Write for so long, then see what is left and what it took."""
    chunks = generate(rate * seconds, mix, 1, start=datetime.now(UTC), rate=rate) if rate else ()
    lines = itertools.chain.from_iterable(chunk.splitlines(keepends=True) for chunk in chunks)
    begin, cpu, scraped = time.monotonic(), daemon.cpu(), 0.0
    with (daemon.folder / "mail.log").open("ab", buffering=0) as log:
        for step in range(seconds * STEPS):
            log.write(b"".join(itertools.islice(lines, rate * (step + 1) // STEPS - rate * step // STEPS)))
            if time.monotonic() - scraped > SCRAPE_EVERY:
                scraped = time.monotonic()
                daemon.scrape()
            time.sleep(max(0.0, begin + (step + 1) / STEPS - time.monotonic()))
    spent, took = daemon.cpu() - cpu, time.monotonic() - begin
    left = daemon.unread()
    behind = wait_for(lambda: not daemon.unread())
    return [
        ("lines written", f"{rate * seconds:,} in {took:.1f} s"),
        ("unread and uncommitted at the end", f"{left:,} bytes"),
        ("until everything was committed", f"{behind:.2f} s"),
        ("CPU of pfwatch", f"{spent:.2f} s, {100 * spent / took:.1f} % of a core"),
    ]


def at_once(daemon: Daemon, count: int, mix: Mix) -> list[tuple[str, str]]:
    """Write many lines in one go."""
    # A log of a thousand lines a second that nobody read so far: its lag is its length, and shrinks.
    start = datetime.now(UTC) - timedelta(seconds=count / BURST_RATE)
    text = b"".join(generate(count, mix, 1, start=start, rate=BURST_RATE))
    before, cpu, begin = daemon.memory("VmHWM"), daemon.cpu(), time.monotonic()
    with (daemon.folder / "mail.log").open("ab", buffering=0) as log:
        log.write(text)
    while daemon.unread():
        daemon.scrape()
    return [
        ("lines written at once", f"{count:,}, {len(text) / 1e6:.0f} MB"),
        ("until everything was committed", f"{time.monotonic() - begin:.2f} s"),
        ("CPU of pfwatch", f"{daemon.cpu() - cpu:.2f} s"),
        ("more memory than before", f"{daemon.memory('VmHWM') - before:.0f} MiB"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev live", description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="lines in a second; 0: what an idle daemon takes")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--burst", type=int, default=0, help="write this many lines at once instead")
    parser.add_argument("--mix", choices=("normal", "attack"), default="normal")
    asked = parser.parse_args()
    if asked.rate < 0 or asked.seconds < 1 or asked.burst < 0:
        parser.error("--seconds has to be 1 or more, --rate and --burst 0 or more")
    with tempfile.TemporaryDirectory(prefix="pfwatch-live-") as temporary, running(Path(temporary)) as daemon:
        if asked.burst:
            rows = at_once(daemon, asked.burst, asked.mix)
        else:
            rows = at_rate(daemon, asked.rate, asked.seconds, asked.mix)
        rows += [
            ("memory at most", f"{daemon.memory('VmHWM'):.0f} MiB"),
            ("largest lag on /metrics", f"{max(daemon.lags, default=0):.1f} s"),
            ("slowest answer of /metrics", f"{max(daemon.scrapes, default=0):.2f} s"),
            ("scrapes without an answer in 10 s", f"{daemon.unanswered} of {daemon.unanswered + len(daemon.scrapes)}"),
        ]
    sys.stdout.write("".join(f"{what:<36}{found}\n" for what, found in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
