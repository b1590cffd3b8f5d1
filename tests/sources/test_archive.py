"""Finished logs are read whole, however they are compressed, and damage is said after all that could be read."""

import bz2
import gzip
import io
import lzma
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pfwatch.position import Block
from pfwatch.sources.archive import read_file, read_stream
from pfwatch.sources.errors import SourceError
from pfwatch.sources.lines import LineCutter
from pfwatch.sources.settings import SourceSettings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SETTINGS = SourceSettings(block_size=4096, max_line=512)
LOG = b"".join(
    b"Oct 19 00:00:00 mx1 postfix/smtpd[%d]: connect from host%d.example.net[192.0.2.1]\n" % (n, n * n)
    for n in range(4000)
)
FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}
COMPRESSED = [name for name in FORMATS if name != "plain"]


def content(blocks: Iterator[Block]) -> bytes:
    return b"".join(block.data for block in blocks)


def written(directory: Path, text: bytes) -> Path:
    path = directory / "mail.log"
    path.write_bytes(text)
    return path


def read_until_error(blocks: Iterator[Block]) -> tuple[bytes, SourceError]:
    data = b""
    try:
        for block in blocks:
            data += block.data
    except SourceError as error:
        return data, error
    raise AssertionError("the whole input was read without an error")


@contextmanager
def without_privileges() -> Iterator[None]:
    """As a user whom file modes bind."""
    user, group, groups = os.geteuid(), os.getegid(), os.getgroups()
    if user == 0:
        os.setgroups([])
        os.setegid(65534)
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
            os.setegid(group)
            os.setgroups(groups)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that every user may enter; those above tmp_path belong to one."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_known_by_its_content_and_read_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mail.log.2.odd"
    path.write_bytes(FORMATS[name](LOG))
    os.utime(path, (1_000_000_000, 1_000_000_000))
    blocks = list(read_file(path, SETTINGS))
    assert content(iter(blocks)) == LOG
    assert all(block.data.endswith(b"\n") for block in blocks)
    assert {(block.source, block.reference) for block in blocks} == {(str(path), 1e9)}
    assert [block.caught_up for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert len(blocks) > 10


@pytest.mark.parametrize("name", FORMATS)
def test_standard_input_may_be_compressed_too(name: str) -> None:
    blocks = list(read_stream(io.BytesIO(FORMATS[name](LOG)), SETTINGS, reference=5.0))
    assert content(iter(blocks)) == LOG
    assert {(block.source, block.reference, block.position) for block in blocks} == {("stdin", 5.0, None)}


@pytest.mark.parametrize("name", COMPRESSED)
def test_archives_put_end_to_end_are_read_to_the_last(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    compress = FORMATS[name]
    padding = bytes(512)  # as tapes and xz may leave it
    path.write_bytes(compress(b"one\n") + compress(b"") + padding + compress(b"two\n") + padding)
    assert content(read_file(path, SETTINGS)) == b"one\ntwo\n"


@pytest.mark.parametrize("name", COMPRESSED)
def test_an_archive_that_ends_too_early_is_read_to_there(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    # Two members: bzip2 and xz may keep one block back until it is whole.
    compress = FORMATS[name]
    path.write_bytes(compress(LOG) + compress(LOG)[:-20])
    data, error = read_until_error(read_file(path, SETTINGS))
    assert data.startswith(LOG)
    assert data.endswith(b"\n")
    assert str(error).startswith(f"{path}: is {name} data that ends too early")


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_damaged_archive_is_read_up_to_the_damage(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    damaged = FORMATS[name](LOG) + b"no such header"
    path.write_bytes(damaged)
    data, error = read_until_error(read_file(path, SETTINGS))
    assert data == LOG
    assert f"is damaged {name} data" in str(error)


def test_damage_in_the_middle_costs_little_of_what_stands_before_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    damaged = bytearray(gzip.compress(LOG))
    middle = len(damaged) // 2
    damaged[middle : middle + 64] = b"\xff" * 64
    path.write_bytes(damaged)
    data, error = read_until_error(read_file(path, SETTINGS))
    assert len(data) > len(LOG) // 3
    assert data[: len(LOG) // 3] == LOG[: len(LOG) // 3]
    assert "damaged gzip data" in str(error)


def test_the_last_line_needs_no_line_feed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo")
    assert content(read_file(path, SETTINGS)) == b"one\ntwo\n"


@pytest.mark.parametrize("size", [1, 100, 3000, 20_000, 256 * 1024])
@pytest.mark.parametrize("longest", [1, 300, 5000, 60_000])
def test_a_file_is_read_as_a_stream_is(size: int, longest: int, tmp_path: Path) -> None:
    lines = b"".join(b"x" * (number * 37 % longest) + b"\n" for number in range(400_000 // longest + 3))
    settings = SourceSettings(block_size=size)
    for text in (lines, lines + b"half a line"):
        path = written(tmp_path, text)
        assert content(read_file(path, settings)) == content(read_stream(io.BytesIO(text), settings, reference=0.0))


def test_pieces_of_a_file_end_where_a_line_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = []

    def feed(cutter: LineCutter, data: bytes) -> bytes:
        pieces.append(data)
        return cut(cutter, data)

    cut = LineCutter.feed
    monkeypatch.setattr(LineCutter, "feed", feed)
    text = b"".join(b"x" * (number % 2000) + b"\n" for number in range(3000))
    assert content(read_file(written(tmp_path, text), SourceSettings(block_size=50_000))) == text
    assert len(pieces) > 50
    assert all(piece.endswith(b"\n") for piece in pieces)


def test_an_empty_file_gives_no_block(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    assert list(read_file(path, SETTINGS)) == []


def test_a_named_pipe_is_read_like_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"one\ntwo\n",))
    writer.start()
    try:
        blocks = list(read_file(path, SETTINGS, now=lambda: 7.0))
    finally:
        writer.join()
    assert content(iter(blocks)) == b"one\ntwo\n"
    assert blocks[-1].reference == 7.0


def test_a_line_from_a_pipe_comes_before_the_writer_ends() -> None:
    out, into = os.pipe()
    with os.fdopen(out, "rb") as stream, os.fdopen(into, "wb", buffering=0) as writer:
        writer.write(b"first line\n")
        assert next(read_stream(stream, SETTINGS, reference=0.0)).data == b"first line\n"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "does not exist; check the path"),
        (lambda path: path.mkdir(), "is a directory; name the log file in it"),
        (lambda path: path.symlink_to("gone.log"), "is a symbolic link to gone.log, which does not exist"),
        (lambda path: path.symlink_to(path), "leads back to itself"),
    ],
)
def test_what_cannot_be_read_is_explained(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    make(path)
    with pytest.raises(SourceError) as caught:
        list(read_file(path, SETTINGS))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_a_path_below_a_missing_directory_names_the_directory(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"nor does its directory {tmp_path / 'nowhere'}"):
        list(read_file(tmp_path / "nowhere" / "mail.log", SETTINGS))


def test_permission_denied_says_who_may_read(open_folder: Path) -> None:
    path = open_folder / "mail.log"
    path.touch()
    path.chmod(0o040)
    if os.geteuid() == 0:
        os.chown(path, 0, 4)  # adm
    with without_privileges(), pytest.raises(SourceError, match=r"can be read by \S+ and group \S+; add .*usermod"):
        list(read_file(path, SETTINGS))
    path.chmod(0o000)
    with without_privileges(), pytest.raises(SourceError, match=r"can be read by \S+ alone"):
        list(read_file(path, SETTINGS))


def test_permission_denied_by_a_directory_names_the_directory(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / "mail.log").touch()
    closed.chmod(0o000)
    try:
        with without_privileges(), pytest.raises(SourceError, match=f"its directory {closed} can be entered by"):
            list(read_file(closed / "mail.log", SETTINGS))
    finally:
        closed.chmod(0o700)
