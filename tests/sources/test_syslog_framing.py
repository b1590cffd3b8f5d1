"""A connection's messages become lines, each message one line, however the bytes arrive and whatever they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfwatch.sources.syslog.framing import LARGEST, Framing, FramingError, line_of

MESSAGE = b"<22>Nov 22 09:53:31 mx1 postfix/smtpd[229]: connect from unknown[192.0.2.9]"
MOST = 200


def counted(*messages: bytes) -> bytes:
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


def received(data: bytes, *cuts: int, close: bool = True) -> bytes:
    framing = Framing(MOST)
    ends = [*sorted(cut for cut in cuts if 0 < cut < len(data)), len(data)]
    lines = b"".join(framing.feed(data[begin:end]) for begin, end in zip([0, *ends], ends, strict=False))
    return lines + (framing.finish() if close else b"")


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (counted(MESSAGE, MESSAGE), MESSAGE + b"\n" + MESSAGE + b"\n"),
        (counted(MESSAGE + b"\n", b"<22>x\r\n"), MESSAGE + b"\n<22>x\n"),
        (counted(b"<22>a\nb\0c\rd"), b"<22>a#012b#000c#015d\n"),
        (counted(b"\n", b"<22>x"), b"<22>x\n"),
        (counted(b"x" * 500, MESSAGE), b"x" * MOST + b"\n" + MESSAGE + b"\n"),
        (counted(MESSAGE) + b"99 <22>half", MESSAGE + b"\n"),
        (counted(MESSAGE) + b"9", MESSAGE + b"\n"),
        (MESSAGE + b"\n" + MESSAGE + b"\n", MESSAGE + b"\n" + MESSAGE + b"\n"),
        (MESSAGE + b"\n\n\n" + MESSAGE, MESSAGE + b"\n" + MESSAGE + b"\n"),
        (MESSAGE + b"\0\n<22>a\0b\n", MESSAGE + b"\n<22>a#000b\n"),
        (b"x" * 500 + b"\n" + MESSAGE + b"\n", b"x" * MOST + b"\n" + MESSAGE + b"\n"),
        (b"2026-11-22T09:53:31Z mx1 a: b\n", b"2026-11-22T09:53:31Z mx1 a: b\n"),
        (b"1795341211.5 mx1 a: b\n", b"1795341211.5 mx1 a: b\n"),
        (b"12345678 is no length\n", b"12345678 is no length\n"),
        (b"0 is no length\n", b"0 is no length\n"),
        (b"12", b"12\n"),
        (b"", b""),
    ],
)
def test_messages_are_told_apart_wherever_they_are_cut(data: bytes, lines: bytes) -> None:
    assert received(data) == lines
    assert received(data, *range(len(data))) == lines
    for cut in range(len(data)):
        assert received(data, cut) == lines


@pytest.mark.parametrize(
    "data",
    [
        counted(MESSAGE) + b"<22>not counted",
        counted(MESSAGE) + b"0 ",
        counted(MESSAGE) + b"1" * 50,
        counted(MESSAGE) + b" ",
        b"%d x" % (LARGEST + 1),
        b"9999999 x",
    ],
)
def test_what_is_no_count_ends_the_connection_at_once(data: bytes) -> None:
    for cuts in ((), range(len(data))):
        with pytest.raises(FramingError):
            received(data, *cuts)


def test_digits_without_an_end_are_held_no_longer_than_a_line() -> None:
    framing = Framing(MOST)
    for _ in range(1000):
        assert framing.feed(b"1" * 1000) == b""
        assert framing.half
    assert framing.finish() == b"1" * MOST + b"\n"


def test_a_message_that_is_far_too_long_is_never_held() -> None:
    framing = Framing(MOST)
    assert framing.feed(b"%d " % LARGEST) == b""
    lines = b"".join(framing.feed(b"x" * 1000) for _ in range(LARGEST // 1000))
    assert lines == b"x" * MOST + b"\n"
    assert framing.half
    assert framing.feed(b"x" * (LARGEST % 1000) + counted(MESSAGE)) == MESSAGE + b"\n"
    assert not framing.half


def test_the_largest_message_in_single_bytes_takes_time_in_proportion() -> None:
    framing = Framing(64 * 1024)
    message = b"a" * 64 * 1024
    lines = b"".join(framing.feed(bytes((byte,))) for byte in counted(message))
    assert lines == message + b"\n"


@given(st.binary(max_size=400), st.lists(st.integers(1, 400), max_size=6))
def test_any_bytes_are_lines_or_no_connection(data: bytes, cuts: list[int]) -> None:
    def outcome(*where: int) -> bytes | str:
        try:
            return received(data, *where)
        except FramingError as error:
            return str(error)

    whole = outcome()
    assert outcome(*cuts) == whole
    if isinstance(whole, bytes):
        assert all(0 < len(line) <= 4 * MOST for line in whole.split(b"\n")[:-1])


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_a_counted_message_is_one_line_or_none(messages: list[bytes]) -> None:
    messages = [message for message in messages if message]
    assert received(counted(*messages)) == b"".join(line_of(message, MOST) for message in messages)
    assert all(line_of(message, MOST).count(b"\n") <= 1 for message in messages)
