"""Nonces without memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.turn.nonces import COOKIE, LIFETIME, Nonces

CLIENT = ("198.51.100.7", 40_000)
NONCES = Nonces(bytes(32))


def test_a_nonce_is_valid_for_its_client_until_it_is_old():
    nonce = NONCES.issue(CLIENT, 500.0)
    assert NONCES.is_valid(nonce, CLIENT, 500.0 + LIFETIME - 1)
    assert not NONCES.is_valid(nonce, CLIENT, 500.0 + LIFETIME)


@pytest.mark.parametrize("other", [("198.51.100.8", 40_000), ("198.51.100.7", 40_001)])
def test_a_nonce_is_worthless_to_another_address(other):
    assert not NONCES.is_valid(NONCES.issue(CLIENT, 500.0), other, 500.0)


def test_a_nonce_of_another_server_is_worthless():
    assert not NONCES.is_valid(Nonces(b"k" * 32).issue(CLIENT, 500.0), CLIENT, 500.0)


def test_a_nonce_whose_cookie_was_taken_off_is_worthless():
    nonce = NONCES.issue(CLIENT, 500.0)
    assert nonce.startswith(b"obMatJos2gAAA")
    assert not NONCES.is_valid(nonce.removeprefix(COOKIE), CLIENT, 500.0)
    assert not NONCES.is_valid(nonce.replace(b"gAAA", b"AAAA", 1), CLIENT, 500.0)


def test_a_timestamp_cannot_be_renewed_by_the_client():
    old, new = NONCES.issue(CLIENT, 500.0), NONCES.issue(CLIENT, 9_000.0)
    forged = new[: len(COOKIE) + 5] + old[len(COOKIE) + 5 :]
    assert not NONCES.is_valid(forged, CLIENT, 9_000.0)


def test_nonces_live_through_the_wrap_of_the_timestamp():
    nonce = NONCES.issue(CLIENT, 2.0**32 - 10)
    assert NONCES.is_valid(nonce, CLIENT, 2.0**32 + 10)


@given(st.binary(max_size=60))
def test_no_nonce_raises(nonce):
    assert not NONCES.is_valid(nonce, CLIENT, 0.0)
    assert not NONCES.is_valid(COOKIE + nonce, CLIENT, 0.0)
