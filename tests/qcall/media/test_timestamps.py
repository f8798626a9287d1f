"""RTP timestamps of what is sent, and what they spare the listener when a microphone stalls."""

from __future__ import annotations

import numpy as np
import pytest

from qcall.media.mouthpiece import Mouthpiece
from qcall.media.opus import Encoder, Samples
from qcall.media.playout import BLOCK, Playout
from tests.qcall.media.test_playout import FRAME, Hum, packet


class Gappy:
    """A source that drops ten blocks before its third read."""

    dropped = 0
    reads = 0

    async def read(self, blocks: int = 1) -> Samples:
        self.reads += 1
        if self.reads == 3:
            self.dropped += 10
        return np.zeros(blocks * BLOCK, np.int16)

    def close(self) -> None:
        pass


async def test_time_goes_on_where_sound_is_missing() -> None:
    mouth = Mouthpiece(Gappy(), Encoder(), pytest.fail)
    mouth.allow()
    packets = [await mouth.recv() for _ in range(4)]
    assert [packet.pts for packet in packets] == [0, FRAME, 2 * FRAME + 10 * BLOCK, 3 * FRAME + 10 * BLOCK]
    assert mouth.samples_dropped == 10 * BLOCK


@pytest.mark.parametrize("stall", [0.3, 0.5, 1.0, 1.5])
def test_a_stall_of_the_far_microphone_leaves_no_delay(stall: float) -> None:
    playout, delays = Playout(Hum()), []
    missed = round(stall / 0.02)
    sent = [number for number in range(1_000) if not 500 <= number < 500 + missed]
    for tick in range(2_000):
        now = tick / 100 + 0.004
        while sent and 0.02 * sent[0] <= now:
            number = sent.pop(0)
            playout.push(number * FRAME, packet(number), 0.02 * number)
        playout.pull(now)
        if now > 10 + stall + 0.1:
            delays.append(playout.delay)
    assert max(delays) < 0.05
