"""What syslog daemons and log rotation do to a log: each line comes once, whole and in order.

Each case is also given to three naive ways of following a log (`naive`). Those named beside it fail: a case that none
of them fails would prove nothing.
"""

import contextlib
import gzip
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from pfwatch.position import FilePosition
from pfwatch.sources.follow import FileFollower
from pfwatch.sources.settings import SourceSettings
from tests.sources.naive import InodeOnly, SeekToEnd, SizeOnly

SETTINGS = SourceSettings(block_size=4096, max_line=512)
ROOT = os.geteuid() == 0


class Reader(Protocol):
    def look(self) -> bytes: ...
    def state(self) -> object: ...
    def close(self) -> None: ...


class Ours:
    """pfwatch's follower, as the naive ones are used."""

    def __init__(self, path: Path, state: FilePosition | None) -> None:
        self._position = state
        self.follower = FileFollower(str(path), SETTINGS, position=state)

    def look(self) -> bytes:
        read = b""
        for _ in range(1000):
            block = self.follower.poll()
            if block is not None:
                assert isinstance(block.position, FilePosition)
                self._position = block.position
                read += block.data
            elif self.follower.at_end:
                return read
        raise AssertionError("the end of the log is never reached")

    def state(self) -> FilePosition | None:
        return self._position

    def close(self) -> None:
        assert self.follower.losses == []
        self.follower.close()


class Log:
    """A log that a case does something to, and who reads it."""

    def __init__(self, path: Path, kind: type[Ours | SeekToEnd | InodeOnly | SizeOnly]) -> None:
        self.path = path
        self.written: list[bytes] = []
        """Lines, in the order in which they are to come."""
        self.read: list[bytes] = []
        """Lines as they came; a half line is one, too."""
        self._kind = kind
        self.path.touch()
        self._reader: Reader = kind(path, None)

    def write(self, count: int, path: Path | None = None) -> None:
        first = len(self.written)
        self.written += [b"Oct 19 00:00:%05d mx1 postfix/qmgr[7]: %d\n" % (n, n) for n in range(first, first + count)]
        self.append(b"".join(self.written[first:]), path)

    def append(self, data: bytes, path: Path | None = None) -> None:
        with (path or self.path).open("ab") as file:
            file.write(data)

    def look(self) -> None:
        self.read += self._reader.look().splitlines(keepends=True)

    def beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def stop(self) -> None:
        self._state = self._reader.state()
        self._reader.close()

    def start(self) -> None:
        self._reader = self._kind(self.path, self._state)  # type: ignore[arg-type] # each gets its own state back

    def close(self) -> None:
        self._reader.close()


Case = Callable[[Log], None]
CASES: dict[str, tuple[Case, set[str]]] = {}


def case(*fails: str) -> Callable[[Case], Case]:
    """Something that happens to a log, and the naive ways that fail then."""

    def add(function: Case) -> Case:
        CASES[function.__name__] = function, set(fails)
        return function

    return add


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def renamed_and_created(log: Log) -> None:
    log.write(10)
    log.look()
    log.write(5)
    log.path.rename(log.beside(".1"))
    log.write(10)
    log.look()


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def copied_and_truncated(log: Log) -> None:
    log.write(20)
    log.look()
    log.write(5)
    shutil.copy(log.path, log.beside(".1"))
    os.truncate(log.path, 0)
    log.write(10)
    log.look()


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def truncated_to_zero_and_grown_past_the_old_size(log: Log) -> None:
    log.write(10)
    log.look()
    shutil.copy(log.path, log.beside(".1"))
    os.truncate(log.path, 0)
    log.write(20)
    log.look()


@case("InodeOnly")
def truncated_to_zero_and_grown_a_little(log: Log) -> None:
    log.write(10)
    log.look()
    shutil.copy(log.path, log.beside(".1"))
    os.truncate(log.path, 0)
    log.write(2)
    log.look()


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def deleted_and_created_anew(log: Log) -> None:
    log.write(10)
    log.look()
    with log.path.open("ab") as writer:
        log.write(2)
        log.path.unlink()
        line = b"Oct 19 00:01:00 mx1 postfix/qmgr[7]: written to the deleted file\n"
        log.written.append(line)
        writer.write(line)
    log.write(20)
    log.look()


@case("SizeOnly")
def a_symbolic_link_swapped(log: Log) -> None:
    first, second, link = log.beside("-a"), log.beside("-b"), log.beside("-link")
    log.path.unlink()
    first.touch()
    log.path.symlink_to(first)
    log.look()
    log.write(10, first)
    log.look()
    log.write(20, second)
    link.symlink_to(second)
    link.replace(log.path)
    log.look()


