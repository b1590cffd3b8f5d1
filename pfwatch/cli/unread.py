"""`pfwatch unread`: which wordings of Postfix no rule reads, ready for a bug report."""

from collections.abc import Sequence
from datetime import tzinfo
from itertools import groupby

import click
import msgspec

from pfwatch.alerting.visible import visible
from pfwatch.cli.options import dovecot, expect_much, finished, readable, reading, warn, warn_of_no_headers
from pfwatch.finished import STANDARD_INPUT, unread_lines
from pfwatch.parsing.log import LogSettings
from pfwatch.parsing.tally import SLASH_IN_TAG
from pfwatch.reports.wordings import Wording, Wordings
from pfwatch.sources.settings import SourceSettings

_LINE = 8192
"""Characters of an example that are shown: whole, also where every other byte has to be escaped."""


class Shown(msgspec.Struct, frozen=True):
    """One wording as it is shown."""

    daemon: str
    severity: str
    count: int
    template: str
    example: str


class Unread(msgspec.Struct, frozen=True):
    """What was not read. `lines` add up: those of the wordings and of `other` are `unsupported`."""

    lines: int
    unsupported: int
    malformed: int
    misnamed: int
    """Unsupported lines whose tag a syslog template cut to `postfix`; where there are any, no such line is shown."""
    wordings: list[Shown]
    other: int
    """Unsupported lines of wordings that are not shown."""

    def elsewhere(self) -> str:
        """Why some lines are not shown."""
        if self.misnamed:
            return "have a tag that was cut, or come less often: mend the tag first"
        return "are of wordings that came less often (--limit N shows more)"


@click.command()
@finished(required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show so many wordings.")
@click.option("--raw", is_flag=True, help="Show the examples as they are in the log, with every address and name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@dovecot
@reading
def unread(
    files: tuple[str, ...],
    limit: int,
    zone: tzinfo | None,
    year: int | None,
    *,
    raw: bool,
    as_json: bool,
    dovecot: bool,
) -> None:
    """Say which lines of Postfix no rule reads: each wording once, with a count and an example to report.

    FILEs are read in the order given, oldest first; .gz, .bz2, .xz and .zst as they are, - or none is standard input;
    a directory of journal files, or one of them, is read as a journal.
    Addresses, names and typed text of the examples are replaced by ones that belong to nobody.
    """
    settings = LogSettings(zone, year, dovecot)
    expect_much()
    with readable():
        found = _read(files or (STANDARD_INPUT,), settings, limit, raw=raw)
    if found.misnamed:
        warn(f"{found.misnamed} lines: {SLASH_IN_TAG}")
    warn_of_no_headers(found.malformed, found.lines)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        click.echo(as_text(found, raw=raw))


def _read(files: Sequence[str], settings: LogSettings, limit: int, *, raw: bool) -> Unread:
    wordings = Wordings()
    lines = unsupported = malformed = misnamed = 0
    for events, tally in unread_lines(files, settings, SourceSettings(), warn):
        lines, unsupported = lines + tally.total, unsupported + tally.unsupported
        malformed, misnamed = malformed + tally.malformed, misnamed + tally.misnamed
        for event in events:
            wordings.add(event)
    found = [one for one in wordings.most_frequent() if not (misnamed and one.daemon == "postfix")]
    shown = [_shown(one, raw=raw) for one in found[:limit]]
    return Unread(lines, unsupported, malformed, misnamed, shown, unsupported - sum(one.count for one in shown))


def _shown(wording: Wording, *, raw: bool) -> Shown:
    example = wording.example if raw else wording.published
    return Shown(wording.daemon, wording.severity, wording.count, wording.template, example)


def as_text(found: Unread, *, raw: bool = False) -> str:
    """The report for a person: by daemon and severity, the most frequent first."""
    if not found.unsupported:
        return f"{_lines(found.lines)}: everything that Postfix wrote was read. There is nothing to report."
    parts = [f"{_lines(found.lines)}, of which {found.unsupported:,} of Postfix that no rule reads"]
    for title, group in _groups(found.wordings):
        parts.append(f"\n{title}: {sum(one.count for one in group):,}")
        for one in group:
            parts.append(f"{one.count:>8,}  {visible(one.template)}")
            parts.append(f"          {visible(one.example, _LINE)}")
    if found.other:
        parts.append(f"\n{found.other:,} more lines {found.elsewhere()}")
    if found.wordings:
        parts += ["", *_HOW_TO_REPORT, _RAW if raw else _PUBLISHED]
    return "\n".join(parts)


def _lines(number: int) -> str:
    return "1 line" if number == 1 else f"{number:,} lines"


def _groups(wordings: Sequence[Shown]) -> list[tuple[str, list[Shown]]]:
    """By daemon and severity; the group with the most lines first, the wordings of each as they come."""

    def title(one: Shown) -> str:
        return f"{one.daemon} {one.severity}"

    groups = [(name, list(group)) for name, group in groupby(sorted(wordings, key=title), title)]
    return sorted(groups, key=lambda group: -sum(one.count for one in group[1]))


_HOW_TO_REPORT = (
    "Please report these to pfwatch (CONTRIBUTING.md says what helps): paste what is",
    "above, and add what `postconf mail_version` prints and what happened then.",
)
_PUBLISHED = (
    "Addresses, names and quoted text of the examples are replaced. A bare word may\n"
    "still be somebody's: look before you publish. --raw shows the lines as they are."
)
_RAW = "These lines are as they are in the log: replace addresses and names before you publish them."
