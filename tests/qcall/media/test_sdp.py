"""What a phone accepts as the other phone's media description."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.errors import PeerFault
from qcall.media import sdp

FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["5A"] * 32)
TRANSPORT = [
    "a=candidate:16893dfb 1 udp 16777215 127.0.0.1 63491 typ relay raddr 0.0.0.0 rport 9",
    "a=end-of-candidates",
    "a=ice-ufrag:lAya",
    "a=ice-pwd:4f0cvKOVgia8Pse2nOlfZ2",
    FINGERPRINT,
    "a=setup:actpass",
]
LINES = [
    "v=0",
    "o=- 4004510866 4004510866 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0 1",
    "a=msid-semantic:WMS *",
    "m=audio 63491 UDP/TLS/RTP/SAVPF 96",
    "c=IN IP4 127.0.0.1",
    "a=sendrecv",
    "a=mid:0",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=rtcp-mux",
    "a=ssrc:1555548408 cname:d17065ee",
    "a=rtpmap:96 opus/48000/2",
    *TRANSPORT,
    "m=application 63491 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 127.0.0.1",
    "a=mid:1",
    "a=sctp-port:5000",
    "a=max-message-size:262144",
    *TRANSPORT,
]
GOOD = "\r\n".join(LINES) + "\r\n"


def with_line(line: str, *, after: str) -> str:
    return GOOD.replace(after + "\r\n", f"{after}\r\n{line}\r\n")


def without(start: str) -> str:
    return "\r\n".join(line for line in LINES if not line.startswith(start)) + "\r\n"


def test_what_this_phone_would_say_is_accepted() -> None:
    sdp.check(GOOD)


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ("", "one audio and one data section"),
        ("m=audio", "not SDP"),
        ("v=0\r\n" * 4_000, "too long"),
        (GOOD.replace("typ relay", "typ host"), "not relayed"),
        (GOOD.replace("typ relay", "typ srflx"), "not relayed"),
        (GOOD.replace("1 udp 16777215", "1 tcp 16777215"), "not relayed"),
        (GOOD.replace("127.0.0.1 63491 typ", "home.example 63491 typ"), "without an address"),
        (GOOD.replace("127.0.0.1 63491 typ", "a1b2.local 63491 typ"), "without an address"),
        (with_line(LINES[13], after="a=sendrecv").replace("opus", "PCMU", 1), "only codec must be Opus"),
        (GOOD.replace("opus/48000/2", "PCMU/8000"), "only codec must be Opus"),
        (with_line("a=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level", after="a=mid:0"), "in clear"),
        (with_line("m=video 9 UDP/TLS/RTP/SAVPF 97", after=LINES[-1]), "one audio and one data section"),
        (GOOD.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "one audio and one data section"),
        (GOOD.replace("BUNDLE 0 1", "BUNDLE 0"), "share one transport"),
        (without("a=group"), "share one transport"),
        (without("a=fingerprint"), "no certificate"),
        (without("a=candidate"), "all of its candidates"),
        (without("a=end-of"), "all of its candidates"),
        (with_line("\r\n".join(TRANSPORT[:1] * 9), after="a=sendrecv"), "all of its candidates"),
        (without("a=ice-pwd"), "full ICE agent"),
        (with_line("a=ice-lite", after="t=0 0"), "full ICE agent"),
    ],
)
def test_what_this_phone_would_not_say_is_refused(description: str, why: str) -> None:
    with pytest.raises(PeerFault, match=why) as caught:
        sdp.check(description)
    assert caught.value.code == "bad-description"


@given(st.data())
def test_no_description_causes_anything_but_a_refusal(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD)))
    cut = data.draw(st.integers(0, 40))
    with contextlib.suppress(PeerFault):
        sdp.check(GOOD[:at] + data.draw(st.text(max_size=20)) + GOOD[at + cut :])


def test_header_extensions_are_taken_out_of_our_own_description() -> None:
    loud = with_line("a=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level", after="a=mid:0")
    assert "extmap" not in sdp.bare(loud)
    sdp.check(sdp.bare(loud))


def test_the_answerer_lets_the_offerer_begin_dtls() -> None:
    assert "a=setup:passive" in sdp.passive(GOOD.replace("actpass", "active"))
