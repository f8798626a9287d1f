"""Handshakes between two real DTLS ends, over a path that loses what the test says, in virtual time."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import pytest
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_256_GCM
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from qcall.media.flights import GAPS, Flights

CERTIFICATES = [RTCCertificate.generateCertificate() for _ in range(2)]
ONE_WAY = 0.006
"""Seconds; OpenSSL's own timer of a second never runs out, for hardly any real time passes."""


class End:
    """One phone: OpenSSL and its flights."""

    def __init__(self, number: int) -> None:
        context = CERTIFICATES[number]._create_ssl_context(srtp_profiles=[SRTP_AEAD_AES_256_GCM])
        self.ssl = SSL.Connection(context)
        self.ssl.set_ciphertext_mtu(1200)
        if number == 0:
            self.ssl.set_connect_state()
        else:
            self.ssl.set_accept_state()
        self.done = False
        self.heard = False
        self.flights = Flights()

    def advance(self, datagram: bytes, now: float) -> Iterator[bytes]:
        """What it sends, once ``datagram`` has come (empty: none has)."""
        if datagram:
            self.flights.received(datagram)
            self.ssl.bio_write(datagram)
        if self.done:
            with contextlib.suppress(SSL.WantReadError):
                self.heard = self.heard or bool(self.ssl.recv(1500))
        else:
            try:
                self.ssl.do_handshake()
            except SSL.WantReadError:
                pass
            else:
                self.done = True
        if self.done and not self.heard:
            self.ssl.send(b"hello")  # as the control channel does, again and again
        while True:
            try:
                said = self.ssl.bio_read(1500)
            except SSL.WantReadError:
                return
            self.flights.sent(said, now)
            yield said


def shake_hands(fates: Sequence[bool], *, repeating: bool = True) -> float | None:
    """Seconds until both are done; the first datagrams get through as ``fates`` say, later ones all do."""
    ends, clock, luck = [End(0), End(1)], 0.0, chain(fates, repeat(True))
    under_way: list[tuple[float, int, int, bytes]] = []
    count = 0

    def send(number: int, datagrams: Iterator[bytes] | list[bytes]) -> None:
        nonlocal count
        for each in datagrams:
            count += 1
            if next(luck):
                heapq.heappush(under_way, (clock + ONE_WAY, count, 1 - number, each))

    send(0, ends[0].advance(b"", clock))
    while not all(end.done for end in ends):
        due = [end.flights.deadline for end in ends if repeating and end.flights.deadline is not None]
        moments = [*due, *(under_way[0][:1] if under_way else ())]
        if not moments or clock > 60:
            return None
        clock = max(clock, min(moments))
        while under_way and under_way[0][0] <= clock:
            _, _, number, datagram = heapq.heappop(under_way)
            send(number, ends[number].advance(datagram, clock))
        for number, end in enumerate(ends):
            if repeating:
                send(number, end.flights.again(clock))
    return clock


def test_nothing_is_repeated_where_nothing_is_lost() -> None:
    took = shake_hands([])
    assert took is not None
    assert took < GAPS[0]


@pytest.mark.parametrize("lost", range(7))
def test_one_lost_datagram_costs_a_fifth_of_a_second(lost: int) -> None:
    fates = [number != lost for number in range(12)]
    took = shake_hands(fates)
    assert took is not None
    assert took < 2 * GAPS[0] + 0.1
    stuck = shake_hands(fates, repeating=False)
    assert stuck is None or stuck < 0.1, "without repetitions a handshake waits for DTLS, or lost too little"


@settings(max_examples=60)
@given(st.lists(st.booleans(), max_size=len(GAPS)))
def test_whatever_is_lost_at_first_both_ends_get_there(fates: list[bool]) -> None:
    assert shake_hands(fates) is not None


def test_a_flight_that_dtls_sends_anew_takes_the_place_of_the_old_one() -> None:
    flights = Flights()
    flights.sent(b"\x16one", 0.0)
    flights.sent(b"\x16two", 0.01)
    assert flights.again(0.22) == [b"\x16one", b"\x16two"]
    flights.sent(b"\x16one again", 1.0)
    assert flights.again(1.1) == []
    assert flights.again(1.2) == [b"\x16one again"]


@pytest.mark.parametrize("end", [b"\x15 alert", b"\x17 application data"])
def test_the_end_of_the_handshake_ends_the_repetitions(end: bytes) -> None:
    flights = Flights()
    flights.sent(b"\x16finished", 0.0)
    flights.received(b"\x16finished")
    assert flights.deadline is not None
    flights.received(end)
    assert flights.deadline is None
    flights.sent(b"\x16new session ticket", 0.1)
    assert flights.again(9.0) == []


def test_media_and_checks_on_the_same_path_are_no_flight() -> None:
    flights = Flights()
    for other in (b"\x80 RTP", b"\x00 STUN", b"\x17 application data", b""):
        flights.sent(other, 0.0)
    assert flights.deadline is None


def test_repetitions_come_to_an_end() -> None:
    flights, times = Flights(), 0
    flights.sent(b"\x16hello", 0.0)
    while flights.deadline is not None:
        assert flights.again(flights.deadline) == [b"\x16hello"]
        times += 1
    assert times == len(GAPS)
