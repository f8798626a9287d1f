"""Arrays laid out for recvmmsg and sendmmsg."""

from __future__ import annotations

import numpy as np

from relay.turn.packets import BUFFER, MMSGHDR, NAME, Buffers, Inbox, pack_name


def test_a_message_header_is_as_long_as_the_kernels():
    assert MMSGHDR.itemsize == 64


def test_names_are_socket_addresses():
    assert pack_name(("127.0.0.1", 0x1234)) == b"\x02\0\x12\x34\x7f\0\0\x01" + bytes(24)
    assert pack_name(("::1", 0x1234)) == b"\x0a\0\x12\x34" + bytes(4) + bytes(15) + b"\x01" + bytes(8)


def test_buffers_used_last_are_used_first():
    buffers = Buffers(8)
    first = buffers.take(3)
    buffers.give(first)
    assert sorted(buffers.take(3)) == sorted(first)


def test_no_more_is_taken_than_there_is():
    buffers = Buffers(4)
    assert len(buffers.take(3)) == 3
    assert len(buffers.take(3)) == 1
    assert len(buffers.take(3)) == 0


def test_an_inbox_keeps_the_buffers_that_were_not_filled():
    buffers = Buffers(8)
    inbox = Inbox(buffers, 4)
    assert inbox.prepare() == 4
    filled = inbox.split(2)
    assert inbox.prepare() == 4
    again = inbox.split(4)
    assert not set(filled.tolist()) & set(again.tolist())
    assert len(set(again.tolist())) == 4


def test_an_inbox_asks_for_less_when_buffers_run_out():
    buffers = Buffers(5)
    inbox = Inbox(buffers, 4)
    inbox.prepare()
    first = inbox.split(4)
    assert inbox.prepare() == 1
    second = inbox.split(1)
    assert inbox.prepare() == 0
    buffers.give(first)
    buffers.give(second)
    assert inbox.prepare() == 4
    assert len(set(inbox.split(4).tolist())) == 4


def test_what_is_longer_than_a_buffer_is_put_together():
    buffers = Buffers(4)
    inbox = Inbox(buffers, 2)
    inbox.prepare()
    slot = int(inbox.split(1)[0])
    long = np.arange(BUFFER + 5).astype(np.uint8)
    buffers.data[slot, :BUFFER] = long[:BUFFER]
    inbox._spill[0, :5] = long[BUFFER:]
    inbox.lengths[0] = len(long)
    assert inbox.copy(0, slot) == long.tobytes()
    assert inbox.names.shape == (2, NAME)
