"""Telnet's commands are taken out of a console, wherever the stream is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.drivers.consoles.telnet import TelnetReader

IAC, SB, SE = b"\xff", b"\xff\xfa", b"\xff\xf0"
WILL, WONT, DO, DONT = b"\xff\xfb", b"\xff\xfc", b"\xff\xfd", b"\xff\xfe"


def read(*pieces: bytes) -> tuple[bytes, bytes]:
    reader = TelnetReader()
    fed = [reader.feed(piece) for piece in pieces]
    return b"".join(text for text, _ in fed), b"".join(answer for _, answer in fed)


def test_text_is_text() -> None:
    assert read(b"a\r\nb\0\xfe") == (b"a\r\nb\0\xfe", b"")


def test_a_doubled_255_is_one() -> None:
    assert read(b"a\xff\xffb\xff\xff\xff\xff") == (b"a\xffb\xff\xff", b"")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (WILL + b"\x00", DO + b"\x00"),  # binary
        (DO + b"\x00", WILL + b"\x00"),
        (WILL + b"\x01", DO + b"\x01"),  # it echoes
        (DO + b"\x01", WONT + b"\x01"),
        (WILL + b"\x03", DO + b"\x03"),  # no go-ahead
        (DO + b"\x03", WILL + b"\x03"),
        (WILL + b"\x2c", DONT + b"\x2c"),  # RFC 2217
        (DO + b"\x18", WONT + b"\x18"),  # the terminal's type
        (WONT + b"\x01", b""),
        (DONT + b"\x01", b""),
    ],
)
def test_each_option_is_answered_once(asked: bytes, answer: bytes) -> None:
    assert read(asked) == (b"", answer)
    assert read(asked * 5, asked) == (b"", answer)


def test_subnegotiations_are_left_out() -> None:
    assert read(b"a" + SB + b"\x18\x01" + SE + b"b") == (b"ab", b"")
    # A doubled 255 in it is data: what follows does not end it.
    assert read(b"a" + SB + b"\x2c" + IAC * 2 + b"\xf0more" + SE + b"b") == (b"ab", b"")


def test_commands_of_two_bytes_are_left_out() -> None:
    assert read(b"a\xff\xf1b\xff\xf3c\xff\xf9d") == (b"abcd", b"")


def test_an_endless_subnegotiation_takes_no_memory_and_ends() -> None:
    reader = TelnetReader()
    reader.feed(SB)
    for _ in range(100):
        assert reader.feed(b"\xff\xff" + b"x" * 65536) == (b"", b"")
        assert len(reader._rest) < 4
    assert reader.feed(SE + b"back") == (b"back", b"")


PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([IAC, IAC * 2, SB, SE, WILL + b"\x01", DO + b"\x18", WONT + b"\x03", DONT, b"\xff\xf3", b"\xf0"]),
)


@given(st.lists(PIECES, max_size=20).map(b"".join), st.lists(st.integers(0, 120), max_size=10))
def test_any_cut_gives_the_same(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[begin:end] for begin, end in itertools.pairwise(places)]
    assert read(*pieces) == read(stream)
    assert read(*(bytes([byte]) for byte in stream)) == read(stream)


@given(st.binary(max_size=200))
def test_what_a_server_escapes_comes_out_as_it_was(text: bytes) -> None:
    assert read(text.replace(IAC, IAC * 2))[0] == text
