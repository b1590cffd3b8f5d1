"""Lines come out whole, the same however the input was cut into pieces, and the accounts are exact."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfwatch.sources.lines import LineCutter


def cut_whole(data: bytes, max_line: int) -> bytes:
    """The plain definition: every line, cut at the bound."""
    lines = data.split(b"\n")
    last = lines.pop()
    return b"".join(line[:max_line] + b"\n" for line in [*lines, *([last] if last else [])])


@given(st.lists(st.text("ab\n\r\x00", max_size=12).map(str.encode)), st.integers(1, 9))
def test_any_cut_of_the_input_gives_the_same_lines(pieces: list[bytes], max_line: int) -> None:
    data = b"".join(pieces)
    cutter = LineCutter(max_line)
    out = b"".join([cutter.feed(piece) for piece in pieces])
    assert cutter.consumed == data.rfind(b"\n") + 1
    assert cutter.consumed + cutter.pending == len(data)
    assert out + cutter.finish() == cut_whole(data, max_line)
    assert cutter.consumed == len(data)


def test_only_a_line_feed_ends_a_line() -> None:
    cutter = LineCutter(100)
    assert cutter.feed("a\rb\x0bc\x0cd\x85e\u2028f\n".encode()) == "a\rb\x0bc\x0cd\x85e\u2028f\n".encode()


def test_a_half_line_waits_for_its_end_and_the_account_stands_before_it() -> None:
    cutter = LineCutter(100)
    assert cutter.feed(b"one\ntwo") == b"one\n"
    assert (cutter.consumed, cutter.pending) == (4, 3)
    assert cutter.feed(b"!\n") == b"two!\n"
    assert (cutter.consumed, cutter.pending) == (9, 0)


def test_a_line_as_long_as_the_bound_is_left_alone_and_one_byte_more_is_cut() -> None:
    cutter = LineCutter(5)
    assert cutter.feed(b"12345\n123456\nx\n") == b"12345\n12345\nx\n"
    assert cutter.cut == 1


def test_an_endless_line_takes_no_memory() -> None:
    cutter = LineCutter(64 * 1024)
    piece = b"x" * (256 * 1024)
    tracemalloc.start()
    try:
        for _ in range(4 * 1024):  # 1 GiB
            assert cutter.feed(piece) == b""
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
    assert cutter.consumed == 0
    assert cutter.feed(b"y\nnext\n") == b"x" * 64 * 1024 + b"\nnext\n"
    assert cutter.consumed == 1024**3 + 7


def test_a_bound_below_one_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        LineCutter(0)
