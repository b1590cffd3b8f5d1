"""Text that somebody outside typed is cut before it is read, and nobody can tell."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfwatch.parsing.fragments import TEXT_LENGTH, untrusted, untrusted_or_none, worth_keeping

PIECES = (
    b"a",
    b"\xc3\xa4",
    b"\xe2\x82\xac",
    b"\xf0\x9f\x90\x8d",
    b"\xff",
    b"\x80",
    b"\xe2\x82",
    b"\xf0\x9f\x90",
    b"\xed\xa0\x80",
)
"""Characters of every length, bytes that begin none, beginnings of some, and a surrogate."""
WIDEST = 4
"""Bytes of a character."""


def in_full(text: bytes) -> str:
    """The plain definition: all of it is read, and then cut."""
    return text.decode("utf-8", "backslashreplace")[:TEXT_LENGTH]


runs = st.tuples(st.sampled_from(PIECES), st.integers(0, 300)).map(lambda run: run[0] * run[1])
texts = st.one_of(st.binary(max_size=3000), st.lists(st.one_of(runs, st.binary(max_size=9)), max_size=6).map(b"".join))


@given(texts)
def test_a_text_that_is_cut_first_reads_as_one_that_is_cut_last(text: bytes) -> None:
    assert str(untrusted(text)) == in_full(text)
    assert str(untrusted(worth_keeping(text))) == in_full(text)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("other", PIECES)
def test_wherever_the_cut_goes_through_a_character_the_text_is_the_same(piece: bytes, other: bytes) -> None:
    for before in range(TEXT_LENGTH - 4, TEXT_LENGTH + 2):
        for shift in range(WIDEST):
            text = b"x" * shift + b"\xf0\x9f\x90\x8d" * (before - shift) + piece * 3 + other * 300
            assert str(untrusted(text)) == in_full(text)


@pytest.mark.parametrize("byte", [b"\xd2", b"a", b"\x80"])
def test_what_stands_behind_the_cut_is_never_read(byte: bytes) -> None:
    def memory(size: int) -> int:
        text = byte * size
        tracemalloc.start()
        try:
            untrusted(text)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    memory(TEXT_LENGTH)  # what is made once only
    assert memory(64 * 1024) == memory(2 * 1024)


def test_no_text_is_an_empty_text_or_none() -> None:
    assert (str(untrusted(None)), str(untrusted(b""))) == ("", "")
    assert (untrusted_or_none(None), worth_keeping(None)) == (None, None)
    assert str(untrusted_or_none(b"")) == ""
