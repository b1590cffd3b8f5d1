"""`pfwatch events`: what finished logs say, one event per line."""

import sys
from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import Any

import click

from pfwatch.alerting.visible import visible
from pfwatch.cli.ndjson import JsonLines
from pfwatch.cli.options import Moment, dovecot, expect_much, files, readable, reading, warn, warn_of_no_headers
from pfwatch.cli.selection import Selection
from pfwatch.events import KINDS, Event, as_object
from pfwatch.finished import events_of
from pfwatch.parsing.hits import Hit, built
from pfwatch.parsing.log import LogSettings
from pfwatch.parsing.tally import Tally
from pfwatch.sources.settings import SourceSettings

_NAMES = tuple(kind.kind for kind in KINDS)
_NOT_SHOWN = frozenset((
    "kind", "at", "host", "service", "daemon", "pid", "severity", "weight", "truncated", "part_of", "rule",
    "client_ip", "client_name", "client_port", "derived",
))  # fmt: skip


class _Kinds(click.ParamType[frozenset[str]]):
    """Kinds of event, separated by commas."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        names = frozenset(value.split(","))
        for name in names - set(_NAMES):
            self.fail(f"{name!r} is no kind of event; there are {', '.join(_NAMES)}", param, ctx)
        return names


@click.command()
@files
@click.option("--format", "form", type=click.Choice(["ndjson", "text"]), help="[default: text on a terminal]")
@click.option("--kind", "kinds", type=_Kinds(), multiple=True, help="Only these kinds; may be repeated, or use commas.")
@click.option("--client", "clients", multiple=True, metavar="ADDRESS", help="Only of these addresses or networks.")
@click.option("--account", "accounts", multiple=True, metavar="NAME", help="Only with these user names.")
@click.option("--since", type=Moment(), help="Only from then on: 2026-11-22T10:00, 2026-11-22, 24h.")
@click.option("--until", type=Moment(), help="Only before then.")
@dovecot
@reading
def events(
    files: tuple[str, ...],
    form: str | None,
    kinds: tuple[frozenset[str], ...],
    clients: tuple[str, ...],
    accounts: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    zone: tzinfo | None,
    year: int | None,
    *,
    dovecot: bool,
) -> None:
    """Print the events of finished logs, after correlation, one per line.

    FILEs are read in the order given, oldest first; .gz, .bz2, .xz and .zst as they are, - is standard input;
    a directory of journal files, or one of them, is read as a journal. Lines
    that no rule reads (unsupported, foreign, malformed) are left out unless --kind names them.

    With --kind only what can matter is read, which is many times as fast; what comes out is the same.
    """
    names = frozenset[str]().union(*kinds)
    try:
        selection = Selection(names, clients, accounts, since, until)
    except ValueError as error:
        raise click.BadParameter(f"{error}; use 192.0.2.7 or 2001:db8::/32", param_hint="--client") from error
    as_text = form == "text" or (form is None and sys.stdout.isatty())
    lines = _TextLines(selection) if as_text else JsonLines(selection)
    settings = LogSettings(zone, year, dovecot)
    named = frozenset(kind for kind in KINDS if kind.kind in names)
    seen, malformed = 0, 0

    def count(tally: Tally) -> None:
        nonlocal seen, malformed
        seen, malformed = seen + tally.total, malformed + tally.malformed

    expect_much()
    with readable():
        for some in events_of(named, files, settings, SourceSettings(), warn, count):
            sys.stdout.buffer.write(lines.of(some))
    sys.stdout.buffer.flush()
    warn_of_no_headers(malformed, seen)


class _TextLines:
    """As `JsonLines`, for a person."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def of(self, events: Iterable[Event | Hit]) -> bytes:
        """The lines of some events."""
        lines = (text_of(event) + "\n" for event in map(built, events) if self._selection.wants(event))
        return "".join(lines).encode()


def text_of(event: Event) -> str:
    """One line for a person: when, what, who, and the fields that say something."""
    shown = as_object(event)
    who = shown.get("client_ip") or shown.get("client_name") or ""
    fields = " ".join(
        f"{name}={visible(plain(value), 80)}"
        for name, value in shown.items()
        if name not in _NOT_SHOWN and value not in (None, "", [], {}, False)
    )
    times = f" (x{event.envelope.weight})" if event.envelope.weight > 1 else ""
    service = f"{event.envelope.service or ''}/{event.envelope.daemon or ''}".lstrip("/")
    return f"{event.envelope.stamp[:19]:<19}  {event.kind:<19}  {who:<24}  {visible(service, 28):<22}  {fields}{times}"


def plain(value: object) -> str:
    """A field's value in few characters."""
    if isinstance(value, dict):
        return ",".join(f"{name}:{succeeded}/{every}" for name, (succeeded, every) in value.items())
    if isinstance(value, list):
        return "/".join(f"{number:g}" for number in value)
    return str(value)
