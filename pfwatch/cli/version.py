"""`pfwatch version`."""

import platform

import click

from pfwatch import __version__


@click.command()
def version() -> None:
    """Print the versions of pfwatch and of the Python that runs it, and how it reads logs."""
    from pfwatch.parsing.fast import BUILT

    click.echo(f"pfwatch {__version__} (Python {platform.python_version()})")
    if not BUILT:
        click.echo(
            "It reads logs by Python alone, at less than half the speed of compiled code: there was no C compiler "
            "when it was installed. On Debian: apt-get install gcc python3-dev, then install pfwatch again."
        )
