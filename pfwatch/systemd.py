"""Talks with the service manager: readiness, reload, watchdog, one line of status, and the credentials it hands over.

Enters: the environment that systemd gave the process. Leaves: datagrams on the notification socket, secrets as text.
Must never know: what pfwatch does, or when; the daemon decides that. Facts: sd_notify(3), systemd.exec(5).
"""

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

UNSET_CREDENTIAL = "@unset"
"""Value of a credential that stands for "none": SetCredential= takes no empty value."""

STATUS_LIMIT = 1000
"""Characters of a status: systemd reads 4096 bytes of a message, and a character takes up to four."""

SEND_TIMEOUT = 0.25
"""Seconds to wait for room in the socket: a busy systemd is worth a moment, but must not hold up the daemon."""


class CredentialError(Exception):
    """A credential is there but cannot be used; the text says which, where, why, and what to do."""


class Notifier:
    """Tells systemd how the daemon is. Without a notification socket every call does nothing.

    No method raises when systemd cannot be reached: the last failure is kept in `failed`, and a success clears it.
    """

    def __init__(self, address: str | None, watchdog_interval: float | None = None) -> None:
        self._address = address
        self._watchdog_interval = watchdog_interval
        self._socket: socket.socket | None = None
        self.failed: OSError | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        return cls(environ.get("NOTIFY_SOCKET") or None, _watchdog_interval(environ))

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two calls of `watchdog()`, half of what systemd allows; None when it does not watch us."""
        return self._watchdog_interval

    def ready(self, status: str) -> None:
        """The daemon works, after its start or after a reload."""
        self._send("READY=1", _status_line(status))

    def status(self, text: str) -> None:
        """What `systemctl status` shows; line breaks and control characters become spaces."""
        self._send(_status_line(text))

    def reloading(self) -> None:
        """A reload begins; `ready()` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        """The shutdown begins."""
        self._send("STOPPING=1", _status_line(status))

    def watchdog(self) -> None:
        """The daemon makes progress: call it every `watchdog_interval` seconds."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Gives the socket back; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            address = _socket_address(self._address)
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.settimeout(SEND_TIMEOUT)
            # Not connected: systemd may have made its socket anew since the last message.
            self._socket.sendto("\n".join(assignments).encode(), address)
            self.failed = None
        except OSError as error:
            self.failed = error


def say_to_stderr(*, journal: bool) -> Callable[[int, str], None]:
    """Messages on standard error, with the priority in front where the journal reads them (sd-daemon(3))."""

    def say(priority: int, text: str) -> None:
        line = "".join(letter if letter.isprintable() else "?" for letter in text)
        line = f"<{priority}>{line}\n" if journal else f"pfwatch: {line}\n"
        # At once and without a buffer: a file on a full disk, or a reader that went away, must not end the daemon.
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), line.encode(errors="backslashreplace"))

    return say


def credential(name: str, environ: Mapping[str, str]) -> str | None:
    """The secret that systemd handed over as `name` (LoadCredential=, SetCredential=), without its last line break.

    None when there is no such credential or its value is `@unset`. Raises CredentialError when it cannot be read.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise CredentialError(
            f"{name!r} is no credential name: expected a plain file name, as in LoadCredential=NAME:PATH"
        )
    path = Path(directory, name)
    try:
        value = path.read_text(encoding="utf-8").removesuffix("\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialError(
            f"credential {name}: cannot read {path}: {error.strerror}; "
            f"check LoadCredential={name}:PATH in the unit (systemctl cat pfwatch)"
        ) from error
    except UnicodeDecodeError as error:
        raise CredentialError(
            f"credential {name}: {path} is not UTF-8 text (byte {error.start + 1}); "
            f"write the file that LoadCredential={name}:PATH names as plain text"
        ) from error
    return None if value == UNSET_CREDENTIAL else value


def _socket_address(address: str) -> str:
    if address.startswith("@"):
        return "\0" + address[1:]
    if address.startswith("/"):
        return address
    raise OSError(
        errno.EAFNOSUPPORT, f"NOTIFY_SOCKET={address}: expected a path or an abstract name that begins with @"
    )


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
        watched = int(environ.get("WATCHDOG_PID", "") or os.getpid())
    except ValueError:
        return None
    return microseconds / 2_000_000 if microseconds > 0 and watched == os.getpid() else None


def _status_line(text: str) -> str:
    # A line break would end the value and begin an assignment, and the text may come from the log.
    return "STATUS=" + "".join(char if char.isprintable() else " " for char in text[:STATUS_LIMIT])
