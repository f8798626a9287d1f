"""A trusted node at the end of a path: what a dishonest one before it sends twice, or late, arrives once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.network import key_relay
from relay.network.key_relay import HopRejected, HopReport, Message
from relay.network.link import LinkEnd
from relay.network.node import SEQUENCE_WINDOW, Adjacency, Arrival, Node

KEY = bytes(range(32))


class Pair:
    """``x``, which is not honest and knows its link's key, and the target ``b``."""

    def __init__(self) -> None:
        ends = [LinkEnd(bytes(32), side, rate=0.0, now=0.0, level=1e6) for side in (0, 1)]
        self.sender, self.target = ends[0], Node("b")
        self.target.links["x"] = Adjacency(ends[1])

    def send(self, sequence: int, *, source: str = "a") -> Arrival:
        """What ``b`` makes of a message that is sent, each time on a block of its own."""
        message = Message("k", sequence, (source, "x", "b"), position=1, hops=(HopReport(0.0, 0.0),) * 2)
        frame = key_relay.seal(self.sender.reserve(0.0), message, KEY)
        arrival = self.target.open("x", frame, 0.0)
        assert isinstance(arrival, Arrival)
        return arrival


def test_a_message_that_is_sent_again_on_a_fresh_block_is_refused() -> None:
    pair = Pair()
    assert pair.send(7).key == KEY
    with pytest.raises(HopRejected, match="sequence number twice") as refused:
        pair.send(7)
    assert refused.value.code == "replay"
    assert pair.send(7, source="c").key == KEY, "each source counts for itself"


def test_what_is_older_than_the_window_is_refused() -> None:
    pair = Pair()
    pair.send(SEQUENCE_WINDOW + 5)
    pair.send(6)
    with pytest.raises(HopRejected):
        pair.send(5)


@given(st.lists(st.integers(0, 40), max_size=60))
def test_each_number_is_taken_once_in_whatever_order(sequences: list[int]) -> None:
    pair, taken = Pair(), []
    for sequence in sequences:
        try:
            pair.send(sequence)
        except HopRejected:
            continue
        taken.append(sequence)
    assert sorted(taken) == sorted(set(sequences))
