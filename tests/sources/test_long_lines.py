"""A followed log may hold megabytes without a line feed: they are one line, cut, and take no more memory than a block.

Postfix writes no such line. A file system that was full or came back from a crash does, and so may any program that
writes to the same log.
"""

import contextlib
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from pfwatch.position import Block, FilePosition
from pfwatch.records.time import TimeReader
from pfwatch.sources.begin import first_line_since
from pfwatch.sources.follow import FileFollower
from pfwatch.sources.settings import SourceSettings

SETTINGS = SourceSettings()
MEGABYTE = 1024 * 1024
SIZES = (MEGABYTE, 64 * MEGABYTE)
NOISE = b"\xff[]:" * (MEGABYTE // 4)
MOST_MEMORY = 4 * SETTINGS.block_size
"""A block, its lines, and what is kept of the half line."""
BEFORE = b"Nov 22 09:53:30 mx1 postfix/smtpd[1]: connect from unknown[192.0.2.8]\n"
AFTER = b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: connect from unknown[192.0.2.9]\n"
CUT = NOISE[: SETTINGS.max_line] + b"\n"
AT = datetime(2026, 11, 22, 9, 53, 31, tzinfo=UTC).timestamp()
"""Of the line behind."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mail.log"
    yield path
    path.unlink()  # not for others to keep


def append(path: Path, size: int, *, before: bytes = b"", after: bytes = b"") -> None:
    with path.open("ab") as file:
        file.write(before)
        for begin in range(0, size, MEGABYTE):
            file.write(NOISE[: size - begin])
        file.write(after)


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def polled(follower: FileFollower, most: int = 1000) -> list[Block]:
    """Everything that can be read now."""
    found = []
    for _ in range(most):
        block = follower.poll()
        if block is not None:
            found.append(block)
        elif follower.at_end:
            return found
    raise AssertionError("the end of the log is never reached")


def data_of(blocks: list[Block]) -> bytes:
    return b"".join(block.data for block in blocks)


def offset_of(block: Block) -> int:
    assert isinstance(block.position, FilePosition)
    return block.position.offset


@pytest.mark.parametrize("size", SIZES)
def test_a_line_of_many_megabytes_is_one_cut_line(log: Path, size: int) -> None:
    append(log, size, before=BEFORE, after=b"\n" + AFTER)
    with little_memory(), contextlib.closing(FileFollower(str(log), SETTINGS)) as follower:
        blocks = polled(follower)
        assert data_of(blocks) == BEFORE + CUT + AFTER
        assert offset_of(blocks[-1]) == log.stat().st_size


@pytest.mark.parametrize("size", SIZES)
def test_a_line_that_never_ends_waits_and_the_position_stands_before_it(log: Path, size: int) -> None:
    append(log, 0, before=BEFORE)
    with little_memory(), contextlib.closing(FileFollower(str(log), SETTINGS)) as follower:
        blocks = polled(follower)
        for _ in range(4):
            append(log, size // 4)
            assert polled(follower) == []
        assert data_of(blocks) == BEFORE
        append(log, 0, after=b"\n" + AFTER)
        blocks = polled(follower)
        assert data_of(blocks) == CUT + AFTER
        assert offset_of(blocks[-1]) == log.stat().st_size


@pytest.mark.parametrize("size", SIZES)
def test_after_a_restart_within_such_a_line_it_comes_once_and_whole(log: Path, size: int) -> None:
    append(log, size, before=BEFORE)
    with little_memory():
        with contextlib.closing(FileFollower(str(log), SETTINGS)) as follower:
            (first,) = polled(follower)
        append(log, size, after=b"\n" + AFTER)
        assert isinstance(first.position, FilePosition)
        with contextlib.closing(FileFollower(str(log), SETTINGS, position=first.position)) as follower:
            assert data_of(polled(follower)) == CUT + AFTER


@pytest.mark.parametrize("size", SIZES)
def test_such_a_line_at_the_end_of_a_rotated_log_is_given_when_nobody_completes_it(log: Path, size: int) -> None:
    append(log, size, before=BEFORE)
    with little_memory(), contextlib.closing(FileFollower(str(log), SETTINGS)) as follower:
        assert data_of(polled(follower)) == BEFORE
        old = log.rename(log.with_name("mail.log.1"))
        append(log, 0, before=AFTER)
        assert data_of(polled(follower)) == CUT + AFTER
        old.unlink()


async def test_who_waits_for_blocks_gets_the_line_behind_it(log: Path) -> None:
    append(log, SIZES[-1], after=b"\n" + AFTER)
    with little_memory():
        follower = FileFollower(str(log), SETTINGS)
        async with contextlib.aclosing(follower.blocks()) as blocks:
            assert data_of([await anext(blocks), await anext(blocks)]) == CUT + AFTER  # the first tells of the place
            assert follower.caught_up.is_set()


def first_read(path: Path, since: float) -> FileFollower:
    """As on a first start: there is no position, and what is older than `since` is left out."""

    def start_at(file: BinaryIO) -> int:
        times = TimeReader(UTC)
        times.expect(AT)
        return first_line_since(file, since, times)

    return FileFollower(str(path), SETTINGS, start_at=start_at, now=lambda: AT)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("since", "read"),
    [(AT - 60, BEFORE + CUT + AFTER), (AT, AFTER)],
    ids=["before it", "behind it"],
)
def test_a_first_start_finds_its_place_around_such_a_line(log: Path, size: int, since: float, read: bytes) -> None:
    append(log, size, before=BEFORE, after=b"\n" + AFTER)
    with little_memory(), contextlib.closing(first_read(log, since)) as follower:
        assert data_of(polled(follower)) == read


@pytest.mark.parametrize("size", SIZES)
def test_a_first_start_never_begins_within_a_line(log: Path, size: int) -> None:
    """Else what stands behind the place would be read as a record of its own, whoever wrote it."""
    append(log, size, before=BEFORE)
    with little_memory(), contextlib.closing(first_read(log, AT)) as follower:
        assert data_of(polled(follower)) == b""
        append(log, 0, after=AFTER + AFTER)
        assert data_of(polled(follower)) == CUT + AFTER
