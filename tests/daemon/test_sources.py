"""Sources come and go with the files that a pattern means; what is shown of them is right while they are there."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pfwatch.daemon.sources import FORGOTTEN_AFTER, GONE_AFTER, MOST_FOUND, WatchedSources, withdraw
from pfwatch.metrics.counters import Counters
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.position import FilePosition, Position
from pfwatch.sources.follow import FileFollower
from pfwatch.sources.settings import SourceSettings

NOW = 1_792_440_000.0  # 2026-10-19 20:00 UTC


def lines(number: int, at: float = NOW) -> bytes:
    stamp = datetime.fromtimestamp(at, UTC).strftime("%b %e %H:%M:%S")
    return f"{stamp} mx1 postfix/qmgr[7]: 4XYZ{number}: removed\n".encode()


class Logs:
    """A directory of logs and what watches it; its clocks go when they are told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = 0.0
        self.counters = Counters()
        self.pipeline = Pipeline(Settings(zone=UTC))
        self.positions: dict[str, Position] = {}
        self.opened: set[FileFollower] = set()
        self.watched = self.watch("*.log")

    def watch(self, *patterns: str, block_size: int = 4096) -> WatchedSources:
        self.close()
        paths = tuple(f"{self.folder}/{pattern}" for pattern in patterns)
        self.watched = WatchedSources(
            SourceSettings(paths, block_size=block_size), self.positions, UTC, lambda: NOW, monotonic=lambda: self.clock
        )
        return self.watched

    def write(self, name: str, data: bytes) -> None:
        with (self.folder / name).open("ab") as log:
            log.write(data)

    def read(self, blocks: int = 1000) -> dict[str, bytes]:
        """What there is to read, by the name of the file."""
        self.watched.refresh()
        read: dict[str, bytes] = {}
        for source in self.watched.sources:
            assert isinstance(source, FileFollower)
            self.opened.add(source)
            for _ in range(blocks):
                block = source.poll()
                if block is not None:
                    name = Path(source.name).name
                    read[name] = read.get(name, b"") + block.data
                    self.pipeline.feed(block.data, block.source, block.reference)
                    assert block.position
                    self.positions[source.name] = block.position
                elif source.at_end:
                    break
        return read

    def look(self) -> None:
        self.watched.look(self.counters, self.pipeline.newest)

    def gauge(self, name: str) -> dict[str, float]:
        return {Path(source).name: value for (source,), value in self.counters.gauges()[name].items()}

    def close(self) -> None:
        while self.opened:
            self.opened.pop().close()


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    logs = Logs(tmp_path)
    yield logs
    logs.close()


def test_a_new_file_of_a_pattern_is_read_while_running_and_a_rotated_one_is_no_log_of_its_own(logs: Logs) -> None:
    logs.write("a.log", lines(1))
    assert logs.read() == {"a.log": lines(1)}
    logs.write("b.log", lines(2))
    assert logs.read() == {"b.log": lines(2)}
    (logs.folder / "a.log").rename(logs.folder / "a.log.1")
    logs.write("a.log.1", lines(3))
    assert logs.read() == {"a.log": lines(3)}
    logs.write("a.log", lines(4))
    assert logs.read() == {"a.log": lines(4)}
    assert logs.watched.names() == f"{logs.folder}/*.log (2 files)"


def test_a_pattern_that_rotated_names_match_as_well_gives_each_line_once(logs: Logs) -> None:
    logs.watch("mail*")
    logs.write("mail.log", lines(1))
    assert logs.read() == {"mail.log": lines(1)}
    (logs.folder / "mail.log").rename(logs.folder / "mail.log.1")
    assert logs.read() == {}  # and the rotated one is no new log while the name is free
    logs.write("mail.log", lines(2))
    assert logs.read() == {"mail.log": lines(2)}


def test_positions_are_kept_for_each_path(logs: Logs) -> None:
    logs.write("a.log", lines(1))
    logs.write("b.log", lines(2))
    logs.read()
    logs.close()
    logs.write("a.log", lines(3))
    logs.write("c.log", lines(4))
    logs.watch("*.log")
    assert logs.read() == {"a.log": lines(3), "c.log": lines(4)}


def test_the_same_file_under_two_names_is_read_once(logs: Logs) -> None:
    logs.write("today.log", lines(1))
    (logs.folder / "current.log").symlink_to(logs.folder / "today.log")
    assert sum(map(len, logs.read().values())) == len(lines(1))
    logs.watch("*.log", "today.log")
    assert [Path(source.name).name for source in logs.watched.sources] == ["today.log"]


def test_a_file_that_is_gone_for_good_is_no_source_any_more_and_one_that_comes_back_goes_on(logs: Logs) -> None:
    logs.write("a.log", lines(1))
    logs.write("b.log", lines(2))
    logs.read()
    logs.look()
    assert logs.gauge("pfwatch_source_up") == {"a.log": 1, "b.log": 1}
    kept = logs.folder / "kept"
    (logs.folder / "a.log").rename(kept)
    logs.read()
    logs.clock += GONE_AFTER - 1
    logs.read()
    logs.look()
    assert logs.gauge("pfwatch_source_up") == {"a.log": 0, "b.log": 1}
    logs.clock += 1
    logs.read()
    assert logs.watched.ended == [f"{logs.folder}/a.log"]
    withdraw(logs.counters, logs.watched.ended.pop())
    logs.look()
    assert logs.gauge("pfwatch_source_up") == {"b.log": 1}
    assert logs.watched.problem is None
    kept.rename(logs.folder / "a.log")
    logs.write("a.log", lines(3))
    assert logs.read() == {"a.log": lines(3)}


