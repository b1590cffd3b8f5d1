"""`pfwatch version`."""

import platform

import click

from pfwatch import __version__


@click.command()
def version() -> None:
    """Print the versions of pfwatch and of the Python that runs it."""
    click.echo(f"pfwatch {__version__} (Python {platform.python_version()})")
