"""The command `pfwatch`: one small module per subcommand, imported when it runs.

Exit codes: 0 fine, 1 findings (only commands that judge), 2 wrong usage or configuration, 3 failure at run time.
"""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import click

from pfwatch import __version__

_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("run", "Watch the mail log: metrics, alerts, state. This is the daemon."),
    "replay": ("replay", "Read finished logs and say what the daemon would have done."),
    "events": ("events", "Print what finished logs say, one event per line."),
    "explain": ("explain", "Say what a log line means, field by field."),
    "unread": ("unread", "Say which lines of Postfix are not read, ready for a bug report."),
    "check-config": ("check_config", "Check the configuration and show what it puts in force."),
    "demo": ("demo", "Replay a real attack through the live daemon and show the alert mail."),
    "version": ("version", "Print the version."),
}


class _Commands(click.Group):
    """Imports a subcommand when it is named, so that `--help` is quick."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; end as the shell would have it when the reader of our output had enough."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click itself would end with 1, which means findings
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(128 + signal.SIGPIPE)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        gc.disable()  # what is loaded stays: a collection would look at all of it, again and again
        module = importlib.import_module(f"pfwatch.cli.{_COMMANDS[cmd_name][0]}")
        gc.enable()
        command: click.Command = getattr(module, _COMMANDS[cmd_name][0])
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="pfwatch %(version)s")
def _pfwatch() -> None:
    """Watches a Postfix mail server: reads its log truthfully, exports metrics, sends alert mails worth reading."""


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    _pfwatch.main(prog_name="pfwatch", standalone_mode=True)
    sys.exit(0)
