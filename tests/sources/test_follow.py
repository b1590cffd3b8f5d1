"""A followed log gives every line once, in order, whatever becomes of its files; and says what it cannot know.

The follower is driven step by step: `Log` does to real files what syslog daemons and log rotation do.
"""

import asyncio
import contextlib
import ctypes
import errno
import gzip
import itertools
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from pfwatch.position import Block, FilePosition
from pfwatch.sources.doorbell import Doorbells
from pfwatch.sources.follow import FileFollower
from pfwatch.sources.openlog import OpenLog, open_log
from pfwatch.sources.rotated import rotated_files
from pfwatch.sources.settings import SourceSettings

SETTINGS = SourceSettings(block_size=4096, max_line=512, poll_interval=0.05)


def lines(first: int, last: int) -> bytes:
    return b"".join(b"Oct 19 00:00:%05d mx1 postfix/qmgr[7]: line %d\n" % (n, n) for n in range(first, last))


class Log:
    """A log and its follower, which can be restarted from the position of its last block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.old = path.with_name(path.name + ".1")
        self.position: FilePosition | None = None
        self.notes: list[str] = []
        self.follower = self._follower()

    def _follower(self) -> FileFollower:
        return FileFollower(str(self.path), SETTINGS, position=self.position, now=lambda: 5000.0)

    def restart(self) -> None:
        self.close()
        self.follower = self._follower()

    def close(self) -> None:
        self.notes += self.follower.notes
        self.follower.close()

    def write(self, data: bytes, path: Path | None = None) -> None:
        with (path or self.path).open("ab") as file:
            file.write(data)

    def blocks(self) -> list[Block]:
        """Everything that can be read now."""
        found = []
        for _ in range(10_000):
            block = self.follower.poll()
            if block is not None:
                assert isinstance(block.position, FilePosition)
                self.position = block.position
                found.append(block)
            elif self.follower.at_end:
                return found
        raise AssertionError("the end of the log is never reached")

    def read(self) -> bytes:
        return b"".join(block.data for block in self.blocks())


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "mail.log")
    yield log
    log.close()


def test_lines_come_as_they_are_written(log: Log) -> None:
    log.write(lines(0, 500))
    blocks = log.blocks()
    assert b"".join(block.data for block in blocks) == lines(0, 500)
    assert [block.caught_up for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert {block.reference for block in blocks} == {5000.0}
    log.write(lines(500, 503))
    assert log.read() == lines(500, 503)


def test_the_end_is_known_without_a_line(log: Log) -> None:
    log.path.touch()
    (block,) = log.blocks()
    assert (block.data, block.caught_up) == (b"", True)
    assert log.follower.poll() is None
    assert log.follower.at_end
    assert log.follower.problem is None


@pytest.mark.parametrize("afterwards", ["renamed", "copied", "compressed"])
def test_an_empty_log_that_was_filled_and_rotated_while_down(log: Log, afterwards: str) -> None:
    log.write(lines(90, 99), log.old.with_name("mail.log.2"))
    os.utime(log.old.with_name("mail.log.2"), (3000, 3000))  # from before, and not read
    log.path.touch()
    os.utime(log.path, (4000, 4000))
    assert log.read() == b""
    log.restart()
    log.write(lines(0, 10))
    if afterwards == "copied":
        shutil.copy2(log.path, log.old)
        os.truncate(log.path, 0)
    else:
        log.path.rename(log.old)
    if afterwards == "compressed":
        compressed(log.old)
    log.write(lines(10, 20))
    assert log.read() == lines(0, 20)
    assert log.follower.losses == []


@pytest.mark.parametrize("begun", [b"", b"Oct 19 00:00:00"])
def test_rotated_while_down_before_the_first_whole_line_was_read(log: Log, begun: bytes) -> None:
    log.write(begun)
    assert log.read() == b""
    log.restart()
    log.write(lines(0, 10)[len(begun) :])
    log.path.rename(log.old)
    log.write(lines(10, 20))
    assert log.read() == lines(0, 20)


def test_a_half_line_waits_and_the_position_stands_before_it(log: Log) -> None:
    log.write(b"whole\nhalf")
    assert log.read() == b"whole\n"
    assert log.position is not None
    assert log.position.offset == len(b"whole\n")
    log.write(b" line\n")
    assert log.read() == b"half line\n"


def test_every_position_is_the_beginning_of_a_line(log: Log) -> None:
    data = lines(0, 30) + b"x" * 20_000 + b"\n" + lines(30, 60)
    log.write(data)
    for block in log.blocks():
        assert block.position is not None
        assert isinstance(block.position, FilePosition)
        assert data[: block.position.offset].endswith(b"\n")


def test_a_restart_goes_on_where_it_was(log: Log) -> None:
    log.write(lines(0, 10) + b"half")
    assert log.read() == lines(0, 10)
    log.restart()
    log.write(b" line\n" + lines(10, 20))
    assert log.read() == b"half line\n" + lines(10, 20)


def test_a_log_that_is_not_there_yet_is_waited_for(log: Log) -> None:
    assert log.read() == b""
    assert log.follower.problem is not None
    assert "does not exist" in log.follower.problem
    log.write(lines(0, 3))
    assert log.read() == lines(0, 3)
    assert log.follower.problem is None


def test_renamed_and_created_anew(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.path.rename(log.old)
    log.write(lines(10, 20), log.old)
    assert log.read() == lines(10, 20)
    log.write(lines(20, 30))
    assert log.read() == lines(20, 30)


def test_late_lines_in_the_renamed_file_come_before_those_of_the_new_one(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.path.rename(log.old)
    log.path.touch()  # made by the rotation; the syslog daemon still writes to the old one
    assert log.read() == b""
    log.write(lines(10, 20), log.old)
    assert log.read() == lines(10, 20)
    log.write(lines(20, 22), log.old)
    log.write(lines(22, 30))
    assert log.read() == lines(20, 30)


def test_the_last_half_line_of_a_renamed_file_is_not_lost(log: Log) -> None:
    log.write(b"one\ntwo")
    assert log.read() == b"one\n"
    log.path.rename(log.old)
    log.write(b"three\n")
    assert log.read() == b"two\nthree\n"


def test_two_rotations_between_two_looks(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.write(lines(10, 20))
    log.path.rename(log.path.with_name("mail.log.2"))
    log.write(lines(20, 30), log.old)
    log.write(lines(30, 40))
    assert log.read() == lines(10, 40)


def test_copied_and_truncated(log: Log) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    log.write(lines(100, 110))  # not read before the truncation
    shutil.copy(log.path, log.old)
    os.truncate(log.path, 0)
    assert log.read() == lines(100, 110)
    log.write(lines(110, 120))
    assert log.read() == lines(110, 120)


def test_truncated_and_grown_past_its_old_size(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    shutil.copy(log.path, log.old)
    os.truncate(log.path, 0)
    log.write(lines(10, 40))
    assert log.read() == lines(10, 40)


def test_truncated_without_a_copy_says_what_may_be_lost(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    os.truncate(log.path, 0)
    log.write(lines(10, 12))
    assert log.read() == lines(10, 12)
    (loss,) = log.follower.losses
    assert (loss.reason, loss.size) == ("truncated", None)  # nothing unread had been seen
    assert "it was emptied or overwritten, and no copy is beside it" in loss.text


def test_bytes_that_were_seen_and_then_truncated_away_are_measured(log: Log) -> None:
    log.write(lines(0, 500))
    block = log.follower.poll()  # the rest is seen only
    assert block is not None
    read = len(block.data)
    os.truncate(log.path, 0)
    log.write(lines(500, 502))
    assert log.read() == lines(500, 502)
    assert [(loss.reason, loss.size) for loss in log.follower.losses] == [("truncated", len(lines(0, 500)) - read)]


def test_an_emptied_log_without_a_new_line_moves_the_position_so_that_the_loss_is_told_once(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    os.truncate(log.path, 0)
    (block,) = log.blocks()
    assert block.data == b""
    assert len(log.follower.losses) == 1
    log.restart()
    assert log.blocks() == []
    assert log.follower.losses == []
    log.write(lines(10, 12))
    assert log.read() == lines(10, 12)
    assert log.follower.losses == []


@pytest.mark.parametrize("down", [False, True])
def test_copied_a_moment_before_the_last_lines_were_read_and_truncated(log: Log, down: bool) -> None:
    log.write(lines(0, 100))
    shutil.copy(log.path, log.old)
    log.write(lines(100, 110))
    assert log.read() == lines(0, 110)
    if down:
        log.restart()
    os.truncate(log.path, 0)
    log.write(lines(110, 120))
    assert log.read() == lines(110, 120)
    assert log.follower.losses == []


def test_what_was_written_between_copying_and_truncating_is_measured(log: Log) -> None:
    log.write(lines(0, 300))
    shutil.copy(log.path, log.old)
    log.write(lines(300, 400))
    block = log.follower.poll()
    assert block is not None
    os.truncate(log.path, 0)
    log.write(lines(400, 410))
    assert block.data + log.read() == lines(0, 300) + lines(400, 410)
    (loss,) = log.follower.losses
    assert (loss.reason, loss.size) == ("truncated", len(lines(300, 400)))
    assert "create in place of copytruncate" in loss.text


def test_deleted_and_made_anew(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    with log.path.open("ab") as writer:
        log.path.unlink()
        writer.write(lines(10, 12))
    assert log.read() == lines(10, 12)
    assert log.follower.problem is not None
    log.write(lines(12, 20))
    assert log.read() == lines(12, 20)
    assert log.follower.problem is None


def test_a_symbolic_link_that_points_elsewhere(log: Log) -> None:
    first, second = log.path.with_name("a"), log.path.with_name("b")
    log.write(lines(0, 10), first)
    log.write(lines(10, 20), second)
    log.path.symlink_to(first)
    assert log.read() == lines(0, 10)
    link = log.path.with_name("link")
    link.symlink_to(second)
    link.replace(log.path)
    assert log.read() == lines(10, 20)


def test_edited_by_an_administrator_nothing_is_read_twice(log: Log) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    edited = log.path.with_name("edited")
    log.write(lines(0, 100), edited)
    edited.replace(log.path)
    log.write(lines(100, 110))
    assert log.read() == lines(100, 110)


def test_two_logs_that_begin_with_the_same_short_line_are_two(log: Log) -> None:
    log.write(b"same\n")
    assert log.read() == b"same\n"
    log.path.rename(log.old)
    log.write(b"same\n")
    assert log.read() == b"same\n"


def test_two_long_logs_with_the_same_lines_are_two(log: Log) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    log.path.rename(log.old)
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)


def test_a_short_log_deleted_and_made_anew_with_the_same_line_is_another(log: Log) -> None:
    log.write(b"same\n")
    assert log.read() == b"same\n"
    log.path.unlink()
    assert log.read() == b""
    log.write(b"same\n")
    assert log.read() == b"same\n"


def test_a_log_is_known_by_more_than_its_first_line_once_it_has_more(log: Log) -> None:
    log.write(b"same\n")
    assert log.read() == b"same\n"
    log.write(lines(0, 5))
    assert log.read() == lines(0, 5)
    os.truncate(log.path, 0)
    log.write(b"same\n" + lines(5, 20))
    assert log.read() == b"same\n" + lines(5, 20)


def test_cut_off_in_place_nothing_is_read_twice(log: Log) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    os.truncate(log.path, len(lines(0, 90)))
    assert log.read() == b""
    log.write(lines(100, 105))
    assert log.read() == lines(100, 105)
    assert [(loss.reason, "was cut off" in loss.text) for loss in log.follower.losses] == [("truncated", True)]


def compressed(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def left_alone(path: Path) -> None:
    """As `delaycompress` does."""


@pytest.mark.parametrize("afterwards", [left_alone, compressed])
def test_rotated_while_down(log: Log, afterwards: Callable[[Path], None]) -> None:
    log.write(lines(0, 1000))
    assert log.read() == lines(0, 1000)
    log.restart()
    log.write(lines(1000, 2000))
    log.path.rename(log.old)
    afterwards(log.old)
    log.write(lines(2000, 2010))
    assert log.read() == lines(1000, 2010)
    assert log.follower.losses == []


@pytest.mark.parametrize(
    "names",
    [
        ("mail.log.3.gz", "mail.log.2.gz", "mail.log.1"),
        ("mail.log-20261121.gz", "mail.log-20261122.gz", "mail.log-20261123"),
    ],
)
def test_rotated_several_times_while_down(log: Log, names: tuple[str, ...]) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.restart()
    for number, name in enumerate(names):
        log.write(lines(10 * number + 10, 10 * number + 20))
        log.path.rename(log.path.with_name(name))
        if name.endswith(".gz"):
            path = log.path.with_name(name)
            path.write_bytes(gzip.compress(path.read_bytes()))
    log.write(lines(40, 50))
    assert log.read() == lines(10, 50)


def rotate(log: Log) -> None:
    """Every file moves on, and the log begins anew, as logrotate does it."""
    for number in range(9, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            log.path.with_name(f"mail.log.{number}").rename(log.path.with_name(f"mail.log.{number + 1}"))
    log.path.rename(log.old)


class RotatedMeanwhile:
    """Lists rotated files; when it is asked for the time with this number, the log is rotated behind the listing."""

    def __init__(self, log: Log, when: int, then: bytes) -> None:
        self.log, self.when, self.then, self.times = log, when, then, 0

    def __call__(self, path: Path) -> list[list[Path]]:
        found = rotated_files(path)
        self.times += 1
        if self.times == self.when:
            rotate(self.log)
            self.log.write(self.then)
        return found


@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_rotated_once_more_while_rotated_files_are_looked_for(
    log: Log, when: int, down: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    for number in range(1, 4):
        rotate(log)
        log.write(lines(100 * number, 100 * number + 100))
    meanwhile = RotatedMeanwhile(log, when, lines(400, 500))
    monkeypatch.setattr("pfwatch.sources.rotated.rotated_files", meanwhile)
    if down:
        log.restart()
    assert log.read() + log.read() == lines(100, 500)
    assert meanwhile.times > when
    assert log.follower.losses == []


def test_rotated_files_that_never_stand_still_are_looked_for_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    for number in range(1, 4):
        rotate(log)
        log.write(lines(100 * number, 100 * number + 100))
    log.restart()
    with monkeypatch.context() as patch:
        count = itertools.count()
        patch.setattr("pfwatch.sources.rotated._identities", lambda _name: next(count))
        assert log.read() == b""
    assert log.read() == lines(100, 400)


def test_late_lines_behind_two_rotations_come_before_those_of_the_new_log(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    rotate(log)
    log.write(lines(100, 200))
    times = iter([True])

    def open_behind_a_rotation(name: str, path: Path, settings: SourceSettings) -> OpenLog:
        if next(times, False):  # the new one is there already, and its writer still in the one before
            rotate(log)
            log.path.touch()
        return open_log(name, path, settings)

    monkeypatch.setattr("pfwatch.sources.follow.open_log", open_behind_a_rotation)
    assert log.read() == lines(100, 200)
    log.write(lines(200, 210), log.old)
    assert log.read() == lines(200, 210)
    log.write(lines(210, 220))
    assert log.read() == lines(210, 220)


def test_killed_after_each_block_while_reading_rotated_files_nothing_is_lost_or_doubled(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.write(lines(10, 300))
    log.path.rename(log.path.with_name("mail.log.2"))
    compressed(log.path.with_name("mail.log.2"))
    log.write(lines(300, 600), log.old)
    log.write(lines(600, 900))
    read = b""
    for _ in range(1000):
        log.restart()
        block = next((block for _ in range(100) if (block := log.follower.poll()) is not None), None)
        if block is None:
            break
        assert isinstance(block.position, FilePosition)
        log.position = block.position
        read += block.data
    assert read == lines(10, 900)


def test_rotated_while_down_and_the_new_file_is_still_empty(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.restart()
    log.write(lines(10, 20))
    log.path.rename(log.old)
    log.path.touch()
    assert log.read() == lines(10, 20)
    log.write(lines(20, 25), log.old)
    log.write(lines(25, 30))
    assert log.read() == lines(20, 30)


def test_rotated_away_while_down_and_deleted_is_said(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.restart()
    log.path.unlink()
    log.write(lines(20, 30))
    assert log.read() == lines(20, 30)
    (loss,) = log.follower.losses
    assert loss.reason == "rotated_away"
    assert "is not beside it as a rotated one" in loss.text


def test_newer_rotated_files_are_read_where_the_one_that_was_read_is_gone(log: Log) -> None:
    rotations = [log.path.with_name(f"mail.log.{number}") for number in (3, 2, 1)]
    log.write(lines(90, 99), rotations[0])
    os.utime(rotations[0], (4000, 4000))  # from before; read to its end long ago
    log.write(lines(0, 10))
    os.utime(log.path, (5000, 5000))
    assert log.read() == lines(0, 10)
    log.restart()
    log.path.unlink()
    log.write(lines(20, 30), rotations[1])
    os.utime(rotations[1], (6000, 6000))
    log.write(lines(30, 40), rotations[2])
    os.utime(rotations[2], (7000, 7000))
    log.write(lines(40, 50))
    assert log.read() == lines(20, 50)
    assert [loss.reason for loss in log.follower.losses] == ["rotated_away"]


def test_bytes_that_were_seen_in_a_log_that_vanished_while_down_are_measured(log: Log) -> None:
    log.write(lines(0, 500))
    block = log.follower.poll()
    assert block is not None
    assert isinstance(block.position, FilePosition)
    log.position = block.position
    log.restart()
    log.path.unlink()
    log.write(lines(500, 510))
    assert log.read() == lines(500, 510)
    (loss,) = log.follower.losses
    assert (loss.reason, loss.size) == ("rotated_away", len(lines(0, 500)) - len(block.data))
    assert f"at least {loss.size} bytes" in loss.text


def test_an_inode_used_again_is_not_taken_for_the_old_log(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.restart()
    os.truncate(log.path, 0)  # same inode, other content, larger than before
    log.write(lines(20, 60))
    assert log.read() == lines(20, 60)


def test_a_log_cut_off_by_a_power_failure_is_not_read_again(log: Log) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    log.restart()
    os.truncate(log.path, len(lines(0, 90)))
    assert log.read() == b""
    log.write(lines(100, 105))
    assert log.read() == lines(100, 105)
    assert [(loss.reason, "was cut off" in loss.text) for loss in log.follower.losses] == [("truncated", True)]


def test_a_damaged_rotated_file_is_said_and_reading_goes_on(log: Log) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.restart()
    log.write(lines(10, 2000))
    archive = gzip.compress(log.path.read_bytes())
    log.old.with_name("mail.log.1.gz").write_bytes(archive[:-100])
    log.path.unlink()
    log.write(lines(2000, 2010))
    read = log.read()
    readable = read.removesuffix(lines(2000, 2010))
    assert len(readable) < len(read)
    assert readable.endswith(b"\n")
    assert lines(10, 2000).startswith(readable)  # no half line, and nothing but what was written
    assert readable.startswith(lines(10, 1000))
    assert [(loss.reason, "ends too early" in loss.text) for loss in log.follower.losses] == [("unreadable", True)]


def test_a_directory_or_a_pipe_in_the_place_of_the_log_is_said_and_keeps_nobody_waiting(log: Log) -> None:
    log.path.mkdir()
    assert log.read() == b""
    assert log.follower.problem is not None
    assert "is a directory" in log.follower.problem
    log.path.rmdir()
    os.mkfifo(log.path)
    assert log.read() == b""
    assert "not a regular file" in log.follower.problem
    log.path.unlink()
    log.write(lines(0, 3))
    assert log.read() == lines(0, 3)
    assert log.follower.problem is None


def test_a_first_start_begins_where_it_is_told(log: Log) -> None:
    log.write(lines(0, 100))
    log.follower = FileFollower(str(log.path), SETTINGS, start_at=lambda file: file.read().index(b"\n", 2000) + 1)
    read = log.read()
    assert lines(0, 100).endswith(read)
    assert len(read) == len(lines(0, 100)) - lines(0, 100).index(b"\n", 2000) - 1


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, whom file modes bind")
@pytest.mark.parametrize("rotated", ["mail.log.1", "mail.log.2"])
def test_a_rotated_file_that_may_not_be_read_is_measured_and_the_others_are_read(rotated: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        log = Log(Path(name) / "mail.log")
        log.write(lines(0, 10))
        with as_nobody():
            assert log.read() == lines(0, 10)
        log.restart()
        log.write(lines(10, 20))
        log.path.rename(log.path.with_name("mail.log.2"))
        log.write(lines(20, 40), log.old)
        log.write(lines(40, 50))
        log.path.with_name(rotated).chmod(0o600)
        with as_nobody():
            first = rotated == "mail.log.2"
            assert log.read() == (lines(20, 50) if first else lines(10, 20) + lines(40, 50))
            (loss,) = log.follower.losses
            assert (loss.reason, loss.size) == ("unreadable", len(lines(10, 20) if first else lines(20, 40)))
            assert "permission denied: it can be read by root alone" in loss.text
        log.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, whom file modes bind")
@pytest.mark.parametrize("damaged", [False, True])
def test_killed_after_each_block_a_gap_between_rotated_files_is_told_once(open_folder: Path, damaged: bool) -> None:
    log = Log(open_folder / "mail.log")
    log.write(lines(0, 10))
    with as_nobody():
        assert log.read() == lines(0, 10)
    for first, name in ((10, "mail.log.3"), (300, "mail.log.2"), (600, "mail.log.1")):
        log.write(lines(first, first + 290))
        log.path.rename(log.path.with_name(name))
    log.write(lines(900, 1190))
    middle = log.path.with_name("mail.log.2")
    if damaged:
        middle.write_bytes(gzip.compress(middle.read_bytes())[:200])
    else:
        middle.chmod(0o600)
    read, losses = b"", []
    with as_nobody():
        for _ in range(1000):
            log.restart()
            block = next((block for _ in range(100) if (block := log.follower.poll()) is not None), None)
            if block is None:
                break
            assert isinstance(block.position, FilePosition)
            log.position = block.position
            read += block.data
            losses += log.follower.losses
    assert [loss.reason for loss in losses] == ["unreadable"]
    assert read.startswith(lines(10, 300))
    assert read.endswith(lines(600, 890) + lines(900, 1190))
    log.close()


def failing(number: int, inode: int) -> Callable[..., bytes]:
    """What the kernel does when a disk or a file server fails for one file."""

    def pread(file: int, size: int, offset: int, real: Callable[[int, int, int], bytes] = os.pread) -> bytes:
        if os.fstat(file).st_ino == inode:
            raise OSError(number, os.strerror(number))
        return real(file, size, offset)

    return pread


def test_a_bad_disk_under_the_old_file_does_not_keep_the_new_one_waiting(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write(lines(0, 10))
    assert log.read() == lines(0, 10)
    log.write(lines(10, 20))
    log.path.rename(log.old)
    monkeypatch.setattr(os, "pread", failing(errno.EIO, log.old.stat().st_ino))
    assert log.read() == b""
    assert log.follower.losses == []
    log.write(lines(20, 30))
    assert log.read() == lines(20, 30)
    (loss,) = log.follower.losses
    assert (loss.reason, loss.size) == ("unreadable", len(lines(10, 20)))
    assert "Input/output error" in loss.text


def test_a_file_server_that_replaced_the_file_is_asked_for_the_new_one(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write(lines(0, 100))
    assert log.read() == lines(0, 100)
    stale = log.path.stat().st_ino
    moved = log.path.with_name("moved")  # another machine wrote the same content to another place of the server's disk
    log.write(lines(0, 110), moved)
    log.path.rename(log.path.with_name("kept"))  # its inode must not be used again here
    moved.rename(log.path)
    monkeypatch.setattr(os, "pread", failing(errno.ESTALE, stale))
    assert log.read() == lines(100, 110)
    assert log.follower.losses == []


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, whom file modes bind")
def test_permission_lost_and_regained() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        log = Log(Path(name) / "mail.log")
        log.write(lines(0, 10))
        log.path.chmod(0o644)
        with as_nobody():
            assert log.read() == lines(0, 10)
        log.path.rename(log.old)
        log.write(lines(10, 20))
        log.path.chmod(0o600)
        with as_nobody():
            assert log.read() == b""
            assert log.follower.problem is not None
            assert "permission denied" in log.follower.problem
        log.path.chmod(0o644)
        with as_nobody():
            assert log.read() == lines(10, 20)
            assert log.follower.problem is None
        log.close()


async def test_the_waiting_reader_sees_lines_and_a_rotation(log: Log) -> None:
    log.write(lines(0, 10))
    async with asyncio.timeout(10), contextlib.aclosing(log.follower.blocks()) as blocks:
        assert (await anext(blocks)).data == lines(0, 10)
        log.write(lines(10, 20))
        assert (await anext(blocks)).data == lines(10, 20)
        log.path.rename(log.old)
        log.write(lines(20, 30))
        assert (await anext(blocks)).data == lines(20, 30)


async def test_the_end_of_an_empty_log_is_told_to_who_waits_for_it(log: Log) -> None:
    log.path.touch()

    async def read() -> None:
        async with contextlib.aclosing(log.follower.blocks()) as blocks:
            async for _ in blocks:
                pass

    reader = asyncio.create_task(read())
    async with asyncio.timeout(10):
        await log.follower.caught_up.wait()
    reader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reader


async def test_a_rotation_rings_the_bell_long_before_the_next_look(log: Log) -> None:
    slow = SourceSettings(poll_interval=3600)
    log.follower = FileFollower(str(log.path), slow)
    log.write(b"one\n")
    async with asyncio.timeout(10), contextlib.aclosing(log.follower.blocks()) as blocks:
        await anext(blocks)
        waiting = asyncio.ensure_future(anext(blocks))
        await log.follower.caught_up.wait()
        new = log.path.with_name("new")
        new.write_bytes(b"two\n")
        log.path.rename(log.old)
        new.rename(log.path)
        assert (await waiting).data == b"two\n"


@contextlib.contextmanager
def no_inotify_instance_left(user: int) -> Iterator[None]:
    """Be a user who has as many as the kernel allows, for real; nobody else notices."""
    library = ctypes.CDLL(None, use_errno=True)
    opened = []
    os.seteuid(user)
    try:
        while (instance := library.inotify_init()) >= 0:
            opened.append(instance)
        assert ctypes.get_errno() == errno.EMFILE
        yield
    finally:
        os.seteuid(0)
        for instance in opened:
            os.close(instance)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, whose inotify instances are used up")
async def test_at_the_limit_of_inotify_it_is_said_once_and_rotations_are_found_by_looking(open_folder: Path) -> None:
    doorbells = Doorbells()
    logs = [open_folder / "one.log", open_folder / "two.log"]
    followers = [FileFollower(str(log), SETTINGS, doorbells=doorbells) for log in logs]
    for log, follower in zip(logs, followers, strict=True):
        log.write_bytes(lines(0, 3))
        async with asyncio.timeout(10), contextlib.aclosing(follower.blocks()) as blocks:
            with no_inotify_instance_left(user=61_234):
                assert (await anext(blocks)).data == lines(0, 3)
            log.rename(f"{log}.1")
            log.write_bytes(lines(3, 6))
            assert (await anext(blocks)).data == lines(3, 6)
    (note,) = followers[0].notes + followers[1].notes
    assert note.startswith(f"no notice of rotations in {open_folder} (inotify instance limit reached)")
    assert note.endswith("looking regularly instead, by which no line is lost")


async def test_where_the_kernel_watches_nothing_more_looking_goes_on(log: Log) -> None:
    log.write(lines(0, 3))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.dup(0)
    os.close(spare)
    # Room for no further descriptor: inotify is refused as it is at the limit of its instances.
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        async with contextlib.aclosing(log.follower.blocks()) as blocks:
            reading = asyncio.ensure_future(anext(blocks))
            async with asyncio.timeout(10):
                await log.follower.caught_up.wait()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            async with asyncio.timeout(10):
                assert (await reading).data == lines(0, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sum("no notice of rotations" in note for note in log.follower.notes) == 1


def first_start(log: Log, first: int) -> FileFollower:
    """As on a first start that reads from the line with this number on."""

    def start_at(file: BinaryIO) -> int:
        offset = 0
        for line in file:
            if int(line.rsplit(b" ", 1)[1]) >= first:
                return offset
            offset += len(line)
        return offset

    return FileFollower(str(log.path), SETTINGS, start_at=start_at, now=lambda: 5000.0)


@pytest.mark.parametrize(("first", "begins"), [(25, 25), (20, 20), (15, 15), (10, 10), (3, 3), (99, 30)])
def test_a_first_start_reads_on_from_before_the_last_rotation(log: Log, first: int, begins: int) -> None:
    log.path.with_name("mail.log.2").write_bytes(lines(0, 10))
    log.old.write_bytes(lines(10, 20))
    log.write(lines(20, 30))
    log.follower = first_start(log, first)
    assert log.read() == lines(begins, 30)
    log.write(lines(30, 31))
    assert log.read() == lines(30, 31)
    log.restart()
    log.write(lines(31, 32))
    assert log.read() == lines(31, 32)
    assert log.follower.losses == []


def test_a_first_start_leaves_compressed_files_and_others_before_them_alone(log: Log) -> None:
    log.path.with_name("mail.log.3").write_bytes(lines(0, 5))
    log.path.with_name("mail.log.2.gz").write_bytes(gzip.compress(lines(5, 10)))
    log.old.write_bytes(lines(10, 20))
    log.write(lines(20, 30))
    log.follower = first_start(log, 0)
    assert log.read() == lines(10, 30)
