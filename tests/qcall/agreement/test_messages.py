"""Messages have one encoding, known fields and fixed lengths, or they are none."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.agreement.control import Control
from qcall.agreement.messages import (
    LONGEST_FRAME,
    M1,
    MODELS,
    Kind,
    QkdTerms,
    Refuse,
    RefuseCode,
    decode,
    encode,
    encode_checked,
    frame,
    parse,
    read,
)
from qcall.agreement.policy import QkdPolicy, QkdState
from qcall.crypto.aead import BOX_LENGTH, Box
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed

GOOD = M1(
    suites=("Q5",),
    call_id=bytes(16),
    time=1,
    policy=QkdPolicy.PREFER,
    share=bytes(32),
    kem_keys={"ML-KEM-1024": bytes(1568)},
    commitment=bytes(48),
)
FIELDS = msgspec.to_builtins(GOOD, builtin_types=(bytes,))


def packed(**changes) -> bytes:
    return msgspec.msgpack.encode({**FIELDS, **changes})


def test_a_message_comes_back() -> None:
    assert read(parse(frame(Kind.M1, GOOD)), M1) == GOOD
    assert packed() == encode(GOOD)


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"suites": ()},
        {"suites": ("Q",) * 9},
        {"suites": ("x" * 17,)},
        {"call_id": bytes(15)},
        {"call_id": bytes(17)},
        {"time": -1},
        {"time": 1.5},
        {"time": 1 << 48},
        {"policy": "maybe"},
        {"share": bytes(31)},
        {"share": "text of thirty-two characters ok"},
        {"kem_keys": {}},
        {"kem_keys": {"k": b""}},
        {"kem_keys": {"k": bytes(40_000)}},
        {"commitment": bytes(47)},
        {"commitment": None},
    ],
    ids=lambda changes: "-".join(f"{k}-{str(v)[:12]}" for k, v in changes.items()),
)
def test_a_wrong_field_is_refused(changes) -> None:
    with pytest.raises(AgreementFailed) as caught:
        decode(packed(**changes), M1)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("missing", FIELDS)
def test_a_missing_field_is_refused(missing: str) -> None:
    with pytest.raises(AgreementFailed):
        decode(msgspec.msgpack.encode({k: v for k, v in FIELDS.items() if k != missing}), M1)


def test_another_encoding_of_the_same_message_is_refused() -> None:
    reordered = msgspec.msgpack.encode(dict(reversed(FIELDS.items())))
    twice = b"\x88" + packed()[1:] + msgspec.msgpack.encode("time") + b"\1"
    long_integer = packed().replace(b"\xa4time\x01", b"\xa4time\xcc\x01")
    for other in (reordered, twice, long_integer, packed() + b"\0"):
        assert other != packed()
        with pytest.raises(AgreementFailed):
            decode(other, M1)


@pytest.mark.parametrize("length", [0, 1, 2, LONGEST_FRAME + 1])
def test_frames_without_content_or_too_long_are_refused(length: int) -> None:
    with pytest.raises(AgreementFailed) as caught:
        parse(b"\1" * length)
    assert caught.value.code == "length"


def test_a_refusal_keeps_its_form_for_ever() -> None:
    assert frame(Kind.REFUSE, Refuse(RefuseCode.BUSY)) == b"\x01\x00\x81\xa4code\xa4busy"


def test_what_a_peer_would_refuse_is_not_sent() -> None:
    with pytest.raises(AgreementFailed):
        encode_checked(QkdTerms(QkdState.ABSENT, "Not A Word", None, None, ()))


@given(st.sampled_from(sorted(MODELS.items())), st.binary(max_size=300))
def test_noise_is_refused_and_never_crashes(model, data: bytes) -> None:
    try:
        message = decode(data, model[1])
    except AgreementFailed:
        return
    assert encode(message) == data


@given(st.binary(max_size=60))
def test_sealed_noise_is_no_control_message(data: bytes) -> None:
    material = Secret(bytes(BOX_LENGTH))
    header = b"\1" + bytes(12)
    control = Control(Box(material), Box(material))
    with pytest.raises(AgreementFailed):
        control.open(header + Box(material).seal(b"\xc1" + data, header))
