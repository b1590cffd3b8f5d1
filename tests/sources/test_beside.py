"""Reading in another process gives what reading in this one gives, and says what went wrong there."""

import gzip
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pfwatch.position import Block
from pfwatch.sources.archive import is_compressed_file, read_file
from pfwatch.sources.beside import read_beside
from pfwatch.sources.errors import SourceError
from pfwatch.sources.settings import SourceSettings

LINES = b"".join(
    b"Nov 22 09:53:31 mx1 postfix/smtpd[7]: connect from unknown[192.0.2.%d]\n" % (n % 200) for n in range(50_000)
)
SMALL = SourceSettings(block_size=64 * 1024)


def beside(read: Callable[[Callable[[str], None]], Iterator[Block]], said: list[str]) -> list[Block]:
    return list(read_beside(read, "mail.log", said.append, cores=2))


def test_the_blocks_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mail.log.gz"
    path.write_bytes(gzip.compress(LINES, 1))
    for cores in (1, 2):
        blocks = list(read_beside(lambda _say: read_file(path, SMALL), str(path), print, cores=cores))
        assert blocks == list(read_file(path, SMALL))
        assert len(blocks) > 10


def test_what_is_said_is_heard_in_its_place() -> None:
    said: list[str] = []

    def read(say: Callable[[str], None]) -> Iterator[Block]:
        say("one file is missing")
        yield Block("mail.log", b"x\n", 0.0, None)
        say("another one is")

    assert [block.data for block in beside(read, said)] == [b"x\n"]
    assert said == ["one file is missing", "another one is"]


def test_damage_is_told_behind_all_that_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "mail.log.gz"
    path.write_bytes(gzip.compress(LINES, 1)[:-2000])
    read = b""

    def read_all() -> None:
        nonlocal read
        for block in read_beside(lambda _say: read_file(path, SMALL), str(path), print, cores=2):
            read += block.data

    with pytest.raises(SourceError, match="ends too early; everything up to there was read"):
        read_all()
    assert LINES.startswith(read)
    assert len(read) > len(LINES) / 2


def test_the_other_process_may_be_killed() -> None:
    def read(_say: Callable[[str], None]) -> Iterator[Block]:
        yield Block("mail.log", b"x\n", 0.0, None)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(SourceError, match=r"mail\.log: the process that read it was killed"):
        beside(read, [])


def test_who_stops_early_leaves_no_process_behind(tmp_path: Path) -> None:
    path = tmp_path / "mail.log.gz"
    path.write_bytes(gzip.compress(LINES, 1))
    reading = read_beside(lambda _say: read_file(path, SMALL), str(path), print, cores=2)
    next(reading)
    reading.close()  # type: ignore[attr-defined] # it is a generator
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_only_a_compressed_file_takes_work_to_read(tmp_path: Path) -> None:
    compressed, plain, pipe = tmp_path / "a.gz", tmp_path / "b.gz", tmp_path / "c.gz"
    compressed.write_bytes(gzip.compress(b"x"))
    plain.write_bytes(b"x")
    os.mkfifo(pipe)  # opening it would wait for whoever writes
    assert [is_compressed_file(path) for path in (compressed, plain, pipe, tmp_path / "none", "\0")] == [
        True, False, False, False, False,
    ]  # fmt: skip
