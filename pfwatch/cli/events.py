"""`pfwatch events`: what finished logs say, one event per line."""

import sys
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import Any

import click
import msgspec

from pfwatch.alerting.visible import visible
from pfwatch.cli.options import Moment, dovecot, files, readable, reading, warn
from pfwatch.detection.rules import Networks
from pfwatch.events import KINDS, Event, as_object
from pfwatch.parsing.hits import built
from pfwatch.pipeline import Settings
from pfwatch.replay import events_of
from pfwatch.sources.settings import SourceSettings

_UNREAD = frozenset(("unsupported", "foreign", "malformed"))
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
    """
    names = frozenset[str]().union(*kinds)
    wanted = _filter(names, clients, accounts, since, until)
    as_text = form == "text" or (form is None and sys.stdout.isatty())
    encode = msgspec.json.Encoder().encode
    write = sys.stdout.buffer.write
    with readable():
        settings = Settings(zone=zone, year=year, dovecot=dovecot)
        named = frozenset(kind for kind in KINDS if kind.kind in names)
        for some in events_of(named, files, settings, SourceSettings(), warn):
            for event in map(built, some):
                if wanted(event):
                    write(text_of(event).encode() if as_text else encode(as_object(event)))
                    write(b"\n")
    sys.stdout.buffer.flush()


def _filter(
    kinds: frozenset[str],
    clients: Sequence[str],
    accounts: Sequence[str],
    since: datetime | None,
    until: datetime | None,
) -> Callable[[Event], bool]:
    try:
        networks = Networks(clients)
    except ValueError as error:
        raise click.BadParameter(f"{error}; use 192.0.2.7 or 2001:db8::/32", param_hint="--client") from error
    begin = since.timestamp() if since else None
    end = until.timestamp() if until else None

    def wanted(event: Event) -> bool:
        if event.kind not in kinds if kinds else event.kind in _UNREAD:
            return False
        if clients:
            client = getattr(event, "client", None)
            if client is None or client.ip is None or client.ip not in networks:
                return False
        if accounts and getattr(event, "username", None) not in accounts:
            return False
        at = event.envelope.at
        return (begin is None or at >= begin) and (end is None or at < end)

    return wanted


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
