"""Copies and loss reports between RTP and SRTP."""

from __future__ import annotations

import struct

import pylibsrtp
import pytest
from aiortc.rtp import RtcpByePacket, RtcpRrPacket

from qcall.crypto.secret import Secret
from qcall.media.carrier import Carrier, Losses
from qcall.media.protection import Protection
from qcall.media.srtp import SrtpEpochs, SrtpKeyPair

FRAME = 960


def rtp(number: int, *, first: int = 0x80, marker: bool = True) -> bytes:
    header = struct.pack("!BBHII", first, 0x80 * marker | 96, number & 0xFFFF, FRAME * number & 0xFFFFFFFF, 7)
    return header + b"%080d" % number


class Phone:
    """A carrier, and what it has called back with."""

    def __init__(self, send: int, receive: int, *, copies: bool = True) -> None:
        self.copies: list[tuple[int, bytes]] = []
        self.protections: list[Protection] = []
        self.digits: list[str] = []
        self.faults: list[Exception] = []
        keys = SrtpKeyPair(Secret(bytes([send]) * 44), Secret(bytes([receive]) * 44))
        self.carrier = Carrier(
            SrtpEpochs(keys),
            on_copy=lambda timestamp, payload: self.copies.append((timestamp, payload)),
            on_protection=self.protections.append,
            on_digit=self.digits.append,
            on_fault=self.faults.append,
            copies=copies,
        )


def pair() -> tuple[Phone, Phone]:
    return Phone(1, 2), Phone(2, 1)


def send(alice: Phone, bob: Phone, numbers: range, lost: set[int]) -> list[bytes]:
    """What bob gets of these packets; every 25 both sides report."""
    got = []
    for number in numbers:
        protected = alice.carrier.protect(rtp(number))
        if number not in lost:
            got.append(bob.carrier.unprotect(protected))
        if number % 25 == 24:
            report = bob.carrier.protect_rtcp(bytes(RtcpRrPacket(ssrc=9)))
            assert alice.carrier.unprotect_rtcp(report) == bytes(RtcpRrPacket(ssrc=9))
    return got


def test_packets_pass_unchanged_on_a_clean_path() -> None:
    alice, bob = pair()
    assert send(alice, bob, range(300), set()) == [rtp(number) for number in range(300)]
    assert alice.protections == [Protection()]
    assert 0 < len(bob.copies) < 130, "until the path is known to be clean"


def test_losses_are_reported_and_answered_with_copies() -> None:
    alice, bob = pair()
    lost = {number for number in range(1_000) if number % 20 == 7}
    got = send(alice, bob, range(1_000), lost)
    assert got == [rtp(number) for number in range(1_000) if number not in lost], "aiortc sees no copies"
    assert alice.carrier.model.protection == Protection(lag=1)
    assert bob.copies[-1] == (FRAME * 998, rtp(998)[12:])
    assert alice.carrier.model.loss == pytest.approx(0.05, abs=0.01)


def test_copies_count_as_bytes_sent() -> None:
    alice, bob = pair()
    voice = len(rtp(0)[12:])
    send(alice, bob, range(1), set())
    assert alice.carrier.bytes_sent == voice, "there is nothing older yet"
    send(alice, bob, range(1, 2), set())
    assert alice.carrier.bytes_sent == 2 * voice + 5 + voice, "with the headers of RFC 2198"


def test_a_carrier_that_may_not_sends_no_copy() -> None:
    alice, bob = Phone(1, 2, copies=False), Phone(2, 1)
    send(alice, bob, range(1_000), {number for number in range(1_000) if number % 20 == 7})
    assert alice.carrier.copies_sent == bob.carrier.copies_received == 0
    assert alice.protections[-1].expected_loss == pytest.approx(0.05, abs=0.01)


