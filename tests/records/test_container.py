"""A log of a container says the same as a plain one, whatever the runtime puts before its lines or wraps them in."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfwatch.events import AuthFailed, ClientConnected, Event
from pfwatch.finished import events_of, unread_lines
from pfwatch.parsing.scanner import Scanner
from pfwatch.parsing.tally import Tally
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.records.container import LONGEST, ContainerLog
from pfwatch.records.time import TimeReader
from pfwatch.replay import Report, replay
from pfwatch.sessions import Sessions
from pfwatch.sources.begin import first_line_since
from pfwatch.sources.settings import SourceSettings
from tests.samples.logs import REFERENCE, logs

STAMP = b"2026-11-22T09:53:31.123456789Z"
LINE = b"Nov 22 09:53:31 mx1 postfix/smtpd[229]: connect from unknown[192.0.2.9]"
ATTACK = b"Nov 22 09:53:31 mx1 postfix/smtpd[1]: warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x"


def docker(text: bytes, stream: str = "stdout", **attrs: str) -> bytes:
    """As Docker's json-file driver: Go's escapes, and U+FFFD where a byte is no UTF-8."""
    extra = f'"attrs":{json.dumps(attrs)},' if attrs else ""
    encoded = json.dumps(text.decode("utf-8", "replace"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return f'{{"log":{encoded},"stream":"{stream}",{extra}"time":"{STAMP.decode()}"}}\n'.encode()


def cri(text: bytes, piece: bytes = b"F", stream: bytes = b"stdout") -> bytes:
    return b"%b %b %b %b\n" % (STAMP, stream, piece, text)


Wrap = Callable[[bytes], bytes]
"""A line without its line feed, to lines as they are in the file."""

FORMS: dict[str, Wrap] = {
    "Kubernetes file": cri,
    "Podman file": lambda line: b"2026-11-22T10:53:31.5+01:00 stderr F %b\n" % line,
    "docker json-file": lambda line: docker(line + b"\n"),
    "docker json-file of a terminal": lambda line: docker(line + b"\r\n"),
    "docker json-file with attributes": lambda line: docker(line + b"\n", tag="mail", service='"}'),
    "docker logs --timestamps": lambda line: b"%b %b\n" % (STAMP, line),
    "docker compose logs": lambda line: b"mail-1  | %b\n" % line,
    "docker compose logs in colour": lambda line: b"\x1b[36mmail-1  | \x1b[0m%b\n" % line,
    "docker-compose of version 1 in colour": lambda line: b"\x1b[36;1mmail_1  |\x1b[0m %b\n" % line,
    "docker compose logs --timestamps": lambda line: b"mail-1  | %b %b\n" % (STAMP, line),
    "docker service logs": lambda line: b"mail_postfix.1.x1y2z3@node.example.org    | %b\n" % line,
    "kubectl logs --timestamps": lambda line: b"%b %b\n" % (b"2026-11-22T09:53:31.1Z", line),
    "kubectl logs --prefix": lambda line: b"[pod/mail-0/postfix] %b\n" % line,
    "kubectl logs --prefix --timestamps": lambda line: b"[pod/mail-0/postfix] %b %b\n" % (STAMP, line),
}


def wrapped(wrap: Wrap, log: bytes) -> bytes:
    return b"".join(map(wrap, log.removesuffix(b"\n").split(b"\n")))


def read(log: bytes, cuts: tuple[int, ...] = ()) -> tuple[list[Event], Tally]:
    """Every line as an event; `cuts` are numbers of lines."""
    sessions, containers = Sessions(), ContainerLog()
    scanner = Scanner(sessions, TimeReader(), every_event=True)
    lines = log.splitlines(keepends=True)
    for begin, end in zip((0, *cuts), (*cuts, len(lines)), strict=True):
        scanner.scan(containers.unwrap(b"".join(lines[begin:end])), REFERENCE)
    scanner.scan(containers.rest(), REFERENCE)
    sessions.finish()
    return sessions.take(), scanner.take()


def reported(directory: Path, log: bytes) -> Report:
    path = directory / "mail.log"
    path.write_bytes(log)
    os.utime(path, (REFERENCE, REFERENCE))
    return replay([str(path)], Settings(), SourceSettings())


# The same story


@pytest.mark.parametrize("form", FORMS)
def test_a_line_in_a_container_is_the_same_record(form: str) -> None:
    (event,), tally = read(FORMS[form](LINE))
    assert isinstance(event, ClientConnected)
    assert (event.envelope.host, event.envelope.stamp[:19], event.client.ip) == (
        "mx1",
        "2026-11-22T09:53:31",
        "192.0.2.9",
    )
    assert tally.total == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["grammar_tour.log", "postlogd_brute_force.log", "postlogd_injection.log"])
def test_the_same_log_plain_and_wrapped_gives_the_same_report(form: str, name: str, tmp_path: Path) -> None:
    log = logs("3.7")[name]
    plain = reported(tmp_path, log)
    assert plain.lines["total"] == log.count(b"\n") > 40
    assert plain.lines["events"] > 0
    assert reported(tmp_path, wrapped(FORMS[form], log)) == plain


def test_rfc_3339_of_a_syslog_daemon_in_the_container_is_read_behind_the_prefix(tmp_path: Path) -> None:
    log = logs("3.7")["brute_force.rfc3339.log"]
    plain = reported(tmp_path, log)
    for form, wrap in FORMS.items():
        assert reported(tmp_path, wrapped(wrap, log)) == plain, form


def test_forms_may_change_within_one_log_and_the_blocks_may_end_anywhere() -> None:
    wraps: list[Wrap] = [lambda line: line + b"\n", *FORMS.values()]
    chance = random.Random(7)
    order = [chance.choice(wraps) for _ in range(60)]
    log = b"".join(wrap(LINE if number % 2 else ATTACK) for number, wrap in enumerate(order))
    whole = read(log)
    assert [event.kind for event in whole[0]] == ["auth_failed", "client_connected"] * 30
    for cut in range(1, 60):
        assert read(log, (cut,)) == whole


def test_a_repeated_line_is_counted_behind_a_prefix_as_well() -> None:
    repeat = b"Nov 22 09:53:32 mx1 last message repeated 3 times"
    for wrap in FORMS.values():
        events, _ = read(wrap(LINE) + wrap(repeat))
        assert [(event.kind, event.envelope.weight) for event in events] == [
            ("client_connected", 1),
            ("client_connected", 3),
        ]


# What somebody typed


@pytest.mark.parametrize("form", FORMS)
def test_a_prefix_counts_at_the_beginning_of_a_line_only(form: str) -> None:
    typed = FORMS[form](LINE).removesuffix(b"\n").replace(b"\r", b"?")
    line = b"Nov 22 09:53:31 mx1 postfix/smtpd[229]: warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: "
    for before in (line, line + b" ", cri(line)[:-1], b"mail-1  | " + line):
        (event,), tally = read(before + typed + b"\n")
        assert isinstance(event, AuthFailed)
        assert event.client.ip == "192.0.2.9"
        assert tally.total == 1


@pytest.mark.parametrize(
    "line",
    [
        b" " + cri(LINE),
        b"x" + docker(LINE + b"\n"),
        docker(b"x" + docker(LINE + b"\n")),
        docker(docker(LINE + b"\n")),
        cri(cri(LINE)[:-1]),
        cri(docker(LINE + b"\n")[:-1]),
        b"mail-1  | mail-1  | " + LINE + b"\n",
        b"mail-1  | [pod/mail-0/postfix] " + LINE + b"\n",
        b"[pod/mail-0/postfix][pod/mail-0/postfix] " + LINE + b"\n",
        b'{"log":"' + LINE + b"\n",
        b'{"log":5,"stream":"stdout"}\n',
        b'{"log":"\\ud800","stream":"stdout"}\n',
        b'{"log":"' + LINE + b'\\n","stream":"else"}\n',
        b"2026-11-22T09:53:31Z stdlog F " + LINE + b"\n",
        b"2026-11-22T09:53:31Z stdout X " + LINE + b"\n",
        b"mail 1  | " + LINE + b"\n",
    ],
)
def test_what_only_looks_like_a_prefix_is_no_record_and_is_counted(line: bytes) -> None:
    events, tally = read(line)
    assert [event.kind for event in events] == ["malformed"]
    assert tally.total == tally.malformed == 1


def test_a_line_feed_in_an_object_is_shown_and_makes_no_second_line() -> None:
    (event,), tally = read(docker(b"x\n" + ATTACK + b"\0\n"))
    assert event.kind == "malformed"
    assert tally.total == 1
    assert ContainerLog().unwrap(docker(b"x\ny\0z\n")) == b"x#012y#000z\n"


# Pieces


def pieces(wrap: str, line: bytes, stream: str, size: int = 16 * 1024) -> list[bytes]:
    parts = [line[begin : begin + size] for begin in range(0, len(line), size)]
    if wrap == "docker":
        return [docker(part, stream) for part in parts[:-1]] + [docker(parts[-1] + b"\n", stream)]
    return [cri(part, b"P", stream.encode()) for part in parts[:-1]] + [cri(parts[-1], b"F", stream.encode())]


@pytest.mark.parametrize("wrap", ["docker", "cri"])
def test_the_pieces_of_a_long_line_are_one_line(wrap: str) -> None:
    long = (LINE + b" ").ljust(16 * 1024, b"x") + ATTACK + b"y" * 20_000
    log = b"".join(pieces(wrap, long, "stdout")) + b"".join(pieces(wrap, LINE, "stdout"))
    lines = log.count(b"\n")
    for cut in range(1, lines):
        events, tally = read(log, (cut,))
        assert [event.kind for event in events][1:] == ["client_connected"]
        assert getattr(events[0], "client", None) is None or "203.0.113.9" not in str(events[0])
        assert tally.total == 2


@pytest.mark.parametrize("wrap", ["docker", "cri"])
def test_pieces_of_two_streams_do_not_mix(wrap: str) -> None:
    first, second = b"a" * 40_000, b"b" * 40_000
    both = zip(pieces(wrap, first, "stdout"), pieces(wrap, second, "stderr"), strict=True)
    lines = ContainerLog().unwrap(b"".join(one + other for one, other in both)).split(b"\n")
    assert [line[-40_000:] for line in lines] == [first, second, b""]


@pytest.mark.parametrize("wrap", ["docker", "cri"])
def test_a_line_of_endless_pieces_is_cut_and_takes_little_memory(wrap: str) -> None:
    container = ContainerLog()
    piece = pieces(wrap, b"a" * 40_000, "stdout")[0]
    for _ in range(200):
        assert container.unwrap(piece) == b""
    state = container.state()
    assert state is not None
    assert len(state) < LONGEST + 200
    (line,) = container.unwrap(pieces(wrap, ATTACK, "stdout")[0]).splitlines()
    assert len(line) == LONGEST
    assert ATTACK not in line


@pytest.mark.parametrize("wrap", ["docker", "cri"])
def test_a_line_whose_end_never_came_is_counted_at_the_end_of_the_log(wrap: str, tmp_path: Path) -> None:
    begun = pieces(wrap, LINE + b" " * 20_000, "stdout")[0]
    other = pieces(wrap, LINE, "stderr")[0]
    report = reported(tmp_path, other + begun)
    assert report.lines["total"] == 2 == sum(report.lines.values()) - 2
    (one, two), tally = read(other + begun)
    assert (one.kind, two.envelope.host) == ("client_connected", "mx1")
    assert tally.total == 2


@pytest.mark.parametrize("before", [b"", b'"stream":"stdout"}'])
def test_what_follows_an_object_that_was_cut_is_not_the_beginning_of_a_line(before: bytes) -> None:
    """16 KiB of `<` are 96 KiB in json-file, and a reader of files cuts a line at 64: was it a piece?"""
    begin = docker(b"<" * 16 * 1024)
    begin = begin[: LONGEST - len(before)] + before + begin[LONGEST:]
    assert len(begin) > LONGEST
    log = begin[:LONGEST] + b"\n" + docker(ATTACK + b"\n") + docker(LINE + b"\n")
    for cuts in ((), (1,), (2,)):
        events, tally = read(log, cuts)
        assert [event.kind for event in events] == ["malformed", "malformed", "client_connected"]
        assert tally.total == 3
    assert read(begin[:LONGEST] + b"\n")[1].total == 1


@pytest.mark.parametrize("wrap", ["docker", "cri"])
def test_a_restart_between_two_pieces_loses_nothing(wrap: str) -> None:
    log = pieces(wrap, LINE, "stdout") + pieces(wrap, b"x" * 20_000, "stdout")
    first, second = Pipeline(Settings(), keep=True), Pipeline(Settings(), keep=True)
    undisturbed = ContainerLog().unwrap(b"".join(log))
    total = 0
    for piece in log[:2]:
        tally = first.feed(piece, "log", REFERENCE).tally
        total += tally.total if tally else 0
    second.restore({part: {k: v for k, v in rows.items() if v is not None} for part, rows in first.drain().items()})
    tally = second.feed(log[2], "log", REFERENCE).tally
    assert tally is not None
    assert total + tally.total == undisturbed.count(b"\n") == 2


# The whole

MIXED = (
    LINE + b"\n",
    cri(LINE),
    cri(b"x", b"P"),
    cri(b"", b"P", b"stderr"),
    docker(b"x"),
    docker(LINE + b"\n"),
    b"\n",
    b'{"log":"\n',
    b"{\n",
    b"2026-11-22T09:53:31Z stdout F \n",
    b"\xff{\n",
)


@given(
    st.lists(st.sampled_from(MIXED), max_size=12),
    st.data(),
)
def test_where_blocks_end_changes_nothing_and_every_line_is_accounted_for(
    lines: list[bytes], data: st.DataObject
) -> None:
    # CRI is what a runtime writes as a whole file; there it is known from the first line.
    lines = [cri(LINE), *lines]
    cut = data.draw(st.integers(0, len(lines)))
    whole, tally = read(b"".join(lines))
    again, other = read(b"".join(lines), (cut,))
    assert [msgspec.json.encode(event) for event in again] == [msgspec.json.encode(event) for event in whole]
    assert tally.total == sum(tally.fates().values()) == other.total


def test_a_plain_log_is_given_back_itself_and_at_once() -> None:
    block = logs("3.7")["grammar_tour.log"] * 6
    assert len(block) > 200_000
    container = ContainerLog()
    plain = block.replace(b"{", b"(")
    assert container.unwrap(plain) is plain
    assert container.unwrap(block) is block
    scanner = Scanner(Sessions(), TimeReader())
    took = [time.perf_counter()]
    for work in (lambda: container.unwrap(plain), lambda: scanner.scan(plain, REFERENCE)):
        for _ in range(5):
            work()
        took.append(time.perf_counter())
    assert took[1] - took[0] < 0.05 * (took[2] - took[1])


def test_the_first_read_finds_its_place_behind_a_prefix(tmp_path: Path) -> None:
    plain = [
        b"Nov 22 %02d:%02d:31 mx1 postfix/qmgr[7]: A1B2C3D: removed" % (h, m) for h in range(24) for m in range(60)
    ]
    since = REFERENCE - 86_400  # noon of the 22nd
    for wrap in FORMS.values():
        lines = [wrap(line) for line in plain]
        path = tmp_path / "log"
        path.write_bytes(b"".join(lines))
        times = TimeReader()
        times.expect(REFERENCE)
        with path.open("rb") as log:
            assert first_line_since(log, since, times) == sum(map(len, lines[: 12 * 60]))


def test_events_and_unread_lines_are_the_same_as_of_the_plain_log(tmp_path: Path) -> None:
    log = logs("3.7")["grammar_tour.log"] + b"Nov 22 09:53:31 mx1 postfix/smtpd[229]: something new\n"
    path = tmp_path / "mail.log"

    def said(text: bytes) -> tuple[list[bytes], list[bytes], int]:
        path.write_bytes(text)
        os.utime(path, (REFERENCE, REFERENCE))
        found = events_of(frozenset(), [str(path)], Settings(), SourceSettings())
        events = [msgspec.json.encode(one) for block in found for one in block]
        unread = list(unread_lines([str(path)], Settings(), SourceSettings()))
        lines = [msgspec.json.encode(event) for found, _ in unread for event in found]
        return events, lines, sum(tally.total for _, tally in unread)

    plain = said(log)
    assert len(plain[0]) > 100
    assert plain[1]
    assert plain[2] == log.count(b"\n")
    for form, wrap in FORMS.items():
        assert said(wrapped(wrap, log)) == plain, form


@pytest.mark.parametrize("form", FORMS)
def test_explain_understands_a_line_with_its_prefix(form: str, tmp_path: Path) -> None:
    line = FORMS[form](LINE).decode().removesuffix("\n")
    command = [sys.executable, "-m", "pfwatch", "explain", line]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("client_connected")
    assert "192.0.2.9" in done.stdout
    assert "\x1b" not in done.stdout
