"""What happened in the playout buffer, counted under the names of the W3C's webrtc-stats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """What happened since the start, in samples unless named otherwise."""

    packets_discarded: int = 0
    """Packets that came too late, or that the full buffer could not hold."""
    packets_duplicated: int = 0
    total_samples: int = 0
    concealed: int = 0
    silent_concealed: int = 0
    concealment_events: int = 0
    fec_recovered: int = 0
    """Samples that came out of the redundancy of a following packet."""
    inserted: int = 0
    """Samples put in to make speech longer."""
    removed: int = 0
    """Samples taken out to make speech shorter."""
    stood_still: int = 0
    """Concealed samples that stood in for nothing lost: the delay grew by as much."""
    emitted: int = 0
    delay: float = 0.0
    """Seconds that the emitted samples have spent in the buffer, summed over samples."""
    target: float = 0.0
    """Seconds that the buffer aimed at when they were emitted, summed likewise."""
    relative: float = 0.0
    """Seconds that they were played later than the fastest packet could have been, summed likewise."""
    skipped: int = 0
    """Samples that a jump of the far clock, or a loudspeaker that stood still, left out."""
    undecodable: int = 0
    """Packets that the decoder refused."""
    fec_packets: int = 0
    """Packets that brought an older frame, as a copy or as in-band FEC."""
    fec_used: int = 0
    """Those of them whose older frame was played."""

    def stats(self) -> dict[str, float | int]:
        """Under their names in webrtc-stats; what webrtc-stats has no name for is named like it."""
        return {
            "packetsDiscarded": self.packets_discarded,
            "packetsDuplicated": self.packets_duplicated,
            "totalSamplesReceived": self.total_samples,
            "concealedSamples": self.concealed,
            "silentConcealedSamples": self.silent_concealed,
            "concealmentEvents": self.concealment_events,
            "fecRecoveredSamples": self.fec_recovered,
            "insertedSamplesForDeceleration": self.inserted,
            "removedSamplesForAcceleration": self.removed,
            "standstillSamples": self.stood_still,
            "jitterBufferEmittedCount": self.emitted,
            "jitterBufferDelay": self.delay,
            "jitterBufferTargetDelay": self.target,
            "relativePlayoutDelay": self.relative,
            "skippedSamples": self.skipped,
            "undecodablePackets": self.undecodable,
            "fecPacketsReceived": self.fec_packets,
            "fecPacketsDiscarded": self.fec_packets - self.fec_used,
        }
