"""Loss reports on the wire (RFC 3611)."""

from __future__ import annotations

import struct

from aiortc.rtp import RtcpPacket, RtcpRrPacket
from hypothesis import given
from hypothesis import strategies as st

from qcall.media import xr
from qcall.media.xr import LossReport

reports = st.builds(
    LossReport,
    source=st.integers(0, 2**32 - 1),
    begin=st.integers(0, 65_535),
    received=st.lists(st.booleans(), min_size=1, max_size=400).map(tuple),
)


@given(reports, st.integers(0, 2**32 - 1))
def test_a_report_comes_back_as_it_was(report: LossReport, reporter: int) -> None:
    assert xr.split(xr.pack(reporter, report)) == (b"", [report])


def test_the_layout_is_that_of_rfc_3611() -> None:
    report = LossReport(source=0x01020304, begin=0x0A0B, received=(True, False, True))
    assert xr.pack(0x11121314, report) == bytes.fromhex(
        "80cf0005 11121314"  # version 2, XR, 5 more words; the reporter
        "01000003 01020304 0a0b0a0e"  # Loss RLE, 3 more words; the source; begin and end
        "d000 0000"  # bit vector 101…, and a null chunk to fill up
    )


@given(reports)
def test_other_packets_stay_as_they_are_and_aiortc_reads_them(report: LossReport) -> None:
    receiver_report = bytes(RtcpRrPacket(ssrc=7))
    rest, found = xr.split(receiver_report + xr.pack(7, report))
    assert rest == receiver_report
    assert found == [report]
    assert [type(packet) for packet in RtcpPacket.parse(rest)] == [RtcpRrPacket]


def test_run_length_chunks_are_read() -> None:
    chunks = struct.pack("!4H", 0x4000 | 20, 0x0003, 0x4000 | 7, 0)
    block = struct.pack("!BBHIHH", 1, 0, 4, 9, 100, 130) + chunks
    packet = struct.pack("!BBHI", 0x80, 207, 6, 7) + block
    (report,) = xr.split(packet)[1]
    assert report.received == (True,) * 20 + (False,) * 3 + (True,) * 7


@given(st.binary(max_size=200))
def test_nothing_from_the_network_is_an_error(data: bytes) -> None:
    xr.split(data)
    xr.split(struct.pack("!BBHI", 0x80, 207, max(0, len(data) // 4), 7) + data)


def test_a_report_that_claims_too_much_is_passed_over() -> None:
    block = struct.pack("!BBHIHHHH", 1, 0, 3, 9, 0, 60_000, 0x7FFF, 0x7FFF)
    assert xr.split(struct.pack("!BBHI", 0x80, 207, 5, 7) + block) == (b"", [])
