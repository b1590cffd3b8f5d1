"""Real journals for tests: files made by systemd-journal-remote, and a systemd-journald of one's own.

Enters: entries as fields, or programs that log. Leaves: journal files. Nothing here stands in for systemd: where its
programs are not installed, the tests that need them say so and are skipped.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pfwatch.records.header import row_of
from pfwatch.records.time import TimeReader
from pfwatch.sources.journal.library import COMPILED, has_package, is_available

REMOTE = Path("/usr/lib/systemd/systemd-journal-remote")
JOURNALD = Path("/usr/lib/systemd/systemd-journald")
MACHINE = "0123456789abcdef0123456789abcdef"
BOOT = "fedcba9876543210fedcba9876543210"
SECOND = 1_000_000
DAEMONS = "/usr/lib/postfix/sbin"


def _can_unshare() -> bool:
    if os.geteuid() != 0 or not JOURNALD.exists() or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


needs_files = pytest.mark.skipif(
    not REMOTE.exists(), reason="no systemd-journal-remote: apt-get install systemd-journal-remote"
)
needs_library = pytest.mark.skipif(not is_available(), reason="neither compiled code nor systemd-python is there")
needs_compiled = pytest.mark.skipif(not COMPILED, reason="nothing is compiled, or there is no libsystemd")
needs_package = pytest.mark.skipif(
    not has_package(),
    reason="no systemd-python: apt-get install libsystemd-dev pkg-config gcc, then pip install 'pfwatch[journal]'",
)
needs_journalctl = pytest.mark.skipif(
    shutil.which("journalctl") is None, reason="no journalctl: apt-get install systemd"
)
needs_journald = pytest.mark.skipif(
    not _can_unshare(), reason="no systemd-journald to start in a mount namespace: as root, apt-get install systemd"
)

Fields = dict[str, bytes | str | int | None]


def fields(message: bytes | str, at: int, **others: bytes | str | int | None) -> Fields:
    """An entry of smtpd, `at` microseconds since the epoch, with other fields; None leaves one out."""
    usual: Fields = {
        "__REALTIME_TIMESTAMP": at, "__MONOTONIC_TIMESTAMP": at % 10**12, "_BOOT_ID": BOOT, "_MACHINE_ID": MACHINE,
        "_HOSTNAME": "mx1", "_TRANSPORT": "syslog", "PRIORITY": 6, "SYSLOG_FACILITY": 2,
        "SYSLOG_IDENTIFIER": "postfix/smtpd", "SYSLOG_PID": 4711, "_PID": 4711, "_UID": 104, "_GID": 107,
        "_COMM": "smtpd", "_EXE": f"{DAEMONS}/smtpd", "_CMDLINE": "smtpd -n smtp -t inet -u", "_CAP_EFFECTIVE": 0,
        "_SYSTEMD_UNIT": "postfix@-.service", "_SYSTEMD_CGROUP": "/system.slice/postfix@-.service",
        "_SYSTEMD_SLICE": "system.slice", "_SYSTEMD_INVOCATION_ID": "00112233445566778899aabbccddeeff",
        "_SELINUX_CONTEXT": "unconfined", "_RUNTIME_SCOPE": "system", "_SOURCE_REALTIME_TIMESTAMP": at - 20,
        "MESSAGE": message,
    }  # fmt: skip
    return usual | others


def of_lines(lines: Iterable[bytes], zone_offset: int = 0) -> Iterator[Fields]:
    """The entries that journald would have made of a log's lines in RFC 3339 form; others are left out."""
    times = TimeReader(None)
    for line in lines:
        row = row_of(b"\n" + line.rstrip(b"\n"))
        moment = times.read(row.time) if row else None
        if row is None or moment is None:
            continue
        tag = row.tag.decode()
        program = "log" if tag == "dovecot" else tag.rpartition("/")[2]
        exe = "/usr/lib/dovecot/log" if tag == "dovecot" else f"{DAEMONS}/{program}"
        if program == "postfix-script":
            program, exe = "postlog", "/usr/sbin/postlog"
        pid = row.pid.decode() or None
        yield fields(
            row.body, round(moment.at * SECOND), _HOSTNAME=row.host, SYSLOG_IDENTIFIER=tag, SYSLOG_PID=pid,
            _PID=pid or 939, _COMM=program[:15], _EXE=exe, _UID=0 if program in ("postlog", "log", "master") else 104,
        )  # fmt: skip


