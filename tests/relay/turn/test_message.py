"""STUN on the wire: RFC 5769's vectors in both directions, round trips, and malformed input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.turn import attributes
from relay.turn.attributes import (
    CHANNEL_NUMBER,
    DATA,
    LIFETIME,
    MESSAGE_INTEGRITY,
    NONCE,
    REALM,
    SOFTWARE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
    Attribute,
    Malformed,
    Value,
)
from relay.turn.credentials import long_term_key
from relay.turn.message import (
    Integrity,
    MessageClass,
    Method,
    encode,
    encode_channel_data,
    frame_size,
    is_channel_data,
    parse,
    parse_channel_data,
)

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "rfc5769.json").read_text())["vectors"]
SHORT_TERM = [v for v in VECTORS if "realm" not in v]
(LONG_TERM,) = (v for v in VECTORS if "realm" in v)
TRANSACTION = bytes(range(12))


def raw_attribute(number: int, value: bytes) -> Value:
    return Value(number, lambda _: value)


@pytest.mark.parametrize("vector", SHORT_TERM, ids=lambda v: v["section"])
def test_rfc5769_short_term_messages_are_authentic(vector):
    message = parse(bytes.fromhex(vector["hex"]))
    assert message.is_authentic(Integrity(vector["password"].encode()))
    assert not message.is_authentic(Integrity(vector["password"].encode() + b"x"))


@pytest.mark.parametrize("vector", [v for v in SHORT_TERM if "address" in v], ids=lambda v: v["section"])
def test_rfc5769_responses_carry_the_mapped_address(vector):
    message = parse(bytes.fromhex(vector["hex"]))
    assert message.get(XOR_MAPPED_ADDRESS) == (vector["address"], vector["port"])
    assert message.get(SOFTWARE) == "test vector"


@pytest.mark.parametrize("vector", [v for v in SHORT_TERM if "address" in v], ids=lambda v: v["section"])
def test_rfc5769_responses_are_written_byte_for_byte(vector):
    # The vectors pad SOFTWARE with a space, which RFC 5769 chose to show that padding may be anything.
    raw = bytes.fromhex(vector["hex"])
    integrity = Integrity(vector["password"].encode())
    ours = encode(
        Method.BINDING,
        MessageClass.SUCCESS,
        raw[8:20],
        [
            raw_attribute(SOFTWARE.type, b"test vector"),
            XOR_MAPPED_ADDRESS((vector["address"], vector["port"])),
        ],
        integrity=integrity,
        fingerprint=True,
    )
    at_padding = 20 + 4 + 11
    covered = ours[:at_padding] + b"\x20" + ours[at_padding + 1 : -32]
    assert covered == raw[: len(covered)]
    assert len(ours) == len(raw)
    assert parse(ours).is_authentic(integrity)


def test_rfc5769_long_term_request_is_authentic():
    key = long_term_key(LONG_TERM["username"], LONG_TERM["realm"], LONG_TERM["password"])
    message = parse(bytes.fromhex(LONG_TERM["hex"]))
    assert message.get(USERNAME) == LONG_TERM["username"]
    assert message.get(NONCE) == LONG_TERM["nonce"].encode()
    assert message.is_authentic(Integrity(key))


def test_rfc5769_long_term_request_is_written_byte_for_byte():
    raw = bytes.fromhex(LONG_TERM["hex"])
    key = long_term_key(LONG_TERM["username"], LONG_TERM["realm"], LONG_TERM["password"])
    values = [USERNAME(LONG_TERM["username"]), NONCE(LONG_TERM["nonce"].encode()), REALM(LONG_TERM["realm"])]
    assert encode(Method.BINDING, MessageClass.REQUEST, raw[8:20], values, integrity=Integrity(key)) == raw


@pytest.mark.parametrize("at", range(8, 108, 9))
def test_one_wrong_bit_is_noticed(at):
    raw = bytearray.fromhex(VECTORS[0]["hex"])
    raw[at] ^= 1
    try:
        message = parse(bytes(raw))
    except Malformed:
        return
    assert not message.is_authentic(Integrity(VECTORS[0]["password"].encode()))


def test_attributes_after_the_integrity_are_ignored():
    signed = encode(
        Method.REFRESH, MessageClass.REQUEST, TRANSACTION, [SOFTWARE("a")], integrity=Integrity(b"k")
    )
    forged = signed + LIFETIME.type.to_bytes(2, "big") + b"\0\4\0\0\0\0"
    message = parse(forged[:2] + (len(forged) - 20).to_bytes(2, "big") + forged[4:])
    assert message.get(LIFETIME) is None
    assert message.is_authentic(Integrity(b"k"))


def test_both_integrities_may_protect_one_message():
    first = encode(
        Method.REFRESH, MessageClass.REQUEST, TRANSACTION, [LIFETIME(5)], integrity=Integrity(b"k")
    )
    mark = raw_attribute(MESSAGE_INTEGRITY.type, first[-20:])
    both = encode(
        Method.REFRESH,
        MessageClass.REQUEST,
        TRANSACTION,
        [LIFETIME(5), mark],
        integrity=Integrity(b"k", sha256=True),
        fingerprint=True,
    )
    message = parse(both)
    assert message.is_authentic(Integrity(b"k"))
    assert message.is_authentic(Integrity(b"k", sha256=True))


def test_a_truncated_sha256_integrity_of_16_bytes_is_taken():
    whole = encode(
        Method.BINDING, MessageClass.REQUEST, TRANSACTION, (), integrity=Integrity(b"k", sha256=True)
    )
    assert parse(whole).is_authentic(Integrity(b"k", sha256=True))
    too_short = whole[:2] + (16).to_bytes(2, "big") + whole[4:20] + b"\x00\x1c\x00\x0c" + whole[24:36]
    with pytest.raises(Malformed):
        parse(too_short)


ADDRESSES = st.tuples(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), st.integers(0, 65535))
NUMBERS = {
    attributes.CHANNEL_NUMBER: 16,
    attributes.LIFETIME: 32,
    attributes.REQUESTED_ADDRESS_FAMILY: 8,
    attributes.EVEN_PORT: 8,
    attributes.REQUESTED_TRANSPORT: 8,
    attributes.ADDITIONAL_ADDRESS_FAMILY: 8,
}
ROUND_TRIPS = st.one_of(
    *(st.tuples(st.just(a), st.integers(0, 2**bits - 1)) for a, bits in NUMBERS.items()),
    *(
        st.tuples(st.just(a), ADDRESSES)
        for a in (
            attributes.MAPPED_ADDRESS,
            attributes.XOR_PEER_ADDRESS,
            attributes.XOR_RELAYED_ADDRESS,
            attributes.XOR_MAPPED_ADDRESS,
            attributes.ALTERNATE_SERVER,
        )
    ),
    *(st.tuples(st.just(a), st.text(max_size=40)) for a in (USERNAME, REALM, SOFTWARE)),
    *(st.tuples(st.just(a), st.binary(max_size=200)) for a in (DATA, NONCE, attributes.RESERVATION_TOKEN)),
    st.tuples(st.just(attributes.DONT_FRAGMENT), st.just(True)),
    st.tuples(
        st.just(attributes.ERROR_CODE),
        st.builds(attributes.Error, st.integers(300, 699), st.text(max_size=9)),
    ),
    st.tuples(
        st.just(attributes.ADDRESS_ERROR_CODE),
        st.builds(attributes.AddressError, st.sampled_from((1, 2)), st.integers(300, 699)),
    ),
    st.tuples(st.just(attributes.UNKNOWN_ATTRIBUTES), st.lists(st.integers(0, 65535), max_size=7).map(tuple)),
    *(
        st.tuples(st.just(a), st.lists(st.integers(1, 65535), max_size=4).map(tuple))
        for a in (attributes.PASSWORD_ALGORITHM, attributes.PASSWORD_ALGORITHMS)
    ),
)


@given(
    ROUND_TRIPS,
    st.binary(min_size=12, max_size=12),
    st.integers(0, 0xFFF),
    st.sampled_from(MessageClass),
    st.one_of(st.none(), st.builds(Integrity, st.binary(min_size=1, max_size=32), st.booleans())),
    st.booleans(),
)
def test_what_is_written_is_read_back(pair, transaction_id, method, message_class, integrity, fingerprint):
    attribute, value = pair
    raw = encode(
        method,
        message_class,
        transaction_id,
        [attribute(value)],
        integrity=integrity,
        fingerprint=fingerprint,
    )
    message = parse(raw)
    assert (message.method, message.message_class, message.transaction_id) == (
        method,
        message_class,
        transaction_id,
    )
    assert message.get(attribute) == value
    assert integrity is None or message.is_authentic(integrity)


ATTRIBUTES = [a for a in vars(attributes).values() if isinstance(a, Attribute)]
STUN_LIKE = st.builds(
    lambda kind, values, tail: encode(kind, MessageClass.REQUEST, TRANSACTION, values)[:-1] + tail,
    st.integers(0, 0xFFF),
    st.lists(
        st.builds(raw_attribute, st.sampled_from(ATTRIBUTES).map(lambda a: a.type), st.binary(max_size=40))
    ),
    st.binary(min_size=1, max_size=1),
)


@given(st.one_of(st.binary(max_size=200), STUN_LIKE))
def test_malformed_input_raises_malformed_and_nothing_else(data):
    for read in (parse, parse_channel_data, frame_size):
        try:
            result = read(data)
        except Malformed:
            continue
        if read is not parse:
            continue
        for attribute in ATTRIBUTES:
            try:
                result.all(attribute)
            except Malformed:
                continue


@given(st.integers(0x4000, 0x7FFF), st.binary(max_size=300), st.booleans(), st.binary(max_size=3))
def test_channel_data_is_read_back(number, data, padded, tail):
    raw = encode_channel_data(number, data, padded=padded)
    assert is_channel_data(raw)
    assert parse_channel_data(raw + tail) == (number, data)


@given(st.lists(st.one_of(st.binary(max_size=50), st.none()), min_size=1), st.data())
def test_a_stream_splits_into_the_messages_that_were_written(payloads, draw):
    frames = [
        encode(
            Method.SEND,
            MessageClass.INDICATION,
            TRANSACTION,
            [DATA(b"x" * 5), XOR_PEER_ADDRESS(("1.2.3.4", 5))],
        )
        if payload is None
        else encode_channel_data(0x4001, payload, padded=True)
        for payload in payloads
    ]
    stream, found = b"".join(frames), []
    while stream:
        size = frame_size(stream)
        assert size is not None
        found.append(stream[:size])
        stream = stream[size:]
    assert found == frames


def test_channel_data_that_is_cut_short_is_malformed():
    with pytest.raises(Malformed):
        parse_channel_data(encode_channel_data(0x4000, b"four")[:-1])


def test_a_value_of_the_wrong_length_is_malformed():
    raw = encode(Method.REFRESH, MessageClass.REQUEST, TRANSACTION, [raw_attribute(LIFETIME.type, b"123")])
    with pytest.raises(Malformed):
        parse(raw).get(LIFETIME)


def test_unknown_attributes_that_must_be_understood_are_named_once():
    values = [
        raw_attribute(0x7F01, b""),
        raw_attribute(0x7F01, b""),
        raw_attribute(0x9F01, b""),
        CHANNEL_NUMBER(1),
    ]
    assert parse(encode(Method.REFRESH, MessageClass.REQUEST, TRANSACTION, values)).uncomprehended == (
        0x7F01,
    )
