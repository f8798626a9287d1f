"""Envelopes that wait to be accepted, and deliveries that come twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.net.outbox import PATIENCE, REMEMBERED, Outbox, Seen
from qcall.wire.signalling import Delivery, Envelope, Failed, Reason

CALL = bytes(16)


def envelope(seq: int) -> Envelope:
    return Envelope("bob", CALL, seq, b"payload")


def delivery(sender: str, seq: int) -> Delivery:
    return Delivery(sender, "beijing", CALL, seq, b"payload")


@given(st.lists(st.integers(0, 20), unique=True), st.sets(st.integers(0, 20)))
def test_what_was_not_settled_waits_in_the_order_it_was_sent(sent: list[int], settled: set[int]) -> None:
    outbox = Outbox()
    for seq in sent:
        outbox.put(envelope(seq), 0.0)
    for seq in settled:
        outbox.settle(CALL, seq)
    assert [waiting.seq for waiting in outbox.waiting] == [seq for seq in sent if seq not in settled]


def test_an_envelope_fails_when_the_relay_takes_too_long() -> None:
    outbox = Outbox()
    outbox.put(envelope(1), 100.0)
    outbox.put(envelope(2), 101.0)
    assert outbox.deadline == 100.0 + PATIENCE
    assert outbox.give_up(99.0 + PATIENCE) == ()
    assert outbox.give_up(100.0 + PATIENCE) == (Failed(CALL, 1, Reason.RELAY_LOST),)
    assert [waiting.seq for waiting in outbox.waiting] == [2]


def test_nothing_waits_in_a_new_outbox() -> None:
    assert Outbox().deadline is None


def test_a_sequence_number_is_used_once() -> None:
    outbox = Outbox()
    outbox.put(envelope(1), 0.0)
    outbox.put(envelope(1), 1.0)
    assert (len(outbox), outbox.deadline) == (1, PATIENCE)
    with pytest.raises(ValueError, match="in use"):
        outbox.put(Envelope("bob", CALL, 1, b"another"), 0.0)


def test_a_delivery_that_comes_twice_is_new_once() -> None:
    seen = Seen()
    assert [seen.first(delivery("alice", 1)) for _ in range(3)] == [True, False, False]
    assert seen.first(delivery("alice", 2))
    assert seen.first(delivery("carol", 1))


def test_memory_is_bounded_and_forgets_the_oldest_first() -> None:
    seen = Seen()
    for seq in range(REMEMBERED + 1):
        seen.first(delivery("alice", seq))
    assert not seen.first(delivery("alice", REMEMBERED))
    assert not seen.first(delivery("alice", 1))
    assert seen.first(delivery("alice", 0))