def test_a_copy_survives_the_burst_that_took_its_packet() -> None:
    alice, bob = pair()
    lost = {number for number in range(2_000) if number % 30 in (10, 11, 12)}
    send(alice, bob, range(2_000), lost)
    assert alice.protections[-1] == Protection(lag=3)
    repaired = {timestamp // FRAME for timestamp, _ in bob.copies}
    assert {number for number in lost if number > 1_000} <= repaired


def test_packets_with_copies_are_all_of_one_size() -> None:
    alice, bob = pair()
    send(alice, bob, range(1_000), {number for number in range(1_000) if number % 10 == 7})
    sizes = {len(alice.carrier.protect(rtp(number))) for number in range(1_000, 1_100)}
    assert sizes == {12 + 5 + 80 + 80 + 16}


def test_a_report_at_the_wrap_of_sequence_numbers_is_right() -> None:
    losses = Losses()
    for number in range(65_500, 65_600):
        if number != 65_540:
            losses.add(number & 0xFFFF, 7)
    report = losses.report()
    assert report is not None
    assert (report.source, report.begin) == (7, 65_500)
    assert [65_500 + at for at, received in enumerate(report.received) if not received] == [65_540]
    assert losses.report() is None, "nothing is reported twice"


def test_a_packet_that_is_only_late_is_not_reported_lost() -> None:
    losses = Losses()
    for number in (0, 1, 2, 4, 5):
        losses.add(number, 7)
    first = losses.report()
    losses.add(3, 7)
    for number in range(6, 20):
        losses.add(number, 7)
    second = losses.report()
    assert first is not None
    assert second is not None
    assert all(first.received)
    assert all(second.received)


def test_memory_does_not_grow_when_nothing_is_reported() -> None:
    losses = Losses()
    for number in range(200_000):
        losses.add(number & 0xFFFF, 7)
    assert len(losses._received) < 3_000


def test_nothing_follows_a_bye() -> None:
    alice, bob = pair()
    send(alice, bob, range(20), set())
    bye = bytes(RtcpByePacket(sources=[7]))
    assert alice.carrier.unprotect_rtcp(bob.carrier.protect_rtcp(bye)) == bye
    assert alice.protections == []


def test_digits_are_heard_once_each_even_when_packets_are_lost() -> None:
    alice, bob = pair()
    alice.carrier.digits.press("0*#d7")
    send(alice, bob, range(100), {number for number in range(100) if number % 4 == 0})
    assert bob.digits == ["0", "*", "#", "D", "7"]


def test_a_digit_looks_like_a_copy_on_the_wire() -> None:
    alice, _ = pair()
    with_copy = alice.carrier.protect(rtp(0)), alice.carrier.protect(rtp(1))
    alice.carrier.digits.press("5")
    with_digit = alice.carrier.protect(rtp(2))
    assert len(with_digit) == len(with_copy[1])
    assert with_digit[:2] == with_copy[1][:2]


def test_voice_goes_on_beside_a_digit() -> None:
    alice, bob = pair()
    alice.carrier.digits.press("1")
    assert send(alice, bob, range(20), set()) == [rtp(number) for number in range(20)]


def test_a_broken_redundant_payload_is_refused() -> None:
    alice, bob = pair()
    broken = struct.pack("!BBHII", 0x80, 63, 1, 960, 7) + b"\xe0\x00"
    with pytest.raises(pylibsrtp.Error, match="redundant"):
        bob.carrier.unprotect(alice.carrier._srtp.protect(broken))


def test_a_header_that_is_not_ours_goes_on_as_it_is() -> None:
    alice, bob = pair()
    padded = rtp(1, first=0xA0)[:-1] + b"\x01"
    assert bob.carrier.unprotect(alice.carrier._srtp.protect(padded)) == padded


@pytest.mark.parametrize("gap", [1, 17, 18, 50, 10_000])
def test_after_a_gap_in_the_voice_no_copy_is_sent_that_is_too_old(gap: int) -> None:
    alice, bob = pair()
    send(alice, bob, range(5), set())
    before = alice.carrier.copies_sent
    assert bob.carrier.unprotect(alice.carrier.protect(rtp(4 + gap))) == rtp(4 + gap)
    assert (alice.carrier.copies_sent > before) == (gap <= 17)
    assert not alice.faults


def test_a_digit_that_a_gap_fell_into_is_given_up_and_the_next_is_sent() -> None:
    alice, bob = Phone(1, 2, copies=False), Phone(2, 1)
    alice.carrier.digits.press("58")
    send(alice, bob, range(2), set())
    send(alice, bob, range(50, 70), set())
    assert bob.digits == ["5", "8"]
    assert not alice.faults


def test_a_fault_in_sending_is_told() -> None:
    alice, _ = pair()
    with pytest.raises(IndexError):
        alice.carrier.protect(b"")
    assert [type(fault) for fault in alice.faults] == [IndexError]
