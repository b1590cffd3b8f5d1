"""Journals as an administrator has them: read to the end, forged, cut off, vacuumed, gone on with after a stop."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from pfwatch.pipeline import Pipeline, Settings
from pfwatch.position import Block, JournalPosition
from pfwatch.sources.errors import SourceError
from pfwatch.sources.journal import library as library_reader
from pfwatch.sources.journal.child import ExportReader
from pfwatch.sources.journal.cursor import is_same_entry
from pfwatch.sources.journal.finished import read_journal
from pfwatch.sources.journal.library import LibraryReader
from pfwatch.sources.journal.lines import LineMaker
from pfwatch.sources.journal.origin import Origin, may_be_dovecot, may_be_postfix
from pfwatch.sources.journal.place import find_journal, is_journal
from pfwatch.sources.journal.source import JournalSource
from pfwatch.sources.settings import JournalSettings, SourceSettings
from tests.journals import (
    DAEMONS,
    MACHINE,
    SECOND,
    Fields,
    exported,
    fields,
    needs_compiled,
    needs_files,
    needs_journalctl,
    needs_library,
    needs_package,
    of_lines,
    write_journal,
)
from tests.samples.logs import logs

AT = 1_795_435_200 * SECOND
EVERY_WAY = pytest.mark.parametrize(
    "library",
    [
        pytest.param("compiled", marks=needs_compiled),
        pytest.param("package", marks=needs_package),
        pytest.param("child", marks=needs_journalctl),
    ],
    indirect=True,
)


@pytest.fixture
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """How the journal is read."""
    if request.param == "package":
        monkeypatch.setattr(library_reader, "COMPILED", False)
    return bool(request.param != "child")


def settings(directory: Path, *, dovecot: bool = False) -> SourceSettings:
    return SourceSettings(journal=JournalSettings(directory=str(directory), dovecot=dovecot), poll_interval=0.01)


def lines_of(entries: Iterable[Fields], *, verify: bool = True, dovecot: bool = False) -> tuple[bytes, LineMaker]:
    """What entries become, as they are read by either way."""
    maker = LineMaker(JournalSettings(verify=verify, dovecot=dovecot), 65536)
    reader = ExportReader()
    reader.feed(exported(entries))
    while (entry := reader.take()) is not None:
        maker.add(entry, int(entry["__REALTIME_TIMESTAMP"]))
    return maker.take(), maker


def numbered(first: int, last: int, **others: bytes | str | int | None) -> list[Fields]:
    return [fields(f"connect from unknown[192.0.2.{number % 250}]", AT + number * SECOND, **others)
            for number in range(first, last)]  # fmt: skip


def read_on(source: JournalSource) -> list[Block]:
    """All that there is now."""
    blocks: list[Block] = []
    while True:
        block = source.poll()
        if block is not None:
            blocks.append(block)
        if source.at_end:
            return blocks


async def read_through(source: JournalSource, lines: int) -> list[Block]:
    """Blocks until so many lines are read."""
    blocks: list[Block] = []
    stream = source.blocks()
    while sum(block.data.count(b"\n") for block in blocks) < lines:
        blocks.append(await anext(stream))
    await stream.aclose()
    return blocks


def text(blocks: Iterable[Block]) -> bytes:
    return b"".join(block.data for block in blocks)


def test_an_entry_is_the_line_that_a_log_would_have() -> None:
    data, _ = lines_of([fields("connect from unknown[192.0.2.7]", AT + 250)])
    assert data == b"2026-11-23T12:00:00.000250+00:00 mx1 postfix/smtpd[4711]: connect from unknown[192.0.2.7]\n"


def test_a_line_feed_in_a_message_makes_no_second_line() -> None:
    typed = "2026-11-23T12:00:00+00:00 mx1 postfix/smtpd[1]: connect from unknown[203.0.113.9]"
    data, _ = lines_of([fields("one", AT), fields(f"NOQUEUE: x\n{typed}\n", AT), fields("three", AT)])
    one, two, three = data.splitlines()
    assert one.endswith(b": one")
    assert two.endswith(b": NOQUEUE: x#012" + typed.encode())
    assert three.endswith(b": three")


def test_any_bytes_of_a_message_arrive() -> None:
    data, _ = lines_of([fields(b"\xff\xfe\x00 odd", AT)])
    assert data.endswith(b"]: \xff\xfe\x00 odd\n")


def test_a_message_that_is_too_long_is_cut() -> None:
    data, _ = lines_of([fields("x" * 200_000, AT), fields("next", AT)])
    first, second = data.splitlines()
    assert len(first) == 65536
    assert second.endswith(b"]: next")


@pytest.mark.parametrize(
    ("others", "end"),
    [
        ({"SYSLOG_PID": None}, b" mx1 postfix/smtpd: text\n"),
        ({"SYSLOG_PID": "7] x[1"}, b" mx1 postfix/smtpd: text\n"),
        ({"_HOSTNAME": None}, b" - postfix/smtpd[4711]: text\n"),
        ({"_HOSTNAME": "a b"}, b" - postfix/smtpd[4711]: text\n"),
        ({"SYSLOG_IDENTIFIER": "postfix-mx2/submission/smtpd"}, b" mx1 postfix-mx2/submission/smtpd[4711]: text\n"),
        ({"MESSAGE": None}, b" mx1 postfix/smtpd[4711]: \n"),
    ],
)
def test_fields_that_are_missing_or_odd_leave_a_sound_line(
    others: dict[str, bytes | str | int | None], end: bytes
) -> None:
    data, _ = lines_of([fields("text", AT, **others)])
    assert data.endswith(end)


@pytest.mark.parametrize(
    "identifier", ["postfix/policyd-spf", "sshd", "postfix/smtpd[1]: connect", "postfix/smtpd\nx", "", None, "dovecot"]
)
def test_what_is_not_of_postfix_is_left_out_and_is_no_forgery(identifier: str | None) -> None:
    data, maker = lines_of([fields("text", AT, SYSLOG_IDENTIFIER=identifier)])
    assert (data, maker.forged) == (b"", 0)


def test_dovecot_is_read_where_it_is_asked_for() -> None:
    entry = fields(
        "imap-login: Login", AT, SYSLOG_IDENTIFIER="dovecot", SYSLOG_PID=None, _EXE="/usr/lib/dovecot/log", _UID=0
    )
    assert lines_of([entry])[0] == b""
    assert lines_of([entry], dovecot=True)[0].endswith(b" mx1 dovecot: imap-login: Login\n")


def test_a_field_that_stands_twice_is_taken_once() -> None:
    maker = LineMaker(JournalSettings(), 65536)
    entry = {name: str(value).encode() for name, value in fields("text", AT).items()}
    maker.add({**entry, "MESSAGE": [b"one", b"two"]}, AT)
    maker.add({**entry, "SYSLOG_IDENTIFIER": [b"postfix/smtpd", b"sshd"]}, AT)
    assert [line.rpartition(b"]: ")[2] for line in maker.take().splitlines()] == [b"one", b"text"]


def test_a_forged_entry_is_set_aside_counted_and_told() -> None:
    entries = [fields("true", AT), fields("typed", AT, _EXE="/usr/bin/logger", _COMM="logger", _UID=1000)]
    data, maker = lines_of(entries * 3)
    assert data.count(b"\n") == data.count(b": true\n") == 3
    assert maker.forged == 3
    assert maker.forgery == "as postfix/smtpd, written by /usr/bin/logger of user 1000"
    assert lines_of(entries, verify=False)[0].count(b"\n") == 2


POSTFIX = 104


@pytest.mark.parametrize(
    ("identifier", "user", "program", "command", "true"),
    [
        ("postfix/smtpd", "104", f"{DAEMONS}/smtpd", "smtpd", True),
        ("postfix-mx2/smtps/smtpd", "104", "/usr/libexec/postfix/smtpd", "smtpd", True),
        ("postfix/master", "0", f"{DAEMONS}/master", "master", True),
        ("postfix/lmtp", "104", f"{DAEMONS}/smtp", "smtp", True),
        ("postfix/smtpd", "104", f"{DAEMONS}/smtpd (deleted)", "smtpd", True),
        ("postfix/postfix-script", "0", "/usr/sbin/postlog", "postlog", True),
        ("postfix/postfix-script", "0", None, None, True),
        ("postfix/trivial-rewrite", "104", None, "trivial-rewrite", True),
        ("postfix/smtpd", "104", None, None, True),
        ("postfix/postdrop", "1000", "/usr/sbin/postdrop", "postdrop", True),
        ("postfix/sendmail", "1000", "/usr/sbin/sendmail", "sendmail", True),
        ("postfix", "0", "/usr/sbin/postfix", "postfix", True),
        # whoever lies
        ("postfix/smtpd", "1000", "/usr/bin/logger", "logger", False),
        ("postfix/smtpd", "0", "/usr/bin/logger", "logger", False),
        ("postfix/smtpd", "33", None, "logger", False),
        ("postfix/smtpd", "33", None, None, False),
        ("postfix/smtpd", "1000", None, None, False),
        ("postfix/smtpd", "1000", f"{DAEMONS}/smtpd", "smtpd", False),
        ("postfix/smtpd", "33", "/tmp/smtpd", "smtpd", False),
        ("postfix/smtpd", "1000", "/home/eve/smtpd", "smtpd", False),
        ("postfix/smtpd", "1000", "/usr/sbin/postlog", "postlog", False),
        ("postfix/smtpd", "104", "/usr/bin/python3.13", "smtpd", False),
        ("postfix/smtpd", "104", f"{DAEMONS}/smtp", "smtp", False),
        ("postfix/smtpd", "-1", f"{DAEMONS}/smtpd", "smtpd", False),
    ],
)
def test_who_can_have_written_an_entry_of_postfix(
    identifier: str, user: str, program: str | None, command: str | None, true: bool
) -> None:
    exe, comm = (None if one is None else one.encode() for one in (program, command))
    origin = Origin(identifier.encode(), user.encode(), exe, comm, b"syslog")
    assert may_be_postfix(origin, POSTFIX) is true


def test_of_another_machine_any_user_of_the_system_is_believed_to_be_postfix_where_no_more_is_known() -> None:
    assert may_be_postfix(Origin(b"postfix/smtpd", b"89", None, None, b"syslog"), None)
    assert not may_be_postfix(Origin(b"postfix/smtpd", b"1000", None, None, b"syslog"), None)


def test_a_journal_made_of_a_log_has_no_trusted_fields_and_is_believed_and_the_kernel_is_not() -> None:
    assert may_be_postfix(Origin(b"postfix/smtpd", None, None, None, None), POSTFIX)
    assert not may_be_postfix(Origin(b"postfix/smtpd", None, None, None, b"kernel"), POSTFIX)


@pytest.mark.parametrize(
    ("user", "program", "command", "true"),
    [
        (b"0", b"/usr/lib/dovecot/log", b"log", True),
        (b"0", b"/usr/sbin/dovecot", b"dovecot", True),
        (b"0", None, None, True),
        (b"1000", b"/usr/lib/dovecot/log", b"log", False),
        (b"1000", b"/home/eve/dovecot/log", b"log", False),
        (b"0", b"/usr/bin/logger", b"logger", False),
    ],
)
def test_who_can_have_written_an_entry_of_dovecot(
    user: bytes, program: bytes | None, command: bytes | None, true: bool
) -> None:
    assert may_be_dovecot(Origin(b"dovecot", user, program, command, b"syslog")) is true


def test_the_export_format_comes_in_any_pieces() -> None:
    entries = [fields(b"a\nb", AT), fields("plain", AT + 1), fields(b"\n\n=\n", AT + 2)]
    data = exported(entries)
    reader, found = ExportReader(), []
    for number in range(len(data)):
        reader.feed(data[number : number + 1])
        while (entry := reader.take()) is not None:
            found.append(entry["MESSAGE"])
    assert found == [b"a\nb", b"plain", b"\n\n=\n"]


@needs_files
@EVERY_WAY
def test_a_journal_gives_the_lines_that_the_log_of_the_same_time_has(tmp_path: Path, library: bool) -> None:
    log = logs("3.7")["injection.rfc3339.log"]
    write_journal(tmp_path / "x.journal", of_lines(log.splitlines()))
    said: list[str] = []
    blocks = list(read_journal(settings(tmp_path, dovecot=True), said.append, library=library))
    assert [block.caught_up for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert {block.position for block in blocks} == {None}

    def told(data: bytes) -> list[bytes]:
        ours = (b" postfix/", b" dovecot")
        return [line.partition(b" ")[2] for line in data.splitlines() if any(tag in line[:50] for tag in ours)]

    wanted = [line for line in told(log) if b"policyd-spf" not in line]
    assert told(text(blocks)) == wanted
    assert len(wanted) > 100
    assert said == []


@needs_files
@EVERY_WAY
def test_what_the_journal_dropped_is_read_in_its_own_words_and_nobody_elses(tmp_path: Path, library: bool) -> None:
    dropped = b"Suppressed 4711 messages from postfix@-.service"
    journald: Fields = {"SYSLOG_IDENTIFIER": "systemd-journald", "SYSLOG_PID": None, "_COMM": "systemd-journal"}
    journald["MESSAGE_ID"] = "a596d6fe7bfa4994828e72309e95d61e"
    entries = [
        fields(dropped, AT, **journald | {"_TRANSPORT": "driver", "SYSLOG_FACILITY": 5}),
        fields(b"Suppressed 1 messages from postfix.service", AT + 1, **journald),
        *numbered(2, 3),
    ]
    write_journal(tmp_path / "x.journal", entries)
    pipeline = Pipeline(Settings())
    losses = []
    for block in read_journal(settings(tmp_path), library=library):
        losses += pipeline.feed(block.data, block.source, block.reference).losses
    assert [(loss.reason, loss.lines) for loss in losses] == [("rate_limited", 4711)]


def odd_entries(number: int) -> Iterator[Fields]:
    """Of many writers, with fields that are missing, empty, long or no text, and messages of any kind."""
    dice = random.Random(5)
    messages = (b"", b"connect from unknown[192.0.2.7]", b"a\nb", b"\n", b"\xff\0", b"x" * 3000, b"x" * 70_000, None)
    some = {
        "SYSLOG_IDENTIFIER": ("postfix/smtpd", "postfix/qmgr", "dovecot", "cron", "", None, "postfix/smtpd[1]", "p\nq"),
        "SYSLOG_PID": (1, 22, "", None, "x", "1" * 500),
        "_UID": (104, 0, 1000, None, ""),
        "_EXE": (f"{DAEMONS}/smtpd", f"{DAEMONS}/qmgr", "/usr/bin/logger", "", None),
        "_COMM": ("smtpd", "logger", None),
        "_TRANSPORT": ("syslog", "journal", "driver", None),
        "_HOSTNAME": ("mx1", "", None, "a b"),
    }
    for one in range(number):
        at = AT + one * 700_001
        others = {name: dice.choice(values) for name, values in some.items() if dice.random() < 0.3}
        yield fields(b"", at, **others) | {"MESSAGE": dice.choice(messages)}


@needs_files
@needs_library
def test_every_way_through_the_library_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(tmp_path / "x.journal", [*numbered(0, 50), *odd_entries(1500), *numbered(4000, 4050)])
    found = []
    for compiled, fast in ((library_reader.COMPILED, True), (False, True), (False, False)):
        if not compiled and not library_reader.has_package():
            continue
        monkeypatch.setattr(library_reader, "COMPILED", compiled)
        reader = LibraryReader(find_journal(JournalSettings(directory=str(tmp_path))), follow=False, fast=fast)
        maker = LineMaker(JournalSettings(dovecot=True), 2000, owner=104)
        reader.seek_first()
        told: list[object] = []
        for wanted in (40, 1000, 1, 2000):
            told += [reader.pull(maker, wanted), reader.place(), maker.take(), maker.forged, maker.forgery]
        found.append(told)
        reader.close()
    assert all(told == found[0] for told in found)
    lines = b"".join(one for one in found[0] if isinstance(one, bytes)).splitlines()
    assert len(lines) > 500
    assert {len(line) for line in lines if b"xxx" in line} == {2000}
    assert any(line.endswith(b"a#012b") for line in lines)


@needs_files
@EVERY_WAY
async def test_reading_goes_on_behind_the_last_entry_that_was_read(tmp_path: Path, library: bool) -> None:
    write_journal(tmp_path / "x.journal", numbered(0, 20))
    early = JournalSource(settings(tmp_path), now=lambda: AT / SECOND, library=library)
    first = await read_through(early, 20)
    position = first[-1].position
    assert isinstance(position, JournalPosition)
    assert position.realtime == AT + 19 * SECOND
    assert position.sequence == 20
    write_journal(tmp_path / "x.journal", numbered(20, 30))
    later = JournalSource(settings(tmp_path), position=position, now=lambda: AT / SECOND, library=library)
    rest = await read_through(later, 10)
    assert [line[-5:] for line in text(rest).splitlines()] == [b"2.%d]" % number for number in range(20, 30)]
    assert (later.losses, later.notes, later.problem) == ([], [], None)


@needs_files
@EVERY_WAY
async def test_a_first_start_reads_back_as_far_as_it_is_told(tmp_path: Path, library: bool) -> None:
    write_journal(tmp_path / "x.journal", numbered(0, 100))
    wanted = SourceSettings(journal=JournalSettings(directory=str(tmp_path)), first_read=10, poll_interval=0.01)
    source = JournalSource(wanted, now=lambda: AT / SECOND + 99, library=library)
    found = text(await read_through(source, 11))
    assert found.startswith(b"2026-11-23T12:01:29.000000+00:00 ")
    assert found.count(b"\n") == 11


@needs_files
@EVERY_WAY
async def test_what_was_vacuumed_unread_is_measured_and_nothing_is_read_twice(tmp_path: Path, library: bool) -> None:
    path = write_journal(tmp_path / "x.journal", numbered(0, 100))
    source = JournalSource(settings(tmp_path), now=lambda: AT / SECOND, library=library)
    position = (await read_through(source, 100))[-1].position
    assert isinstance(position, JournalPosition)
    path.unlink()
    write_journal(tmp_path / "y.journal", numbered(5000, 5010))
    later = JournalSource(settings(tmp_path), position=position, now=lambda: AT / SECOND, library=library)
    assert text(await read_through(later, 10)).count(b"\n") == 10
    assert [(loss.reason, loss.lines) for loss in later.losses] == [("vacuumed", None)]
    assert "from 2026-11-23 12:01:39 UTC to 2026-11-23 13:23:20 UTC, were dropped" in later.losses[0].text


@needs_files
@EVERY_WAY
async def test_an_unknown_cursor_goes_on_by_its_time_and_says_so(tmp_path: Path, library: bool) -> None:
    write_journal(tmp_path / "x.journal", numbered(0, 100))
    made_up = f"s={'1' * 32};i=5;b={'2' * 32};m=5;t=5;x=5"
    position = JournalPosition(made_up, AT + 89 * SECOND)
    source = JournalSource(settings(tmp_path), position=position, now=lambda: AT / SECOND, library=library)
    assert text(await read_through(source, 10)).startswith(b"2026-11-23T12:01:30.000000+00:00 ")
    assert source.losses == []
    assert "reading goes on with what is later than 2026-11-23 12:01:29 UTC" in source.notes[0]


@needs_files
@needs_library
@pytest.mark.parametrize("cursor", ["", "garbage", "s=1", "\0"])
def test_a_cursor_that_is_none_does_no_harm(tmp_path: Path, cursor: str) -> None:
    write_journal(tmp_path / "x.journal", numbered(0, 10))
    source = JournalSource(settings(tmp_path), position=JournalPosition(cursor, AT + 4 * SECOND), library=True)
    assert text(read_on(source)).count(b"\n") == 5
    source.close()


def test_an_entry_that_was_copied_from_run_to_var_is_the_same() -> None:
    rest = "b=1;m=2;t=3;x=4"
    assert is_same_entry(f"s=5;i=6;{rest}", f"s=7;i=8;{rest}")
    assert not is_same_entry(f"s=5;i=6;{rest}", "s=5;i=6;b=1;m=2;t=3;x=5")
    assert not is_same_entry("", "garbage")


@needs_files
@EVERY_WAY
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: len(data) // 2], "is cut off: it has"),
        (lambda _: b"", "is 0 bytes long, too short for a journal file"),
        (lambda data: b"x" * 300 + data[300:], "does not begin as a journal file does"),
    ],
    ids=["cut", "empty", "overwritten"],
)
async def test_a_damaged_file_is_said_and_the_others_are_read(
    tmp_path: Path, library: bool, damage: Callable[[bytes], bytes], said: str
) -> None:
    broken = write_journal(tmp_path / "a.journal", numbered(0, 10))
    write_journal(tmp_path / "b.journal", numbered(10, 20))
    broken.write_bytes(damage(broken.read_bytes()))
    source = JournalSource(settings(tmp_path), now=lambda: AT / SECOND, library=library)
    assert text(await read_through(source, 10)).count(b"\n") == 10
    assert [loss.reason for loss in source.losses] == ["corrupt"]
    assert source.losses[0].text.startswith(f"{broken} {said}")
    heard: list[str] = []
    assert text(read_journal(settings(tmp_path), heard.append, library=library)).count(b"\n") == 10
    assert [one.startswith(f"{broken} {said}") for one in heard] == [True]


@needs_files
@needs_library
async def test_a_file_that_is_damaged_inside_is_read_up_to_there_and_it_is_said(tmp_path: Path) -> None:
    path = write_journal(tmp_path / "system@0.journal", numbered(0, 3000))
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(400_000) + data[middle + 400_000 :])
    heard: list[str] = []
    whole = text(read_journal(settings(tmp_path), heard.append, library=True)).count(b"\n")
    assert 100 < whole < 3000
    assert heard[0].startswith(f"{path} is damaged inside: its entries from 2026-11-23 12:")
    assert " cannot be read (journalctl --verify" in heard[0]
    source = JournalSource(settings(tmp_path), now=lambda: AT / SECOND, library=True)
    lines = 0
    async with asyncio.timeout(10):
        async for block in source.blocks():
            lines += block.data.count(b"\n")
            if lines == whole:
                break
    assert source.problem is None
    assert source.look_inside()[0].text == heard[0]
    assert lines == whole


@needs_files
def test_a_process_beside_gives_the_same_and_says_the_same(tmp_path: Path) -> None:
    write_journal(tmp_path / "x.journal", [*numbered(0, 3000), fields("typed", AT, _EXE="/usr/bin/logger")])
    program = (
        "import sys; from functools import partial\n"
        "from pfwatch.sources.beside import read_beside\n"
        "from pfwatch.sources.journal.finished import read_journal\n"
        "from pfwatch.sources.settings import JournalSettings, SourceSettings\n"
        "wanted = SourceSettings(journal=JournalSettings(directory=sys.argv[1]))\n"
        "for block in read_beside(partial(read_journal, wanted), 'x', print, cores=2):\n"
        "    print(block.data.decode(), end='')"
    )

    def printed(directory: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, str(directory)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    said: list[str] = []
    expected = text(read_journal(settings(tmp_path), said.append)).decode()
    assert printed(tmp_path).stdout == expected + said[0] + "\n"
    assert "SourceError: /nowhere: does not exist" in printed(Path("/nowhere")).stderr


@needs_files
@needs_library
def test_forged_entries_alone_move_the_position_so_that_they_count_once(tmp_path: Path) -> None:
    lies = numbered(0, 3, _EXE="/usr/bin/logger", _COMM="logger")
    write_journal(tmp_path / "x.journal", lies)
    source = JournalSource(settings(tmp_path), now=lambda: AT / SECOND, library=True)
    (block,) = read_on(source)
    assert block.data == b""
    assert source.take_forged() == 3
    assert source.take_forged() == 0
    assert len(source.notes) == 1
    source.close()
    assert isinstance(block.position, JournalPosition)
    again = JournalSource(settings(tmp_path), position=block.position, now=lambda: AT / SECOND, library=True)
    assert read_on(again) == []
    assert again.take_forged() == 0
    again.close()


@needs_files
@needs_library
def test_a_journal_that_comes_later_is_read_then(tmp_path: Path) -> None:
    source = JournalSource(settings(tmp_path / "remote"), now=lambda: AT / SECOND, library=True)
    assert source.poll() is None
    assert source.problem == (f"cannot be read: {tmp_path}/remote: does not exist; check the path of the journal")
    write_journal(tmp_path / "remote" / "x.journal", numbered(0, 5))
    assert text(read_on(source)).count(b"\n") == 5
    assert source.problem is None
    source.close()


@needs_files
@needs_library
def test_a_file_of_another_host_that_comes_later_is_seen(tmp_path: Path) -> None:
    write_journal(tmp_path / "remote-mx1.journal", numbered(0, 5))
    source = JournalSource(settings(tmp_path), now=lambda: AT / SECOND, library=True)
    assert text(read_on(source)).count(b" mx1 ") == 5
    write_journal(tmp_path / "remote-mx2.journal", numbered(10, 15, _HOSTNAME="mx2", _MACHINE_ID="2" * 32))
    assert text(read_on(source)).count(b" mx2 ") == 5
    source.close()


def test_without_a_journal_it_is_said_where_one_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text(MACHINE + "\n")
    with pytest.raises(SourceError) as caught:
        find_journal(JournalSettings(), str(tmp_path))
    assert f"no file in {tmp_path}/run/log/journal/{MACHINE} or {tmp_path}/var/log/" in str(caught.value)
    with pytest.raises(SourceError, match="the journal of namespace 'mail': there is no file in "):
        find_journal(JournalSettings(namespace="mail"), str(tmp_path))
    with pytest.raises(SourceError, match="there is no journal file"):
        find_journal(JournalSettings(directory=str(tmp_path)))


def test_a_namespace_has_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text(MACHINE + "\n")
    folder = tmp_path / "var/log/journal" / f"{MACHINE}.mail"
    folder.mkdir(parents=True)
    (folder / "system.journal").touch()
    place = find_journal(JournalSettings(namespace="mail"), str(tmp_path))
    assert place.files() == [folder / "system.journal"]
    assert place.namespace == "mail"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read it")
@pytest.mark.parametrize("locked", ["file", "folder"])
def test_without_permission_it_is_said_which_group_to_join(tmp_path: Path, locked: str) -> None:
    import grp

    group = next(entry for entry in grp.getgrall() if entry.gr_name == "adm")
    folder = tmp_path / "var/log/journal" / MACHINE
    folder.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text(MACHINE + "\n")
    path = folder / "system.journal"
    path.touch()
    for one, mode in ((path, 0o640), (folder, 0o750 if locked == "folder" else 0o755)):
        os.chown(one, 0, group.gr_gid)
        one.chmod(mode)
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    program = (
        "import os, sys; from pfwatch.sources.journal.place import find_journal\n"
        "from pfwatch.sources.settings import JournalSettings\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"find_journal(JournalSettings(), {str(tmp_path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "permission denied" in done.stderr
    assert "add nobody to that group (usermod -a -G adm nobody)" in done.stderr


def test_a_journal_is_known_by_its_files(tmp_path: Path) -> None:
    assert not is_journal(tmp_path)
    assert not is_journal(tmp_path / "mail.log")
    assert is_journal(tmp_path / "system.journal")
    (tmp_path / MACHINE).mkdir()
    (tmp_path / MACHINE / "user-1000@0.journal~").touch()
    assert is_journal(tmp_path)
