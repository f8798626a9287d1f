"""Keys do not show, do not spread, and can be wiped."""

from __future__ import annotations

import copy
import json
import pickle
import traceback

import msgspec
import pytest

from qcall.crypto.secret import Secret

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


@pytest.fixture
def secret() -> Secret:
    return Secret(KEY)


def test_reveals_what_it_was_given(secret: Secret) -> None:
    assert secret.reveal() == KEY
    assert len(secret) == 16


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>20}".format, "{:x}".format, "%s".__mod__])
def test_every_way_of_printing_hides_it(secret: Secret, show) -> None:
    assert "<secret>" in show(secret)
    assert KEY.hex() not in show(secret)


def test_a_traceback_with_values_does_not_show_it(secret: Secret) -> None:
    try:
        _ = secret / 2  # type: ignore[operator]
    except TypeError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "<secret>" in text
    assert repr(KEY)[2:-1] not in text


@pytest.mark.parametrize("spread", [pickle.dumps, copy.copy, copy.deepcopy, hash, json.dumps])
def test_it_cannot_be_copied_hashed_or_serialised(secret: Secret, spread) -> None:
    with pytest.raises(TypeError):
        spread(secret)


def test_msgspec_refuses_it(secret: Secret) -> None:
    with pytest.raises(TypeError):
        msgspec.msgpack.encode(secret)


def test_equal_bytes_are_equal_and_other_bytes_are_not(secret: Secret) -> None:
    assert secret == Secret(KEY)
    assert secret != Secret(KEY[:-1] + b"\0")
    assert secret != Secret(KEY[:-1])
    assert secret != KEY


def test_wiping_ends_it() -> None:
    secret = Secret(KEY)
    secret.wipe()
    secret.wipe()
    assert secret.wiped
    assert not secret
    assert secret != Secret(bytes(16))
    assert secret != secret
    with pytest.raises(ValueError, match="wiped"):
        secret.reveal()


def test_the_buffer_itself_is_overwritten() -> None:
    secret = Secret(KEY)
    buffer = secret._buffer
    secret.wipe()
    assert bytes(buffer) == bytes(16)


def test_leaving_a_with_block_wipes() -> None:
    with Secret(KEY) as secret:
        assert secret.reveal() == KEY
    assert secret.wiped
