"""Reads what ``relay serve --record`` wrote: the view of whoever owns the relay and all trusted nodes."""

from __future__ import annotations

import base64
import json
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

CHANNEL_DATA = range(0x4000, 0x5000)
"""First 16 bits of a ChannelData message (RFC 8656 §12)."""
RTP_FIRST_BYTE = range(128, 192)
"""RFC 7983: how SRTP is told from DTLS and STUN on one port."""
RTCP_TYPES = range(192, 224)
"""RFC 5761 §4: the second byte of RTCP multiplexed with RTP."""


@dataclass
class Recording:
    """Everything that crossed the relay and its trusted nodes."""

    srtp: list[bytes] = field(default_factory=list)
    """SRTP packets as the senders sent them, in order, without their TURN framing."""
    signalling: list[bytes] = field(default_factory=list)
    """Every signalling message as it crossed the WebSocket."""
    end_keys: dict[str, bytes] = field(default_factory=dict)
    """QKD end keys by key ID, as each trusted node on the way saw them."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How many lines of each kind were recorded."""

    @classmethod
    def load(cls, path: Path, node: str = "") -> Recording:
        """Read the file at ``path``; a last line cut short by a kill is passed over.

        With ``node``, of the end keys only those that this node saw.
        """
        recording = cls()
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if node and entry.get("node", node) != node:
                continue
            recording._take(entry, base64.b64decode(entry["data"]))
        return recording

    def _take(self, entry: dict[str, str], data: bytes) -> None:
        self.kinds[entry["kind"]] += 1
        match entry["kind"]:
            case "turn" if entry["direction"] == "in":
                payload = channel_payload(data)
                if payload is not None and is_srtp(payload):
                    self.srtp.append(payload)
            case "signalling":
                self.signalling.append(data)
            case "end-key":
                self.end_keys[entry["key_id"]] = data


def channel_payload(datagram: bytes) -> bytes | None:
    """What a ChannelData message carries; ``None`` for anything else."""
    if len(datagram) < 4:
        return None
    channel, length = struct.unpack_from("!HH", datagram)
    if channel not in CHANNEL_DATA or len(datagram) < 4 + length:
        return None
    return datagram[4 : 4 + length]


def is_srtp(payload: bytes) -> bool:
    """Whether a payload of the media path is a protected RTP packet (not RTCP, DTLS or STUN)."""
    return len(payload) >= 12 and payload[0] in RTP_FIRST_BYTE and payload[1] not in RTCP_TYPES
