"""Redundant payloads on the wire (RFC 2198)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.media.redundancy import LARGEST_OFFSET, Block, pack, unpack


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, LARGEST_OFFSET),
    st.binary(min_size=1, max_size=160),
    st.binary(min_size=1, max_size=160),
)
def test_both_frames_come_back(timestamp: int, offset: int, new: bytes, old: bytes) -> None:
    block = Block(101, (timestamp - offset) % 2**32, old)
    assert unpack(timestamp, pack(96, timestamp, new, block)) == (96, new, [block])


def test_the_layout_is_that_of_rfc_2198() -> None:
    packed = pack(96, 2_000, b"new", Block(96, 2_000 - 960, b"older"))
    assert packed == bytes.fromhex("e0 0f00 05 60") + b"older" + b"new"


def test_two_copies_are_read() -> None:
    headers = bytes.fromhex("e0 1e00 01 e0 0f00 02 60")
    assert unpack(5_000, headers + b"abbnew") == (
        96,
        b"new",
        [Block(96, 3_080, b"a"), Block(96, 4_040, b"bb")],
    )


@pytest.mark.parametrize("payload", [b"", b"\xe0", b"\xe0\x0f\x00\x05", b"\xe0\x0f\x00\x05\x60abc"])
def test_what_is_cut_short_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="redundant payload"):
        unpack(0, payload)


@given(st.binary(max_size=100))
def test_nothing_from_the_network_is_another_error(payload: bytes) -> None:
    with contextlib.suppress(ValueError):
        unpack(0, payload)


def test_a_copy_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="too old"):
        pack(96, 100_000, b"new", Block(96, 0, b"old"))
