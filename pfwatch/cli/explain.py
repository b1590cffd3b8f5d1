"""`pfwatch explain`: what a log line means, field by field."""

import inspect
import os
import re
import shutil
import sys
import textwrap
import time
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from functools import cache
from string import ascii_letters

import click
import msgspec

from pfwatch.alerting.moments import duration
from pfwatch.alerting.visible import visible
from pfwatch.cli.events import plain
from pfwatch.cli.marked import columns_of, marked
from pfwatch.cli.options import dovecot, readable, reading, warn
from pfwatch.cli.places import rule_of, spans_of
from pfwatch.detection.rules import RULES, Networks, subject_of
from pfwatch.detection.settings import SHIPPED, DetectionSettings
from pfwatch.events import NOBODY, Client, Event, Unsupported, Untrusted, as_object
from pfwatch.finished import STANDARD_INPUT, blocks
from pfwatch.metrics.counters import Counters
from pfwatch.metrics.record import record
from pfwatch.parsing.dovecot import RULES as DOVECOT
from pfwatch.parsing.listener import Process
from pfwatch.parsing.log import LogReader
from pfwatch.parsing.tally import SLASH_IN_TAG
from pfwatch.position import Block
from pfwatch.reports import vocabulary
from pfwatch.reports.sentences import sentence
from pfwatch.sessions import Sessions
from pfwatch.sources.settings import SourceSettings

WIDTH = 80
_MARGIN = 20
"""Columns before a field's value."""
_NARROWEST, _WIDEST = 40, 100
"""Columns of a row, whatever the terminal has: longer ones are hard to read."""
_ELSEWHERE = frozenset(("kind", "rule", "part_of", "truncated"))
"""Said in words."""
_NO_NEWS = (("weight", 1), ("severity", "info"))
_HEADER = frozenset(("at", "host", "service", "daemon", "pid", "severity", "weight"))
_ALLOWED = Networks(DetectionSettings().allow)


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
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = max(_NARROWEST, min(shutil.get_terminal_size((WIDTH, 24)).columns, _WIDEST))
    sessions = _Explainer()
    log = LogReader(sessions, zone, year, every_event=True, dovecot=dovecot)
    with readable():
        for number, (line, event) in enumerate(_explained(lines, path, log, sessions)):
            if as_json:
                write(encode(as_object(event)) + b"\n")
            else:
                text = ("\n\n" if number else "") + text_of(event, line, width) + "\n"
                write((text if colours else click.unstyle(text)).encode())
    sys.stdout.buffer.flush()
    misnamed = log.take().misnamed
    if misnamed and not as_json:
        warn(f"{misnamed} lines: {SLASH_IN_TAG}")


def _explained(
    lines: tuple[str, ...], path: str | None, log: LogReader, sessions: _Explainer
) -> Iterator[tuple[bytes, Event]]:
    """Each line with its event."""
    given: Iterable[Block]
    if lines:
        text = "\n".join(line.rstrip("\n") for line in lines) + "\n"
        given = [Block(STANDARD_INPUT, text.encode("utf-8", "surrogateescape"), time.time(), None)]
    else:
        given = blocks([path or STANDARD_INPUT], SourceSettings())
    reference = 0.0
    for block in given:
        reference = block.reference
        yield from _read(log.unwrap(block.data), reference, log, sessions)
    yield from _read(log.rest(), reference, log, sessions)


def _read(plain: bytes, reference: float, log: LogReader, sessions: _Explainer) -> Iterator[tuple[bytes, Event]]:
    log.read_plain(plain, reference)
    yield from _paired(plain, sessions.lines)
    sessions.lines.clear()
    sessions.finished.clear()


def _paired(block: bytes, events: list[Event]) -> Iterator[tuple[bytes, Event]]:
    return zip((line.removesuffix(b"\r") for line in block.split(b"\n")), events, strict=False)


def text_of(event: Event, line: bytes, width: int = WIDTH) -> str:
    """The explanation of one line for a person, in `width` columns."""
    meaning = inspect.cleandoc(type(event).__doc__ or "").partition("\n\n")[0]
    title = textwrap.fill(f"{event.kind}  {' '.join(meaning.split())}", width, subsequent_indent=" " * 2)
    untrusted = _untrusted(type(event))
    said = _said(event)
    spans = [span for span in spans_of(line, event) if span.field in said]
    keys = dict(zip(dict.fromkeys(span.field for span in spans), ascii_letters, strict=False))
    sections: tuple[Iterable[str], ...] = (
        (click.style(event.kind, bold=True) + title.removeprefix(event.kind),),
        _filled(sentence(event), width),
        (f"  {row}" for row in marked(line, spans, keys, untrusted, width - 2)),
        _fields(event, said, keys, untrusted, width),
        _effects(event, width),
    )
    return "\n\n".join(filter(None, ("\n".join(section) for section in sections)))


def _filled(text: str, width: int, label: str = "") -> list[str]:
    """Text behind a label, in rows."""
    begin = f"  {label:<11}" if label else "  "
    return textwrap.wrap(text, width, initial_indent=begin, subsequent_indent=" " * len(begin), break_on_hyphens=False)


