"""What several commands share: options for reading finished logs, and how a failure is told.

Enters: what click read. Leaves: settings, or a clear end of the process.
"""

import contextlib
import functools
import gc
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NoReturn, TypeVar

import click

from pfwatch.finished import JOURNAL
from pfwatch.sources.errors import SourceError

USAGE, RUNTIME = 2, 3
_GARBAGE = 200_000
"""New objects between two looks for garbage in cycles."""
_KEPT = 2 * 1024 * 1024
"""Bytes of free memory that stay with the process: more than a few blocks."""
F = TypeVar("F", bound=Callable[..., Any])


class Zone(click.ParamType[tzinfo]):
    """An IANA time zone."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:
        """Find the zone."""
        if isinstance(value, tzinfo):
            return value
        if value.upper() in {"UTC", "Z"}:
            return UTC
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # most logs are read in this machine's zone

        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"{value!r} is no time zone; use an IANA name such as Europe/Berlin or UTC", param, ctx)


class Moment(click.ParamType[datetime]):
    """A point in time: RFC 3339, a date, or so long ago (`90m`, `24h`, `7d`)."""

    name = "time"
    _UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # noqa: RUF012 - a constant

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it; a time without a zone is local time."""
        if isinstance(value, datetime):
            return value
        if value[:-1].lstrip("-").isdigit() and value[-1] in self._UNITS:
            return datetime.now(UTC) - timedelta(seconds=int(value[:-1].lstrip("-")) * self._UNITS[value[-1]])
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(
                f"{value!r} is no time; use 2026-11-22T10:00, 2026-11-22 or so long ago: 90m, 24h, 7d", param, ctx
            )


def reading(command: F) -> F:
    """`--tz` and `--year`."""
    zone = click.option("--tz", "zone", type=Zone(), help="Zone of time stamps without one. [default: this machine's]")
    year = click.option(
        "--year", type=click.IntRange(1970, 9999), help="Year of time stamps without one. [default: inferred]"
    )
    return zone(year(command))


dovecot = click.option("--dovecot", is_flag=True, help="Read Dovecot's failed logins, too, as with [dovecot] enabled.")


def journal(text: str) -> Callable[[F], F]:
    """`--journal[=DIR]`: None where it is not given, else the directory, which is empty for this machine's journal."""
    return click.option("--journal", type=click.Path(), is_flag=False, flag_value="", metavar="[=DIR]", help=text)


def finished(*, required: bool) -> Callable[[F], F]:
    """FILE... and `--journal[=DIR]`, handed over as `files`: what `pfwatch.replay.blocks` takes."""

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_journal(*arguments: Any, files: tuple[str, ...], journal: str | None, **options: Any) -> Any:
            if journal is not None:
                files = (*files, f"{JOURNAL}{journal}")
            if required and not files:
                raise click.UsageError("Missing argument 'FILE...', or --journal.")
            return command(*arguments, files=files, **options)

        named = click.argument(
            "files", metavar="FILE..." if required else "[FILE]...", nargs=-1, type=click.Path(readable=False)
        )
        option = journal("Read this machine's systemd journal, or the one in DIR, behind the FILEs.")
        return named(option(with_journal))  # type: ignore[return-value]

    return decorate


files = finished(required=True)
"""Finished logs, compressed or not; `-` is standard input; journal files and directories of them."""


def expect_much() -> None:
    """Say that this process reads a log. Reading makes no cycles, and a collection looks at everything that is
    remembered. And glibc would give the memory of each block back to the system, which takes longer than to read its
    lines: what it had once at one time, without a byte of it used, it keeps.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    bytes(_KEPT)


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Tell a log that cannot be read in one line and end with the documented code."""
    try:
        yield
    except SourceError as error:
        fail(str(error), USAGE)


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong and end."""
    click.echo(f"pfwatch: {message}", err=True)
    sys.exit(code)


def warn_of_no_headers(malformed: int, lines: int) -> None:
    """Say it where half of the lines, or more, have no header of any log that is known."""
    if malformed and malformed * 2 >= lines:
        warn(f"{malformed} of {lines} lines have no log header; is this a mail log?")


def warn(message: str) -> None:
    """Say something that does not stop the work."""
    click.echo(f"pfwatch: {message}", err=True)
