"""A client's connection, cut into messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.turn.effects import FiveTuple
from relay.turn.message import MessageClass, Method, encode, encode_channel_data
from relay.turn.tcp import WRITE_BUFFER_LIMIT, ClientStream

SERVER = ("203.0.113.1", 3478)
CLIENT = ("198.51.100.7", 40_000)
REQUEST = encode(Method.BINDING, MessageClass.REQUEST, bytes(12))
DATA = encode_channel_data(0x4000, b"hello", padded=True)


class Owner:
    """The server's side: keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.streams = 0

    def stream_opened(self, stream):
        self.streams += 1

    def stream_message(self, stream, data):
        self.messages.append(data)

    def stream_closed(self, stream):
        self.streams -= 1


class Transport:
    """The kernel's side."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting = 0
        self.aborted = False

    def write(self, data):
        self.written.append(data)

    def abort(self):
        self.aborted = True

    def get_extra_info(self, name):
        return {"peername": CLIENT}[name]

    def get_write_buffer_size(self):
        return self.waiting


def connect():
    owner, transport = Owner(), Transport()
    stream = ClientStream(owner, "tcp", SERVER, lambda name: name)
    stream.connection_made(transport)
    return stream, owner, transport


def test_a_connection_is_a_five_tuple():
    stream, owner, _ = connect()
    assert stream.five_tuple == FiveTuple("tcp", CLIENT, SERVER)
    assert owner.streams == 1
    stream.connection_lost(None)
    assert owner.streams == 0


@given(st.lists(st.sampled_from([REQUEST, DATA])), st.data())
def test_messages_come_out_whole_however_they_were_cut(messages, cuts):
    stream, owner, _ = connect()
    wire = b"".join(messages)
    while wire:
        size = cuts.draw(st.integers(1, len(wire)))
        stream.data_received(wire[:size])
        wire = wire[size:]
    assert owner.messages == messages


@pytest.mark.parametrize("garbage", [b"\x80\0\0\0", b"\0\1\0\3", b"\x16\x03\x01\x02"])
def test_what_is_no_turn_ends_the_connection(garbage):
    stream, owner, transport = connect()
    stream.data_received(REQUEST + garbage)
    assert owner.messages == [REQUEST]
    assert transport.aborted


def test_a_client_that_does_not_read_loses_whole_messages():
    stream, _, transport = connect()
    assert stream.send(DATA)
    transport.waiting = WRITE_BUFFER_LIMIT + 1
    assert not stream.send(DATA)
    transport.waiting = 0
    assert stream.send(REQUEST)
    assert transport.written == [DATA, REQUEST]


def test_nothing_is_sent_after_the_end():
    stream, _, transport = connect()
    stream.connection_lost(None)
    assert not stream.send(DATA)
    assert transport.written == []