@cache
def _untrusted(kind: type[Event]) -> frozenset[str]:
    """The fields that hold text from outside."""
    hints = typing.get_type_hints(kind)
    return frozenset(name for name, hint in hints.items() if Untrusted in (hint, *typing.get_args(hint)))


def _said(event: Event) -> dict[str, str]:
    """The fields that have something to say, as text."""
    shown = as_object(event)
    return {
        name: visible(plain(value))
        for name, value in shown.items()
        if value not in (None, "", False, [], {}) and name not in _ELSEWHERE and (name, value) not in _NO_NEWS
    }


def _fields(
    event: Event, said: Mapping[str, str], keys: Mapping[str, str], untrusted: frozenset[str], width: int
) -> Iterator[str]:
    """The fields in the order of the line, then those that stand nowhere in it."""
    for name in (*keys, *(name for name in said if name not in keys)):
        remark, key = _remark(event, name, keys, untrusted), keys.get(name, " ")
        colour = None if name not in keys else "yellow" if name in untrusted else "cyan"
        *rows, last = _cut(said[name], width - _MARGIN)
        if remark and _columns(last + click.unstyle(remark)) + 2 <= width - _MARGIN:
            last += f"  {remark}"
            remark = ""
        rows += [last, remark] if remark else [last]
        yield f"  {click.style(key, fg=colour)} {name:<15} {rows[0]}"
        yield from (" " * _MARGIN + row for row in rows[1:])


def _remark(event: Event, name: str, keys: Mapping[str, str], untrusted: frozenset[str]) -> str:
    """Why a text may say anything, or where a field that the line does not have comes from."""
    if name in untrusted:
        why = vocabulary.UNTRUSTED_OF.get((event.kind, name)) or vocabulary.UNTRUSTED[name]
        return click.style(f"~ {why}", fg="yellow")
    if name == "weight":
        return click.style("so many more of the line before", dim=True)
    if name in keys or name in _HEADER:
        return ""
    if name.startswith("peer_"):
        return click.style("the client", dim=True)
    return click.style("from an earlier line" if name.startswith("client_") else "concluded from the line", dim=True)


def _cut(text: str, columns: int) -> list[str]:
    """Rows of so many columns, broken behind a blank where one is near; every character stays."""
    rows = [""]
    for word in re.findall(r" *[^ ]+ *| +", text):
        if rows[-1] and _columns(rows[-1] + word.rstrip()) > columns:
            rows.append("")
        for character in word:
            if _columns(rows[-1] + character) > columns and character != " ":
                rows.append("")
            rows[-1] += character
    return [row.rstrip() for row in rows]


def _columns(text: str) -> int:
    return sum(map(columns_of, text))


def _effects(event: Event, width: int) -> Iterator[str]:
    """What follows from the line, and who read it."""
    envelope, rule = event.envelope, rule_of(event)
    if envelope.truncated:
        yield from _filled("Postfix cut this line at 2,000 bytes; what stood at its end is missing", width, "truncated")
    if envelope.part_of:
        yield from _filled(f"{envelope.part_of}: counted there, not here", width, "part of")
    else:
        yield from _counters(event, width)
        for text in _detection(event):
            yield from _filled(text, width, "detection")
    if rule:
        since = "" if rule.since == "2.10" else f" {rule.since} and later"
        writer = "" if rule in DOVECOT else f"Postfix{since}: "
        yield from _filled(f"{rule.name} ({writer}{rule.source})", width, "rule")
    elif isinstance(event, Unsupported):
        yield from _filled(
            "none. `pfwatch unread FILE` makes a report of such lines, see CONTRIBUTING.md", width, "rule"
        )


def _counters(event: Event, width: int) -> Iterator[str]:
    """The counters that this event moves, by moving them."""
    counters = Counters()
    counters.changed()
    record(counters, event)
    moved = [(key, amount) for key, amount in sorted(counters.changed().items()) if not key[0].endswith("_bucket")]
    for number, ((name, labels), amount) in enumerate(moved):
        yield f"  {'' if number else 'counts':<11}{name} +{amount:g}"
        if labels:
            metric = counters.metrics[name.removesuffix("_sum") if name not in counters.metrics else name]
            named = (f'{label.name}="{value}"' for label, value in zip(metric.labels, labels, strict=False))
            yield from textwrap.wrap(", ".join(named), width, initial_indent=" " * 15, subsequent_indent=" " * 15)
    if not moved:
        yield f"  {'counts':<11}in no metric of its own"


def _detection(event: Event) -> Iterator[str]:
    """What the rules make of the event, with the numbers that are shipped."""
    client: Client = getattr(event, "client", None) or NOBODY
    rules = [rule for rule in RULES if type(event) in rule.wants]
    for rule in rules:
        weight = rule.weigh(event) if client.ip else 0
        if not weight or client.ip is None:
            yield f"{rule.name} looks at such events, but does not count this one"
        elif client.ip in _ALLOWED:
            yield f"{rule.name} leaves {client.ip} alone: [detection] allow has it"
        else:
            numbers = SHIPPED[rule.name]
            threshold = f"{numbers.threshold} within {duration(numbers.window)} open an incident"
            yield f"{rule.name} +{weight} for {subject_of(client.ip)}; {threshold}"
    if not rules:
        yield "no rule counts this kind of event"
