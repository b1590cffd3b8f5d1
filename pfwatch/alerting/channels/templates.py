"""Finds the text of the mail templates: the shipped ones, and an administrator's own where there are some.

Enters: a directory or nothing. Leaves: `Templates`, all of them compiled, so that a mistake shows at the start.
This file must never know what a template says.
"""

from importlib.resources import files
from pathlib import Path

import jinja2

from pfwatch.alerting.message import TEMPLATE_NAMES, Templates


class TemplateError(Exception):
    """A template that cannot be used: which file, where in it, why."""


def load_templates(directory: Path | None = None) -> Templates:
    """The shipped templates; a file of the same name in `directory` takes the place of a shipped one."""
    shipped = {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in files("pfwatch.alerting").joinpath("templates").iterdir()
        if entry.name.endswith(".j2")
    }
    if directory is None:
        return Templates(shipped)
    own = _own(directory, frozenset(shipped))
    try:
        return Templates(shipped, own)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{directory / (error.name or '')}:{error.lineno}: {error.message}") from error


def _own(directory: Path, known: frozenset[str]) -> dict[str, str]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(".j2"))
        own = {path.name: path.read_text(encoding="utf-8") for path in paths}
    except OSError as error:
        raise TemplateError(f"{error.filename or directory}: {error.strerror}: cannot read mail templates") from error
    except UnicodeDecodeError as error:
        raise TemplateError(f"{directory}: a mail template is not UTF-8 text: {error}") from error
    for name in own:
        if name not in known and not name.startswith("_"):
            names = ", ".join(TEMPLATE_NAMES)
            raise TemplateError(f"{directory / name}: no mail is made from a template of this name; there are {names}")
    return own
