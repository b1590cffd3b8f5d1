"""A program that only follows a log: measured from its start until it has taken in what is appended.

What enters: a tool, and a log. What leaves: its CPU seconds and memory, and what it shows over HTTP at the end. What
this file must never know: what that means.

The program begins at the end of the log that it is given, so it gets one of a single line, and the whole log is
appended once it stands behind that line. It has read everything when it stands at the end and uses no more CPU time.
Its elapsed time has our waiting in it, and is not to be compared.
"""

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.bench.measure import ProgramError, Run, Tool, last_words, start

_PAUSE = 0.02
"""Seconds between two looks at the program; looking costs it nothing."""
_QUIET = 0.3
"""Seconds without CPU time after which it has nothing left to do."""
_MOST = 300.0
"""Seconds after which it is given up."""
_FIRST = b"Mar  2 05:59:59 mx1 dovecot: begin\n"


def measure_following(tool: Tool, log: Path, output: Path) -> Run:
    """As `measure`; `{port}` in the command stands for a free port, where /metrics is asked for once."""
    followed = output.with_suffix(".followed")
    followed.write_bytes(_FIRST)
    port = _free_port()
    command = tuple(part.replace("{port}", str(port)) for part in tool.command)
    pid = start(Tool(tool.name, command), followed, output)
    ended = False
    try:
        started = time.perf_counter()
        _wait_until(lambda: _position(pid, followed) == len(_FIRST), f"{tool.name} follows the log", output)
        with log.open("rb") as source, followed.open("ab") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        size = followed.stat().st_size
        _wait_until(lambda: _position(pid, followed) == size, f"{tool.name} reads the log", output)
        _wait_until_idle(pid)
        elapsed = time.perf_counter() - started
        output.write_bytes(_metrics(port))
        os.kill(pid, signal.SIGTERM)
        _, _, usage = os.wait4(pid, 0)
        ended = True
    except OSError as error:
        raise ProgramError(f"{tool.name}: {error}; its last words: {last_words(output)}") from error
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        followed.unlink()
    return Run(usage.ru_utime + usage.ru_stime, elapsed, usage.ru_maxrss / 1024)


def _wait_until(reached: Callable[[], bool], what: str, output: Path) -> None:
    until = time.monotonic() + _MOST
    while not reached():
        if time.monotonic() > until:
            raise ProgramError(f"waited {_MOST:.0f} seconds until {what}: {last_words(output)}")
        time.sleep(_PAUSE)


def _wait_until_idle(pid: int) -> None:
    used, since = _ticks(pid), time.monotonic()
    while time.monotonic() - since < _QUIET:
        time.sleep(_PAUSE)
        now = _ticks(pid)
        if now != used:
            used, since = now, time.monotonic()


def _position(pid: int, path: Path) -> int | None:
    """How far a process has read a file; None where it has not opened it. Raises OSError when the process is gone."""
    os.kill(pid, 0)
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if descriptor.readlink() == path.resolve():
                text = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text(encoding="ascii")
                return int(text.split()[1])
        except FileNotFoundError:  # closed meanwhile
            continue
    return None


def _ticks(pid: int) -> tuple[str, ...]:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return tuple(fields[11:13])


def _metrics(port: int) -> bytes:
    """Asked for without a library, for each makes this process larger, and no measured program seems smaller."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as answer:
            return answer.read().partition(b"\r\n\r\n")[2]


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        port: int = one.getsockname()[1]
        return port