def rotated_while_down(log: Log, names: tuple[str, ...]) -> None:
    log.write(10)
    log.look()
    log.stop()
    for name in names:
        log.write(10)
        log.path.rename(log.beside(name))
        if name.endswith(".gz"):
            log.beside(name).write_bytes(gzip.compress(log.beside(name).read_bytes()))
    log.write(5)
    log.start()
    log.look()


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def rotated_several_times_while_down(log: Log) -> None:
    rotated_while_down(log, (".3", ".2", ".1"))


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def rotated_and_compressed_while_down_as_1_and_2_gz(log: Log) -> None:
    rotated_while_down(log, (".2.gz", ".1"))


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def rotated_and_compressed_while_down_under_dates(log: Log) -> None:
    rotated_while_down(log, ("-20261121.gz", "-20261122.gz", "-20261123"))


@case("SeekToEnd")
def written_to_while_down(log: Log) -> None:
    log.write(10)
    log.look()
    log.stop()
    log.write(10)
    log.start()
    log.look()


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def late_lines_into_the_old_inode(log: Log) -> None:
    log.write(10)
    log.look()
    log.path.rename(log.beside(".1"))
    log.path.touch()  # by logrotate; the syslog daemon has the old one open until it is told
    log.look()
    log.write(5, log.beside(".1"))
    log.look()
    log.write(5, log.beside(".1"))
    log.write(3)
    log.look()


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def a_half_written_last_line(log: Log) -> None:
    log.write(3)
    line = b"Oct 19 00:01:00 mx1 postfix/qmgr[7]: written in two pieces\n"
    log.append(line[:30])
    log.look()
    log.append(line[30:])
    log.written.append(line)
    log.look()


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def a_half_written_last_line_of_a_rotated_file(log: Log) -> None:
    log.write(3)
    log.append(b"Oct 19 00:01:00 mx1 postfix/qmgr[7]: the disk was full here")
    log.look()
    log.path.rename(log.beside(".1"))
    log.written.append(b"Oct 19 00:01:00 mx1 postfix/qmgr[7]: the disk was full here\n")
    log.write(3)
    log.look()


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def permission_lost_and_regained(log: Log) -> None:
    if not ROOT:
        pytest.skip("another user is needed, whom file modes bind")
    for folder in list(log.path.parents)[:4]:  # pytest's own
        folder.chmod(0o755)
    log.write(10)
    log.path.chmod(0o644)
    with as_nobody():
        log.look()
    log.write(5)
    log.path.rename(log.beside(".1"))
    log.write(10)
    log.path.chmod(0o600)
    with as_nobody(), contextlib.suppress(PermissionError):
        log.look()
    log.path.chmod(0o644)
    with as_nobody():
        log.look()


@case("SeekToEnd", "InodeOnly", "SizeOnly")
def the_disk_is_full_for_a_while(log: Log) -> None:
    """The writer's last line is cut where the disk ended, and completed once there is room."""
    if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "log", log.path.parent]).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        log.close()
        log.path.touch()
        log.stop()
        log.start()
        ballast = log.path.with_name("ballast")
        ballast.write_bytes(bytes(32 * 1024))
        writer = os.open(log.path, os.O_WRONLY | os.O_APPEND)
        line, kept = b"Oct 19 00:01:00 mx1 postfix/qmgr[7]: written until the disk is full\n", 0
        try:
            with contextlib.suppress(OSError):
                while True:
                    kept += os.write(writer, line)
            log.look()
            assert kept % len(line), "the last line fits by chance; change its length"
            ballast.unlink()
            os.write(writer, line[kept % len(line) :])
        finally:
            os.close(writer)
        log.written += [line] * (kept // len(line) + 1)
        log.look()
        log.close()
    finally:
        subprocess.run(["umount", "--lazy", log.path.parent], check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", CASES)
def test_every_line_comes_once_whole_and_in_order(name: str, folder: Path) -> None:
    log = Log(folder / "mail.log", Ours)
    CASES[name][0](log)
    assert log.read == log.written
    log.close()


@pytest.mark.parametrize("naive", [SeekToEnd, InodeOnly, SizeOnly])
@pytest.mark.parametrize("name", CASES)
def test_the_naive_way_fails_where_it_is_said_to(
    name: str, naive: type[SeekToEnd | InodeOnly | SizeOnly], folder: Path
) -> None:
    log = Log(folder / "mail.log", naive)
    CASES[name][0](log)
    assert (log.read != log.written) == (naive.__name__ in CASES[name][1])
    log.close()


def test_no_case_is_right_in_every_naive_way() -> None:
    assert [name for name, (_, fails) in CASES.items() if not fails] == []
