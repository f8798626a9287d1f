"""What a call looks like from outside: plain data for the screen, for ``--json`` and for the history.

No secrets: key IDs and node names, never key bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qcall.agreement.peer import ContactStatus
from qcall.agreement.security import SecurityInfo
from qcall.media.devices import Sink, Source
from qcall.media.opus import SAMPLE_RATE
from qcall.media.quality import opinion_score, rating, unrepaired

TICK, CROSS = "✓", "✗"
COMPARED = (ContactStatus.VERIFIED, ContactStatus.DOUBTED)


@dataclass
class Timing:
    """Moments of one call, in seconds on the monotonic clock."""

    began_at: float
    ringing_at: float | None = None
    secured_at: float | None = None
    answered_at: float | None = None
    first_audio_at: float | None = None
    qkd_ms: float | None = None
    """Milliseconds that this phone's key node took."""
    source: Source | None = None
    sink: Sink | None = None
    """The devices in use, the newest where they changed: they know when their first sample was captured and
    when it sounded."""

    def as_json(self) -> dict[str, float]:
        """All moments that came, and what lies between them, in milliseconds."""
        found: dict[str, float | None] = {
            "began_at": self.began_at,
            "ringing_at": self.ringing_at,
            "secured_at": self.secured_at,
            "answered_at": self.answered_at,
            "first_audio_at": self.first_audio_at,
            "capture_started_at": getattr(self.source, "started", None),
            "playout_started_at": getattr(self.sink, "started", None),
            "qkd_ms": self.qkd_ms,
        }
        if self.ringing_at is not None:
            found["dial_to_ringing_ms"] = 1000 * (self.ringing_at - self.began_at)
        if self.first_audio_at is not None and self.answered_at is not None:
            found["answered_to_audio_ms"] = 1000 * (self.first_audio_at - self.answered_at)
        return {name: round(value, 6) for name, value in found.items() if value is not None}


def security_line(security: Mapping[str, Any]) -> str:
    """The one line that is always shown: which layers hold, over how many hops, and with whom."""
    qkd = security["qkd"]
    present = qkd["state"] == "present"
    return "  ".join(
        (
            "SECURED",
            f"classical {TICK}",
            f"ML-KEM {TICK}",
            f"QKD {TICK} {qkd['hops']} hops" if present else f"QKD {CROSS} PQC only",
            f"epoch {security['epoch']}",
            str(security["trust"]).replace("-", " ").upper(),
        )
    )


def security(
    info: SecurityInfo, own_kme: str | None, *, outgoing: bool, said: ContactStatus
) -> dict[str, Any]:
    """What protects the call, with where each layer came from; the caller's SAE is the master.

    ``said`` is what the users say of the peer's identity by now.
    """
    known = info.as_json()
    if said in COMPARED:
        known["trust"] = str(said)
    elif known["trust"] in COMPARED:
        known["trust"] = str(ContactStatus.PINNED)
    master, slave = (own_kme, info.peer.kme_id) if outgoing else (info.peer.kme_id, own_kme)
    qkd = {**known["qkd"], "master_kme": master, "slave_kme": slave, "simulated": True}
    known |= {
        "classical": {"algorithm": known["classical"], "source": "fresh in both phones, and in DTLS"},
        "mlkem": {"algorithm": known["mlkem"], "source": "encapsulated by the callee to the caller"},
        "qkd": qkd,
    }
    return {**known, "line": security_line(known)}


SUMS = (
    *("packetsReceived", "packetsLost", "totalSamplesReceived", "concealedSamples", "concealmentEvents"),
    *("jitterBufferEmittedCount", "relativePlayoutDelay"),
)
"""What only ever grows, of that which a verdict is made of."""


def quality(stats: Mapping[str, float], frame_ms: int) -> dict[str, Any]:
    """webrtc-stats of the call, and the E-model's verdict on all of it.

    ``ptime`` is the length of a packet in milliseconds, as in SDP (RFC 8866, section 6.4).
    """
    told = {**stats, "packetsExpected": int(stats["packetsReceived"]) + int(stats["packetsLost"])}
    return {**told, "ptime": frame_ms, **verdict(stats, frame_ms)}


def lately(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, Any]:
    """The verdict on what was heard between two answers of ``quality``; ``before`` may be empty."""
    new = {**now, **{name: now[name] - before.get(name, 0) for name in SUMS}}
    return verdict(new, int(now["ptime"]))


def verdict(stats: Mapping[str, float], frame_ms: int) -> dict[str, Any]:
    """The E-model's verdict on webrtc-stats; empty when nothing was to be heard: there is nothing to judge.

    The delay it judges is what this phone can know: one frame, half the round trip, the playout buffer. The
    loss is what repair has left of it (``unrepairedLoss``, 0 to 1): what came in a copy is heard. Where all
    of the sound had to be made up there is no ``oneWayDelay``.
    """
    if stats["totalSamplesReceived"] <= 0:
        return {}
    emitted = stats["jitterBufferEmittedCount"]
    buffered = stats["relativePlayoutDelay"] / emitted if emitted else 0.0
    one_way = frame_ms / 1000 + stats.get("roundTripTime", 0.0) / 2 + buffered
    loss, bursts = unrepaired(stats, frame_ms * SAMPLE_RATE // 1000)
    r = rating(one_way, loss, bursts)
    found = {"r": round(r, 1), "mos": round(opinion_score(r), 2), "unrepairedLoss": round(loss, 4)}
    return {**found, "oneWayDelay": round(one_way, 4)} if emitted else found
