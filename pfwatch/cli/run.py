"""`pfwatch run`: the daemon."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from pfwatch.cli.options import RUNTIME, USAGE, fail
from pfwatch.sources.errors import SourceError

if TYPE_CHECKING:
    from pfwatch.daemon import DaemonSettings

_CONFIG = Path("/etc/pfwatch/pfwatch.toml")


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help=f"Configuration file. [default: {_CONFIG} if it exists]"
)
@click.option("--log", "logs", multiple=True, type=click.Path(), help="Follow this log file instead; may be repeated.")
@click.option("--state", type=click.Path(), help="State database. [default: /var/lib/pfwatch/state.db]")
def run(config: Path | None, logs: tuple[str, ...], state: str | None) -> None:
    """Watch the mail log: metrics, alerts, state.

    Without a configuration pfwatch finds the log by itself and says what it chose. SIGTERM ends it, SIGHUP reads the
    configuration again.
    """
    from pfwatch.daemon import Daemon, DaemonError, serve
    from pfwatch.store.errors import StateError
    from pfwatch.systemd import Notifier, say_to_stderr
    from pfwatch.web.server import WebError

    say = say_to_stderr(journal="JOURNAL_STREAM" in os.environ)
    notifier = Notifier.from_environment(os.environ)
    settings = _settings(config, logs, state)
    if settings is None:
        sys.exit(USAGE)
    try:
        while True:
            end = asyncio.run(serve(Daemon(settings, notifier, say)))
            if end == "stopped":
                return
            notifier.reloading()
            again = _settings(config, logs, state)
            if again is None:
                say(3, "the configuration is wrong; pfwatch goes on with the one before")
            settings = again or settings
    except (DaemonError, StateError, WebError) as error:
        fail(str(error), RUNTIME)
    finally:
        notifier.close()


def _settings(config: Path | None, logs: tuple[str, ...], state: str | None) -> "DaemonSettings | None":
    """The settings, or None after every problem was said."""
    from pfwatch.config import ConfigError, defaults, load
    from pfwatch.daemon import DaemonSettings
    from pfwatch.sources.find import find_log

    path = config or (_CONFIG if _CONFIG.exists() else None)
    try:
        loaded = load(path) if path else defaults()
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        return None
    source, store = loaded.source, loaded.store
    if logs:
        source = msgspec.structs.replace(source, paths=logs)
    if state or ("STATE_DIRECTORY" in os.environ and not path):
        store = msgspec.structs.replace(store, path=state or f"{os.environ['STATE_DIRECTORY']}/state.db")
    if not source.paths:
        try:
            found = find_log()
        except SourceError as error:
            fail(str(error), USAGE)
        click.echo(f"pfwatch: {found.why}", err=True)
        if found.path is None:
            fail("reading the journal is not built yet; name a log file with --log or [log] paths", USAGE)
        source = msgspec.structs.replace(source, paths=(found.path,))
    for name in source.paths:
        if Path(name).is_dir():
            fail(f"{name}: is a directory; name the log file in it", USAGE)
    return DaemonSettings(source, store, loaded.web, loaded.detection, loaded.alerts, loaded.mail)
