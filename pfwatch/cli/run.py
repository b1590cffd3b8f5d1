"""`pfwatch run`: the daemon."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from pfwatch.cli.options import RUNTIME, USAGE, fail, journal
from pfwatch.sources.errors import SourceError
from pfwatch.sources.journal.place import is_journal

if TYPE_CHECKING:
    from pfwatch.daemon import DaemonSettings
    from pfwatch.sources.settings import SourceSettings
    from pfwatch.systemd import Notifier

_CONFIG = Path("/etc/pfwatch/pfwatch.toml")
_GARBAGE = 100_000
"""New objects between two looks for garbage in cycles: following a log makes none, and a look costs as much as there is
remembered of all subjects."""


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help=f"Configuration file. [default: {_CONFIG} if it exists]"
)
@click.option("--log", "logs", multiple=True, type=click.Path(), help="Follow this log file instead; may be repeated.")
@journal("Read this machine's systemd journal instead, or the one in DIR.")
@click.option("--state", type=click.Path(), help="State database. [default: /var/lib/pfwatch/state.db]")
def run(config: Path | None, logs: tuple[str, ...], journal: str | None, state: str | None) -> None:
    """Watch the mail log: metrics, alerts, state.

    Without a configuration pfwatch finds the log by itself and says what it chose. SIGTERM ends it, SIGHUP reads the
    configuration again.
    """
    from pfwatch.store.errors import StateError
    from pfwatch.systemd import Notifier, say_to_stderr
    from pfwatch.web.server import WebError

    say = say_to_stderr(journal="JOURNAL_STREAM" in os.environ)
    try:
        settings = _settings(config, logs, journal, state)
    except _UnusableError as error:
        for problem in error.problems:
            say(3, problem)
        sys.exit(USAGE)
    notifier = Notifier.from_environment(os.environ)
    try:
        is_stuck = asyncio.run(_run(settings, lambda: _settings(config, logs, journal, state), notifier, say))
    except (StateError, WebError) as error:
        fail(str(error), RUNTIME)
    finally:
        notifier.close()
    if is_stuck:
        os._exit(0)  # a usual exit would wait for the thread


async def _run(
    settings: "DaemonSettings",
    read_again: Callable[[], "DaemonSettings"],
    notifier: "Notifier",
    say: Callable[[int, str], None],
) -> bool:
    """One daemon after the other, until one is stopped. A reload that cannot be done changes nothing.

    True when the thread of the last one's state still waits for its disk.
    """
    from pfwatch.daemon import Daemon, signals
    from pfwatch.store.errors import StateError
    from pfwatch.web.server import WebError

    gc.freeze()  # what was loaded stays
    gc.set_threshold(_GARBAGE)
    daemon = Daemon(settings, notifier, say)
    proven, reloaded = None, True
    with signals(lambda end: daemon.stop(end)):  # whichever runs at that time
        while True:
            daemon.pipeline.counters.set("pfwatch_config_last_reload_successful", (), int(reloaded))
            try:
                if await daemon.run() == "stopped":
                    return daemon.is_stuck
                proven = settings
                settings, reloaded = read_again(), True
            except (StateError, WebError) as error:
                if proven is None or daemon.ready.is_set():
                    raise
                say(3, f"{error}; pfwatch goes on with the configuration before")
                settings, proven, reloaded = proven, None, False
            except _UnusableError as error:
                for problem in error.problems:
                    say(3, problem)
                say(3, "the configuration is wrong; pfwatch goes on with the one before")
                reloaded = False
            daemon = Daemon(settings, notifier, say, unwritten=daemon.unwritten)


class _UnusableError(Exception):
    """There is no configuration to run with; every problem is a line that says what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems


def _settings(config: Path | None, logs: tuple[str, ...], journal: str | None, state: str | None) -> "DaemonSettings":
    """The settings. Raises _UnusableError."""
    from pfwatch.config import ConfigError, defaults, load
    from pfwatch.daemon import DaemonSettings

    path = config or (_CONFIG if _CONFIG.exists() else None)
    try:
        loaded = load(path) if path else defaults()
    except ConfigError as error:
        raise _UnusableError(*map(str, error.problems)) from None
    source, store = loaded.source, loaded.store
    if state or ("STATE_DIRECTORY" in os.environ and not path):
        store = msgspec.structs.replace(store, path=state or f"{os.environ['STATE_DIRECTORY']}/state.db")
    source = _which(source, logs, journal)
    for name in source.paths:
        if Path(name).is_dir():
            hint = "read it with --journal=" + name if is_journal(name) else "name the log file in it"
            raise _UnusableError(f"{name}: is a directory; {hint}")
    return DaemonSettings(source, store, loaded.web, loaded.detection, loaded.alerts, loaded.mail, loaded.dovecot)


def _which(source: "SourceSettings", logs: tuple[str, ...], journal: str | None) -> "SourceSettings":
    """The log files and the journal to read: of the command line, else of the configuration, else those that are found.

    Raises _UnusableError.
    """
    if logs or journal is not None:
        wanted = msgspec.structs.replace(
            source.journal,
            enabled=journal is not None,
            directory=os.path.abspath(journal) if journal else source.journal.directory,  # noqa: PTH100 - as given
            namespace=None if journal else source.journal.namespace,
        )
        return msgspec.structs.replace(source, paths=logs, journal=wanted)
    # Where syslog is received, the log of this machine may be what is sent: only who names it has it read as well.
    if source.paths or source.journal.enabled or source.syslog.listen:
        return source
    path = _found_log()
    if path is None:
        return msgspec.structs.replace(source, journal=msgspec.structs.replace(source.journal, enabled=True))
    return msgspec.structs.replace(source, paths=(path,))


def _found_log() -> str | None:
    """The log file that is found, None for the journal. Raises _UnusableError."""
    from pfwatch.sources.find import find_log

    try:
        found = find_log()
    except SourceError as error:
        raise _UnusableError(f"{error}") from None
    click.echo(f"pfwatch: {found.why}", err=True)
    return found.path
