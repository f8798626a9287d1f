"""Signalling messages: strict both ways, and transcripts that bind what they must."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.wire import signalling as wire
from qcall.wire.signalling import (
    MAX_FRAME,
    MAX_PAYLOAD,
    VERSION,
    BadMessage,
    Code,
    FromPhone,
    FromRelay,
    Reason,
    TurnCredentials,
    decode_from_phone,
    decode_from_relay,
    encode,
    enrol_transcript,
    length_prefixed,
    login_transcript,
    version_of,
)

TURN = TurnCredentials("127.0.0.1", 3478, "1:beijing:alice", "a password", 1.5)
SIGNATURES = {"ed25519_signature": bytes(64), "mldsa_signature": bytes(4627)}
PHONE: list[FromPhone] = [
    wire.Hello(VERSION, "alice"),
    wire.Login(**SIGNATURES),
    wire.Enrol("0000-0000", bytes(32), bytes(2592), b"pem", **SIGNATURES),
    wire.Heartbeat(),
    wire.Envelope("bob", bytes(16), 7, b"payload"),
]
RELAY: list[FromRelay] = [
    wire.Challenge(bytes(32), bytes(32)),
    wire.Welcome(15.0, 3, "beijing", "sae-alice", "kme-beijing", "https://127.0.0.1:1", TURN, 4),
    wire.Enrolled("beijing", "sae-alice", "kme-beijing", b"pem", b"pem"),
    wire.HeartbeatAck(),
    wire.HeartbeatAck(TURN, 5),
    wire.Accepted(bytes(16), 7),
    wire.Delivery("alice", "beijing", bytes(16), 7, b"payload"),
    wire.Failed(bytes(16), 7, Reason.OFFLINE),
    wire.Rejected(Code.INVITE, "ask for a new one"),
]
LOGIN = {"relay": b"r" * 32, "nonce": b"n" * 32, "name": "alice"}
ENROL = LOGIN | {"invite": "ABCD", "ed25519_public": b"e" * 32, "mldsa_public": b"m" * 2592, "csr_pem": b"c"}

Decoder = Callable[[bytes], object]


def name(message: object) -> str:
    return type(message).__name__


@pytest.mark.parametrize("message", PHONE, ids=name)
def test_what_a_phone_says_is_read_as_it_was(message: FromPhone) -> None:
    assert decode_from_phone(encode(message)) == message


@pytest.mark.parametrize("message", RELAY, ids=name)
def test_what_a_relay_says_is_read_as_it_was(message: FromRelay) -> None:
    assert decode_from_relay(encode(message)) == message


@pytest.mark.parametrize("message", [*PHONE, *RELAY], ids=name)
def test_nobody_takes_the_part_of_the_other(message: Any) -> None:
    decode: Decoder = decode_from_relay if message in PHONE else decode_from_phone
    with pytest.raises(BadMessage):
        decode(encode(message))


@pytest.mark.parametrize("message", [*PHONE, *RELAY], ids=name)
def test_a_field_that_is_not_known_is_refused(message: Any) -> None:
    decode: Decoder = decode_from_phone if message in PHONE else decode_from_relay
    fields = msgspec.msgpack.decode(encode(message)) | {"later": 1}
    with pytest.raises(BadMessage):
        decode(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("message", [*PHONE, *RELAY], ids=name)
def test_a_frame_that_is_cut_short_or_goes_on_is_refused(message: Any) -> None:
    decode: Decoder = decode_from_phone if message in PHONE else decode_from_relay
    frame = encode(message)
    for wrong in (frame[:-1], frame + b"\0", b""):
        with pytest.raises(BadMessage):
            decode(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        wire.Envelope("bob", bytes(15), 0, b""),
        wire.Envelope("bob", bytes(16), -1, b""),
        wire.Envelope("bob", bytes(16), 2**32, b""),
        wire.Envelope("bob", bytes(16), 0, bytes(MAX_PAYLOAD + 1)),
        wire.Envelope("b" * 257, bytes(16), 0, b""),
        wire.Login(bytes(63), bytes(4627)),
        wire.Login(bytes(64), bytes(4626)),
        wire.Enrol("", bytes(31), bytes(2592), b"", **SIGNATURES),
        wire.Enrol("", bytes(32), bytes(2591), b"", **SIGNATURES),
        wire.Enrol("", bytes(32), bytes(2592), bytes(16_385), **SIGNATURES),
    ],
)
def test_a_value_out_of_bounds_is_refused(wrong: FromPhone) -> None:
    with pytest.raises(BadMessage):
        decode_from_phone(encode(wrong))


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan")])
def test_a_lease_that_does_not_last_is_refused(ttl: float) -> None:
    with pytest.raises(BadMessage):
        decode_from_relay(encode(wire.Welcome(ttl, 1, "s", "a", "k", "u", TURN, 4)))


def test_the_longest_envelope_fits_a_frame() -> None:
    longest = wire.Envelope("é" * 256, b"\xff" * 16, 2**32 - 1, bytes(MAX_PAYLOAD))
    assert len(encode(longest)) <= MAX_FRAME
    assert decode_from_phone(encode(longest)) == longest


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoders(frame: bytes) -> None:
    for decode in (decode_from_phone, decode_from_relay):
        with contextlib.suppress(BadMessage):
            decode(frame)
    version_of(frame)


@pytest.mark.parametrize("frame", [b"\x91" * 60_000, b"\x81\xa4type" * 10_000, b"\x81\xa1a" * 10_000])
def test_deep_nesting_is_refused(frame: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_from_phone(frame)
    assert version_of(frame) is None


def test_the_version_is_read_from_the_hello_of_any_version() -> None:
    later = msgspec.msgpack.encode({"type": "greeting", "version": 99, "shape": [1, 2]})
    assert version_of(later) == 99
    assert version_of(encode(PHONE[0])) == VERSION
    assert version_of(encode(wire.Heartbeat())) is None


@pytest.mark.parametrize("field", LOGIN)
def test_a_login_signature_binds(field: str) -> None:
    changed = LOGIN | {field: "mallory" if field == "name" else b"x" * 32}
    assert login_transcript(**changed) != login_transcript(**LOGIN)


@pytest.mark.parametrize("field", ENROL)
def test_an_enrolment_signature_binds(field: str) -> None:
    value = ENROL[field]
    changed = ENROL | {field: value + "x" if isinstance(value, str) else value + b"x"}
    assert enrol_transcript(**changed) != enrol_transcript(**ENROL)


def test_every_field_of_an_enrolment_is_tested() -> None:
    assert set(inspect.signature(enrol_transcript).parameters) == set(ENROL)
    assert set(inspect.signature(login_transcript).parameters) == set(LOGIN)


@given(st.lists(st.binary(max_size=8)), st.lists(st.binary(max_size=8)))
def test_length_prefixes_tell_lists_apart(one: list[bytes], other: list[bytes]) -> None:
    assert (length_prefixed(*one) == length_prefixed(*other)) is (one == other)


def test_credentials_and_invites_are_not_shown() -> None:
    for shown in (repr(RELAY), str(RELAY), repr(PHONE)):
        assert TURN.password not in shown
        assert "0000-0000" not in shown


@pytest.mark.parametrize("sender", ["alice\x1b[2J", "alice\n", "\x9bm"])
def test_a_relay_cannot_reach_into_the_terminal_by_a_name(sender: str) -> None:
    frame = wire.encode(wire.Delivery(sender, "beijing", bytes(16), 7, b"payload"))
    with pytest.raises(wire.BadMessage):
        wire.decode_from_relay(frame)


def test_both_phones_of_a_call_choose_the_same_worker():
    several = msgspec.structs.replace(TURN, workers=(3478, 3479, 3480))
    ports = [several.port_of(bytes([number]) * 32) for number in range(255)]
    assert ports == [several.port_of(bytes([number]) * 32) for number in range(255)]
    assert set(ports) == {3478, 3479, 3480}
    assert TURN.port_of(bytes(32)) == 3478