def exported(entries: Iterable[Fields]) -> bytes:
    """Entries in journald's export format."""
    parts: list[bytes] = []
    for entry in entries:
        for name, value in entry.items():
            if value is None:
                continue
            data = value if isinstance(value, bytes) else str(value).encode()
            if b"\n" in data:
                parts.append(name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n")
            else:
                parts.append(name.encode() + b"=" + data + b"\n")
        parts.append(b"\n")
    return b"".join(parts)


def write_journal(path: Path, entries: Iterable[Fields]) -> Path:
    """A journal file, or more behind it, with these entries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([REMOTE, "-o", path, "-"], input=exported(entries), capture_output=True, check=True)
    return path


SMTPD = "/usr/src/smtpd"
"""In the namespace, a program that journald takes for Postfix's: this interpreter under that name."""
_SOCKET = "/run/systemd/journal/dev-log"
_SEND = f"""
import sys
sys.path[:] = {[path for path in sys.path if path]!r}
import socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
    log.connect({_SOCKET!r})
    for line in sys.stdin.buffer.read().splitlines():
        log.send(b"<22>postfix/smtpd[4711]: " + line)
"""


def _python() -> str:
    return os.path.realpath(sys.executable)


class Journald:
    """A systemd-journald in a mount namespace of its own, whose files and sockets are in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "log"
        self.socket = folder / "run/systemd/journal/dev-log"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("log", "run/systemd/journal"):
            (folder / name).mkdir(parents=True)
        (folder / "run/systemd/journal/flushed").touch()  # so it writes to /var/log/journal from the beginning
        (folder / "machine-id").write_text(MACHINE + "\n")
        (folder / "journald.conf").write_text(
            "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nForwardToSyslog=no\nForwardToWall=no\n"
            "ReadKMsg=no\nAudit=no\nSystemMaxFileSize=512K\nSystemMaxUse=1G\nSystemKeepFree=1M\n"
        )

    def start(self) -> None:
        """Start it, and return when it listens."""
        self.socket.unlink(missing_ok=True)
        self._process = self.inside(str(JOURNALD))
        deadline = time.monotonic() + 10
        while not self.socket.exists():
            assert self._process.poll() is None, "systemd-journald ended"
            assert time.monotonic() < deadline, "systemd-journald does not listen"

    def inside(self, *command: str, text: bytes | None = None) -> subprocess.Popen[bytes]:
        """A program in the namespace, where `DAEMONS/smtpd` is there; it is given `text` and is left running."""
        mounts = (
            f"mount --bind {self.folder}/run /run && mount --bind {self.folder}/machine-id /etc/machine-id && "
            f"mkdir -p /var/log/journal && mount --bind {self.folder}/log /var/log/journal && "
            f"mount --bind {self.folder}/journald.conf /etc/systemd/journald.conf && "
            f"mount -t tmpfs tmpfs /usr/src && touch {SMTPD} && mount --bind {_python()} {SMTPD} && "
            'exec "$@"'
        )
        process = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", mounts, "sh", *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if text is not None and process.stdin is not None:
            process.stdin.write(text)
            process.stdin.close()
        return process

    def smtpd_logs(self, text: bytes) -> None:
        """Each line as a message of a program that is, for journald, Postfix's smtpd."""
        self._log(text, SMTPD, "-I", "-c", _SEND)

    def logger_logs(self, text: bytes) -> None:
        """Each line as what `logger -t postfix/smtpd` makes of it for user 65534.

        Not root's: logger(1) may be gone before journald looks, and then there is only its user to judge by.
        """
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        self._log(text, *user, "logger", "-t", "postfix/smtpd", "-p", "mail.info", "--id=4711", "-u", _SOCKET)

    def _log(self, text: bytes, *command: str) -> None:
        assert self.inside(*command, text=text).wait(30) == 0
        self.sync()

    def sync(self) -> None:
        """Return when everything that was sent is in the files."""
        mark = self.folder / "run/systemd/journal/synced"
        mark.unlink(missing_ok=True)
        self.send(signal.SIGRTMIN + 1)
        self._until(mark)

    def count(self) -> int:
        """The entries of facility mail in it, by journalctl. logger(1) sends again what it takes for lost, so what it
        was given may be there twice."""
        command = ["journalctl", "--directory", str(self.files), "-o", "export", "SYSLOG_FACILITY=2"]
        return subprocess.run(command, capture_output=True, check=True).stdout.count(b"__CURSOR=")

    def rotate(self) -> None:
        """Begin new files."""
        mark = self.folder / "run/systemd/journal/rotated"
        mark.unlink(missing_ok=True)
        self.send(signal.SIGUSR2)
        self._until(mark)

    def vacuum(self) -> None:
        """Drop all but the files that are written to."""
        archived = [path for path in self.files.glob("*/*.journal") if "@" in path.name]
        assert archived
        for path in archived:
            path.unlink()

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def _until(self, mark: Path) -> None:
        deadline = time.monotonic() + 10
        while not mark.exists():
            assert time.monotonic() < deadline, f"systemd-journald does not make {mark.name}"


@contextlib.contextmanager
def journald(folder: Path) -> Iterator[Journald]:
    """A journald that runs."""
    running = Journald(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()
