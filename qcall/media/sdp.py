"""What two phones say to each other in SDP (RFC 8866, RFC 9429), and what they accept.

One audio section with Opus and one data channel section, bundled on one transport whose only candidates are
relayed ones. Nothing else comes out of here and nothing else comes in: an offer with a host candidate would
give the far user's address away, a clear header extension would tell the wire how loud somebody speaks
(RFC 6464), a third section would open a path that nobody asked for.
"""

from __future__ import annotations

import ipaddress

from aiortc import sdp

from qcall.errors import PeerFault

LONGEST = 16_384
"""Bytes; a description of ours has about 2,000."""
MOST_CANDIDATES = 8
SECTIONS = [("audio", "UDP/TLS/RTP/SAVPF"), ("application", "UDP/DTLS/SCTP")]


def bare(description: str) -> str:
    """Our own ``description`` without RTP header extensions: each of them would travel in clear."""
    parsed = sdp.SessionDescription.parse(description)
    for media in parsed.media:
        media.rtp.headerExtensions = []
    return str(parsed)


def passive(answer: str) -> str:
    """``answer`` with the offerer as DTLS client (RFC 5763, section 5).

    The caller's ICE check is the first to be answered, because the callee's own first check meets a TURN
    server that has no permission for it yet; so the caller can begin DTLS half a round trip earlier.
    """
    return answer.replace("a=setup:active", "a=setup:passive")


def check(description: str) -> None:
    """Raise ``PeerFault`` unless the far phone's ``description`` is one that this phone would make."""
    if len(description) > LONGEST:
        raise refused("it is too long")
    try:
        parsed = sdp.SessionDescription.parse(description)
    except Exception:  # The parser lets whatever a malformed line causes through.
        raise refused("it is not SDP") from None
    if [(media.kind, media.profile) for media in parsed.media] != SECTIONS:
        raise refused("it must have one audio and one data section")
    mids = [media.rtp.muxId for media in parsed.media]
    if not all(mids) or [group.items for group in parsed.group if group.semantic == "BUNDLE"] != [mids]:
        raise refused("its sections must share one transport")
    audio = parsed.media[0]
    if [codec.mimeType.lower() for codec in audio.rtp.codecs] != ["audio/opus"]:
        raise refused("its only codec must be Opus")
    for media in parsed.media:
        check_transport(media)


def check_transport(media: sdp.MediaDescription) -> None:
    """Raise ``PeerFault`` unless ``media`` is reached by relayed candidates only, under DTLS."""
    if media.rtp.headerExtensions:
        raise refused("it asks for header extensions in clear")
    if media.dtls is None or not media.dtls.fingerprints:
        raise refused("it names no certificate")
    ice = media.ice
    if ice is None or ice.iceLite or not ice.usernameFragment or not ice.password:
        raise refused("it is not a full ICE agent")
    if not 1 <= len(media.ice_candidates) <= MOST_CANDIDATES or not media.ice_candidates_complete:
        raise refused("it must list all of its candidates")
    for candidate in media.ice_candidates:
        if candidate.type != "relay" or candidate.protocol.lower() != "udp" or candidate.component != 1:
            raise refused("it has a candidate that is not relayed")
        try:
            ipaddress.ip_address(candidate.ip)
        except ValueError:
            raise refused("it has a candidate without an address") from None


def refused(why: str) -> PeerFault:
    """The error for a description that is not accepted."""
    return PeerFault(f"the other phone's media description is refused: {why}", code="bad-description")
