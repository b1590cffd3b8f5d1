"""`pfwatch replay`: what the daemon would have done with finished logs."""

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import tzinfo
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec

from pfwatch.alerting.visible import visible
from pfwatch.cli.options import USAGE, expect_much, files, readable, reading, warn, warn_of_no_headers
from pfwatch.parsing.tally import SLASH_IN_TAG
from pfwatch.pipeline import Settings
from pfwatch.replay import Incidents, Report, size_of
from pfwatch.replay import replay as replay_logs
from pfwatch.sources.settings import SourceSettings

_AT_ONCE = 500
"""Items of a list that are written together."""


@click.command()
@files
@click.option("--config", type=click.Path(path_type=Path), help="Thresholds and alerting of this configuration file.")
@reading
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--progress/--no-progress", default=None, help="Progress bar on stderr. [default: on a terminal]")
def replay(
    files: tuple[str, ...],
    config: Path | None,
    zone: tzinfo | None,
    year: int | None,
    *,
    as_json: bool,
    progress: bool | None,
) -> None:
    """Read finished logs and say what the daemon would have done with them. Nothing is sent.

    FILEs are read in the order given, oldest first; .gz, .bz2, .xz and .zst as they are, - is standard input;
    a directory of journal files, or one of them, is read as a journal. A large
    file is read with every core that pfwatch may use (see taskset).
    """
    settings = settings_from(config, zone, year)
    show = sys.stderr.isatty() if progress is None else progress
    bar = _Bar(size_of(files)) if show else None
    expect_much()
    with readable():
        report = replay_logs(files, settings, SourceSettings(), bar.add if bar else _silent, warn)
    if bar:
        bar.end()
    if report.misnamed:
        warn(f"{report.misnamed} lines: {SLASH_IN_TAG}")
    warn_of_no_headers(report.lines["malformed"], report.lines["total"])
    if report.dropped:
        times = "once" if report.dropped.times == 1 else f"{report.dropped.times:,} times"
        lines = f", {report.dropped.lines:,} at least" if report.dropped.lines else ""
        warn(
            f"the log says {times} that messages were dropped before they came to it{lines}; no number here has them. "
            f"The first: {visible(report.dropped.first)}"
        )
    if as_json:
        sys.stdout.buffer.writelines(as_json_pieces(report))
        sys.stdout.buffer.flush()
    else:
        click.echo(as_text(report))


def settings_from(config: Path | None, zone: tzinfo | None, year: int | None) -> Settings:
    """The core's settings, from a configuration file where one is named."""
    if config is None:
        return Settings(zone, year)
    from zoneinfo import ZoneInfo

    from pfwatch.config import ConfigError, load  # pydantic is slow to import and not needed without a file

    try:
        loaded = load(config)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        sys.exit(USAGE)
    if zone is None and loaded.source.time_zone:
        zone = ZoneInfo(loaded.source.time_zone)
    return Settings(zone, year, loaded.dovecot, loaded.detection, loaded.alerts)


def as_json_pieces(report: Report) -> Iterator[bytes]:
    """The report as one JSON object, in pieces: an attack makes many incidents."""
    before = b"{\n"
    for name in report.__struct_fields__:
        if name in {"misnamed", "dropped"}:  # no part of the public object
            continue
        yield b"%b  %b: " % (before, msgspec.json.encode(name))
        value = getattr(report, name)
        yield from _list_pieces(value) if isinstance(value, list | Incidents) else (_indented(value, b"  "),)
        before = b",\n"
    yield b"\n}\n"


def _list_pieces(items: Iterable[Any]) -> Iterator[bytes]:
    before, rest = b"[", iter(items)
    while some := list(islice(rest, _AT_ONCE)):
        yield before + _indented(some, b"  ").removeprefix(b"[").removesuffix(b"\n  ]")
        before = b","
    yield b"[]" if before == b"[" else b"\n  ]"


def _indented(value: Any, by: bytes) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).replace(b"\n", b"\n" + by)


def as_text(report: Report) -> str:
    """The report for a person."""
    lines = report.lines
    parts = [f"{lines['total']:,} lines: " + ", ".join(f"{n:,} {fate}" for fate, n in lines.items() if fate != "total")]
    if report.counts:
        width = max(map(len, report.counts))
        parts.append("\nEvents")
        parts += [
            f"  {kind:<{width}} {count:>10,}"
            for kind, count in sorted(report.counts.items(), key=lambda item: (-item[1], item[0]))
        ]
    incidents = [
        f"  {one.severity:<8} {one.rule:<20} {visible(one.subject):<28} {one.count:>7,}  {one.first} to {one.last}"
        for one in report.incidents
    ]
    parts += [f"\nIncidents: {len(incidents)}", *incidents]
    parts.append(f"\nNotifications that would have been sent: {len(report.notifications)}")
    parts += [f"  {one.at}  {one.reason:<8} {visible(one.subject_line)}" for one in report.notifications]
    return "\n".join(parts)


def _silent(_source: str, _size: int) -> None:
    """No progress is shown."""


class _Bar:
    """How far, how fast and how long still, on standard error; a few times a second at most."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = 0
        self._begin = self._shown = time.monotonic()

    def add(self, source: str, size: int) -> None:
        """Say that a block was read."""
        self._done += size
        now = time.monotonic()
        if now - self._shown >= 0.2:
            self._shown = now
            click.echo(f"\r\x1b[K{self._line(source, now)}", err=True, nl=False)

    def end(self) -> None:
        """Clear the line."""
        click.echo("\r\x1b[K", err=True, nl=False)

    def _line(self, source: str, now: float) -> str:
        rate = self._done / max(now - self._begin, 0.001)
        text = f"{visible(source, 40)}  {self._done / 1e6:,.0f} MB  {rate / 1e6:,.0f} MB/s"
        if not self._total:
            return text
        share = min(self._done / self._total, 1.0)
        filled = int(share * 30)
        return (
            f"{text}  [{'#' * filled}{'.' * (30 - filled)}] {share:.0%}, {(self._total - self._done) / rate:.0f} s left"
        )
