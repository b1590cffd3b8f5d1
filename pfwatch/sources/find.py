"""Finds the log that Postfix writes when nobody says which it is.

Enters: a root directory and a way to ask Postfix. Leaves: the log to read and the reason for it. This file must never
know how the log is read.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from pfwatch.sources.errors import SourceError

_USUAL = ("/var/log/mail.log", "/var/log/maillog")
"""Debian's name and Red Hat's."""
_JOURNALS = ("/var/log/journal", "/run/log/journal")
_POSTCONF_TIMEOUT = 5.0


class Found(msgspec.Struct, frozen=True):
    """Where the log is."""

    kind: Literal["file", "journal"]
    path: str | None
    """None for the journal."""
    why: str
    """A sentence for the administrator: what was chosen, and why."""


def ask_postconf() -> str:
    """The value of `maillog_file`; empty when it is not set, or there is no Postfix that knows it."""
    command = ("postconf", "-xh", "maillog_file")
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_POSTCONF_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else ""


def find_log(run: Callable[[], str] = ask_postconf, root: Path = Path("/")) -> Found:
    """What to read: the file Postfix names, else the usual file written last, else the journal. Raises SourceError."""
    named = run()
    if named.startswith("/") and _inside(root, named).is_file():
        return Found("file", named, f"reading {named}: Postfix writes it itself (maillog_file)")
    written = {path: status for path in _USUAL if (status := _modified(_inside(root, path))) is not None}
    if written:
        path = max(written, key=lambda path: written[path])
        others = "".join(f"; {other} is older" for other in written if other != path)
        return Found("file", path, f"reading {path}: the usual file{others}")
    for directory in _JOURNALS:
        if any(_inside(root, directory).glob("*/*.journal")):
            return Found("journal", None, f"reading the journal in {directory}: no log file in a usual place")
    looked_at = [*_USUAL, f"maillog_file of Postfix ({named or 'not set'})", *_JOURNALS]
    raise SourceError(
        "no mail log found",
        f"looked at {', '.join(looked_at)}. Name the file in the configuration, [log] paths = [...], or install a "
        "syslog daemon (rsyslog) that writes /var/log/mail.log",
    )


def _inside(root: Path, path: str) -> Path:
    return root / path.removeprefix("/")


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime if path.is_file() else None
    except OSError:
        return None
