"""A relay that changes what it carries, and callers that sign what they should not."""

from __future__ import annotations

import os
import random

import msgspec

from qcall.agreement import effects as fx
from qcall.agreement.messages import HEADER_LENGTH, M2, Kind, M2Clear, encode, frame
from qcall.agreement.states import CONFIRM_LIMIT, HANDSHAKE_LIMIT, MEDIA_LIMIT, State

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
UPWARDS = [("alice", 0), ("bob", 0), ("alice", 1), ("bob", 1)]
"""M1 to M4: who sends it, and how many it sent before."""


def touch(sender: str, number: int, change):
    """A relay that does ``change`` to one message."""
    return lambda who, count, raw: change(raw) if (who, count) == (sender, number) else [raw]


def edit(model, **changes):
    """Re-encode a clear message with other fields."""

    def change(raw: bytes) -> list[bytes]:
        message = msgspec.msgpack.decode(raw[HEADER_LENGTH:], type=model)
        return [frame(Kind(raw[1]), msgspec.structs.replace(message, **changes))]

    return change


def edit_m2_clear(**changes):
    def change(raw: bytes) -> list[bytes]:
        m2 = msgspec.msgpack.decode(raw[HEADER_LENGTH:], type=M2)
        clear = msgspec.structs.replace(msgspec.msgpack.decode(m2.clear, type=M2Clear), **changes)
        return [frame(Kind.M2, M2(encode(clear), m2.box))]

    return change


def flipped(raw: bytes, place: int, chance: random.Random) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 1 << chance.randrange(8)]) + raw[place + 1 :]


def forge_terms(call, **changes):
    """A caller that signs other terms than it should."""
    call.hold = {fx.NeedOffer}
    call.dial()
    attempt = call.alice.machine._attempt
    attempt.terms = msgspec.structs.replace(attempt.terms, **changes)
    call.run("alice", call.alice.machine.offer("v=0\r\ns=offer\r\n", call.now))
    return call


def assert_dead(call) -> None:
    """Both phones aborted, neither confirmed, whatever it takes to find out."""
    call.connect()
    for limit in (HANDSHAKE_LIMIT, MEDIA_LIMIT, CONFIRM_LIMIT):
        call.wait(limit)
    for side in call.sides.values():
        assert not side.confirmed
        assert side.machine is None or side.machine.state is State.ENDED
