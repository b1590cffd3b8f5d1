"""A large log that is read in stretches, by several processes or one, gives the report of reading in order."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.stretch import Stretch
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.replay import Report, ahead, replay
from pfwatch.sources.errors import SourceError
from pfwatch.sources.ranges import Range, RangedFile
from pfwatch.sources.settings import SourceSettings
from tests.bench.generate import generate
from tests.samples.logs import logs

pytestmark = pytest.mark.skipif(not BUILT, reason="the compiled reader is not built: there was no C compiler")
SOURCE = SourceSettings(block_size=64 * 1024)


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many cores there are, on which a short log is read in short stretches; 0: it is read in order."""
    monkeypatch.setattr(ahead, "STRETCH", 20_000)

    def set_cores(number: int) -> None:
        monkeypatch.setattr(ahead, "LEAST", 10_000 if number else 1 << 60)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _who: set(range(number or 1)))

    return set_cores


def report(*paths: Path, progress: Callable[[str, int], None] = lambda _source, _size: None) -> Report:
    return replay(list(map(str, paths)), Settings(zone=UTC), SOURCE, progress)


@pytest.fixture(params=["normal", "attack", "mixed.log", "mixed.rfc3339.log"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    mix = request.param
    path.write_bytes(logs("3.10")[mix] if mix in logs("3.10") else b"".join(generate(20_000, mix, 2)))
    return path


@pytest.mark.parametrize("number", [1, 2, 4])
def test_the_report_is_the_same(number: int, log: Path, cores: Callable[[int], None]) -> None:
    cores(0)
    alone, sizes = report(log), list[int]()
    cores(number)
    assert report(log, progress=lambda _source, size: sizes.append(size)) == alone
    assert len(sizes) > 10
    assert sum(sizes) == log.stat().st_size


def test_sessions_go_on_from_file_to_file(tmp_path: Path, cores: Callable[[int], None]) -> None:
    lines = b"".join(generate(20_000, "attack", 5)).splitlines(keepends=True)
    first, second = tmp_path / "mail.log.1", tmp_path / "mail.log"
    first.write_bytes(b"".join(lines[:9_000]))
    second.write_bytes(b"".join(lines[9_000:]))
    os.utime(first, (second.stat().st_mtime,) * 2)
    cores(0)
    alone = report(first, second)
    cores(3)
    assert report(first, second) == alone


def test_more_stretches_than_the_queue_has_room_for(
    tmp_path: Path, cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"".join(generate(20_000, "normal", 2)))
    monkeypatch.setattr(ahead, "STRETCH", 150)
    cores(0)
    alone, sizes = report(path), list[int]()
    cores(3)
    assert report(path, progress=lambda _source, size: sizes.append(size)) == alone
    assert len(sizes) > 8_000


def test_full_tables_make_room_alike(
    tmp_path: Path, cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(logs("3.10")["mixed.log"])
    monkeypatch.setattr("pfwatch.sessions.MOST_SESSIONS", 5)
    cores(0)
    alone = report(path)
    for number in (1, 2):
        cores(number)
        assert report(path) == alone


@pytest.mark.parametrize(
    "end",
    [
        b"Nov 22 10:27:54 mx1 postfix/smtpd[7]: connect from unknown[192.0.2.7]",
        b"Nov 22 10:27:54 mx1 postfix/smtpd[7]: connect from unknown[192.0.2.7]\n" + b"x" * 3_000_000 + b"\n",
        b"x" * 3_000_000,
        b"\n" * 100_000,
    ],
    ids=["no line feed", "a long line", "no line feed for long", "empty lines"],
)
def test_odd_ends(end: bytes, tmp_path: Path, cores: Callable[[int], None]) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"".join(generate(2_000, "normal", 2)) + end)
    cores(0)
    alone = report(path)
    cores(2)
    assert report(path) == alone


def test_ranges_are_the_file_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    data = b"".join(generate(2_000, "normal", 2))
    path.write_bytes(data + b"half")
    file = RangedFile(str(path), SOURCE)
    ranges = list(file.ranges(10_000))
    pieces = [file.read(part) for part in ranges]
    assert len(ranges) > 20
    assert all(10_000 <= len(piece) < 10_500 and piece.endswith(b"\n") for piece in pieces)
    with path.open("ab") as growing:
        growing.write(b" a line, and another\n")
    rest = [block.data for block in file.rest(ranges[-1].end)]
    assert b"".join([*pieces, *rest]) == data + b"half a line, and another\n"
    os.truncate(path, 15_000)
    assert file.read(ranges[1]) == data[ranges[1].begin : data.rfind(b"\n", 0, 15_000) + 1]
    assert file.read(Range(20_000, 30_000)) == b""
    file.close()


def test_a_log_that_is_cut_off_while_it_is_read(
    tmp_path: Path, cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"".join(generate(10_000, "normal", 2)))
    half = path.stat().st_size // 2
    shorter = path.read_bytes()[:half].count(b"\n")
    whole = RangedFile.ranges

    def cut_off(file: RangedFile, size: int) -> Any:
        ranges = list(whole(file, size))
        os.truncate(path, half)
        return iter(ranges)

    monkeypatch.setattr(RangedFile, "ranges", cut_off)
    cores(2)
    assert report(path).lines["total"] in {shorter, shorter + 1}  # the half line is whoever's reads the end of the file


def test_a_process_that_is_killed_is_said(
    tmp_path: Path, cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"".join(generate(10_000, "normal", 2)))
    fork = os.fork

    def fork_and_kill() -> int:
        child = fork()
        if child:
            os.kill(child, signal.SIGKILL)
        return child

    monkeypatch.setattr(os, "fork", fork_and_kill)
    cores(2)
    with pytest.raises(SourceError, match=re.escape(f"{path}: a process that read it was killed")):
        report(path)


def test_where_no_process_may_be_started_one_reads_all(
    tmp_path: Path, cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"".join(generate(10_000, "normal", 2)))
    cores(0)
    alone = report(path)

    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "fork", refuse)
    cores(2)
    assert report(path) == alone
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_nothing_is_left_running(log: Path, cores: Callable[[int], None]) -> None:
    cores(4)
    report(log)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_command_reads_with_every_core_it_may_use(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"".join(generate(60_000, "attack", 2)))
    assert path.stat().st_size > ahead.LEAST
    command = [sys.executable, "-m", "pfwatch", "replay", str(path), "--json", "--tz", "UTC"]
    one = subprocess.run(["taskset", "-c", "0", *command], capture_output=True, timeout=60, check=True)
    many = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert many.stdout == one.stdout
    assert many.stderr == one.stderr == b""


def test_a_stretch_is_not_enough_for_a_pipeline_that_is_to_know_all() -> None:
    with pytest.raises(ValueError, match="not enough"):
        Pipeline(Settings(UTC)).follow(Stretch(b""), "log", 0.0)
