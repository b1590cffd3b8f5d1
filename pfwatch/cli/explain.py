"""`pfwatch explain`: what a log line means, field by field."""

import sys
import time
from collections.abc import Iterator
from datetime import tzinfo

import click
import msgspec

from pfwatch.alerting.visible import visible
from pfwatch.cli.options import dovecot, readable, reading
from pfwatch.detection.rules import RULES
from pfwatch.detection.settings import SHIPPED
from pfwatch.events import Event, as_object
from pfwatch.metrics.counters import Counters
from pfwatch.metrics.record import record
from pfwatch.parsing.dovecot import RULES as DOVECOT
from pfwatch.parsing.grammar import every_rule
from pfwatch.parsing.listener import Process
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from pfwatch.replay import STANDARD_INPUT, blocks
from pfwatch.sessions import Sessions
from pfwatch.sources.settings import SourceSettings

_UNTRUSTED = frozenset((
    "username", "sender", "recipient", "orig_recipient", "helo", "text", "reason", "message_id", "method",
    "sasl_sender",
))  # fmt: skip
_NO_NEWS = frozenset(("kind", "weight", "truncated", "part_of", "severity"))


class _Explainer(Sessions):
    """Keeps each line's event as it was told: with what earlier lines know, before later ones complete it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Event] = []

    def told(self, event: Event, process: Process) -> Event:
        event = super().told(event, process)
        self.lines.append(event)
        return event


@click.command()
@click.argument("lines", metavar="[LINE]...", nargs=-1)
@click.option(
    "--file", "path", type=click.Path(readable=False), help="Explain the lines of this file; - is standard input."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, in order.")
@dovecot
@reading
def explain(
    lines: tuple[str, ...], path: str | None, zone: tzinfo | None, year: int | None, *, as_json: bool, dovecot: bool
) -> None:
    """Say what log lines mean: the LINEs, or those of --file, or of standard input.

    Each input line gives one answer, in order; earlier lines of the same input are remembered (sessions, queue ids).
    """
    if lines and path:
        raise click.UsageError("name LINEs or --file, not both")
    encode = msgspec.json.Encoder().encode
    write = sys.stdout.buffer.write
    sessions = _Explainer()
    scanner = Scanner(sessions, TimeReader(zone, year), every_event=True, dovecot=dovecot)
    with readable():
        for number, event in enumerate(_explained(lines, path, scanner, sessions)):
            if as_json:
                write(encode(as_object(event)) + b"\n")
            else:
                text = ("\n" if number else "") + text_of(event) + "\n"
                write((text if sys.stdout.isatty() else click.unstyle(text)).encode())
    sys.stdout.buffer.flush()


def _explained(lines: tuple[str, ...], path: str | None, scanner: Scanner, sessions: _Explainer) -> Iterator[Event]:
    if lines:
        text = "\n".join(line.rstrip("\n") for line in lines) + "\n"
        scanner.scan(text.encode("utf-8", "surrogateescape"), time.time())
        yield from sessions.lines
        return
    for block in blocks([path or STANDARD_INPUT], SourceSettings()):
        scanner.scan(block.data, block.reference)
        yield from sessions.lines
        sessions.lines.clear()
        sessions.finished.clear()


def text_of(event: Event) -> str:
    """The explanation of one line for a person."""
    shown = as_object(event)
    rule = every_rule().get(event.envelope.rule or "")
    title = click.style(event.kind, bold=True)
    meaning = (type(event).__doc__ or "").strip().splitlines()[0]
    parts = [f"{title}  {meaning}"]
    if rule:
        parts.append(f"  rule        {rule[0].name} (Postfix {rule[0].since} and later; {rule[0].source})")
    parts += [f"  rule        {own.name} ({own.source})" for own in DOVECOT if own.name == event.envelope.rule]
    for name, value in shown.items():
        if name in _NO_NEWS or value is None or (name == "rule"):
            continue
        note = click.style("  typed by somebody outside", dim=True) if name in _UNTRUSTED and value != "" else ""
        parts.append(f"  {name:<11} {visible(str(value))}{note}")
    if event.envelope.weight > 1:
        parts.append(f"  weight      {event.envelope.weight}: so many more of the line before")
    if event.envelope.truncated:
        parts.append("  truncated   Postfix cut this line at 2,000 bytes; what stood at its end is missing")
    if event.envelope.part_of:
        parts.append(f"  part of     {event.envelope.part_of}: counted there, not here")
    parts += [f"  counts      {text}" for text in _counters(event)]
    parts += [f"  detection   {text}" for text in _detection(event)]
    return "\n".join(parts)


def _counters(event: Event) -> list[str]:
    """The counters that this event moves, by moving them."""
    counters = Counters()
    counters.changed()
    record(counters, event)
    return [
        f"{name}{{{', '.join(labels)}}} +{amount:g}" if labels else f"{name} +{amount:g}"
        for (name, labels), amount in sorted(counters.changed().items())
        if not name.endswith("_bucket")
    ]


def _detection(event: Event) -> list[str]:
    client = getattr(event, "client", None)
    if event.envelope.part_of or client is None or client.ip is None:
        return []
    found: list[str] = []
    for rule in RULES:
        weight = rule.weigh(event) if type(event) in rule.wants else 0
        if weight:
            numbers = SHIPPED[rule.name]
            threshold = f"{numbers.threshold} in {numbers.window} s open an incident"
            found.append(f"{rule.name}: +{weight} for {client.ip} ({threshold})")
    return found