def test_a_pattern_without_any_file_is_a_problem_and_waits(logs: Logs) -> None:
    logs.look()
    assert logs.watched.problem == f"{logs.folder}/*.log: no file has such a name; check the pattern"
    logs.write("a.log", lines(1))
    assert logs.read() == {"a.log": lines(1)}
    logs.look()
    assert logs.watched.problem is None


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, whom file modes bind")
def test_a_directory_that_may_not_be_entered_any_more_ends_nothing(logs: Logs) -> None:
    folder = logs.folder / "hosts"
    folder.mkdir()
    logs.watch("hosts/*.log")
    logs.write("hosts/a.log", lines(1))
    for parent in (logs.folder, *list(logs.folder.parents)[:2]):
        parent.chmod(0o755)
    os.seteuid(65534)
    try:
        assert logs.read() == {"a.log": lines(1)}
        os.seteuid(0)
        folder.chmod(0o700)
        os.seteuid(65534)
        logs.read()
        logs.clock += GONE_AFTER
        logs.read()
        logs.look()
        assert logs.gauge("pfwatch_source_up") == {"a.log": 0}
        assert "permission denied: its directory" in str(logs.watched.problem)
        assert logs.watched.ended == []
    finally:
        os.seteuid(0)


def test_the_place_in_a_log_of_long_ago_is_forgotten(logs: Logs) -> None:
    def position(name: str, age: float) -> FilePosition:
        return FilePosition(f"{logs.folder}/{name}", 1, 2, "4:00ff", 7, 7, NOW - age)

    logs.write("there.log", lines(1))
    ages = {"there.log": FORGOTTEN_AFTER + 1, "old.log": FORGOTTEN_AFTER + 1, "new.log": FORGOTTEN_AFTER - 1}
    logs.positions = {f"{logs.folder}/{name}": position(name, age) for name, age in ages.items()}
    assert logs.watch("*.log").forgotten == [f"{logs.folder}/old.log"]


def test_the_lag_is_the_age_of_what_was_read_and_nothing_at_the_end(logs: Logs) -> None:
    logs.watch("*.log", block_size=300)
    for age in range(3600, 0, -60):
        logs.write("a.log", lines(1, NOW - age))
    logs.read(blocks=1)
    logs.look()
    (lag,) = logs.gauge("pfwatch_source_lag_seconds").values()
    read = logs.pipeline.newest(f"{logs.folder}/a.log")
    assert read is not None
    assert lag == NOW - read
    assert 3000 < lag < 3600
    logs.read()
    logs.look()
    assert logs.gauge("pfwatch_source_lag_seconds") == {"a.log": 0}


def test_beyond_the_cap_of_a_label_the_worst_source_is_shown(logs: Logs) -> None:
    for number in range(70):
        logs.write(f"{number:02}.log", lines(number))
    logs.read()
    logs.look()
    (logs.folder / "60.log").unlink()
    logs.read()
    logs.look()
    up = logs.gauge("pfwatch_source_up")
    assert up["other"] == 0
    assert {value for name, value in up.items() if name != "other"} == {1}


def test_more_files_than_may_be_open_are_said_and_the_first_are_read(logs: Logs) -> None:
    for number in range(MOST_FOUND + 2):
        logs.write(f"{number:04}.log", b"")
    logs.watched.refresh()
    logs.look()
    assert len(logs.watched.sources) == MOST_FOUND
    assert "more than 500 files have such a name" in str(logs.watched.problem)
    (logs.folder / f"{MOST_FOUND:04}.log").unlink()
    (logs.folder / f"{MOST_FOUND + 1:04}.log").unlink()
    logs.watched.refresh()
    logs.look()
    assert logs.watched.problem is None


async def test_many_logs_in_one_directory_share_one_watch(logs: Logs) -> None:
    for number in range(30):
        logs.write(f"{number}.log", lines(number))
    logs.watched.refresh()
    before = threading.active_count()

    async def read(source: FileFollower) -> None:
        async with contextlib.aclosing(source.blocks()) as blocks:
            async for _ in blocks:
                pass

    readers = []
    for source in logs.watched.sources:
        assert isinstance(source, FileFollower)
        readers.append(asyncio.create_task(read(source)))
        async with asyncio.timeout(10):
            await source.caught_up.wait()
    assert threading.active_count() - before <= 3  # the kernel's reader, the directory's, and who tells
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


def test_a_look_at_an_idle_log_reads_nothing(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: int) -> bytes:
        raise AssertionError("an idle log is read")

    logs.write("a.log", lines(1) * 100)
    logs.read()
    (source,) = logs.watched.sources
    assert isinstance(source, FileFollower)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", read)
        assert source.poll() is None
    logs.write("a.log", lines(2))
    assert logs.read() == {"a.log": lines(2)}
