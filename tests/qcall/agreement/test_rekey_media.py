"""Ten minutes of packets through real SRTP sessions while the keys change under them."""

from __future__ import annotations

import heapq
import itertools
import random
import struct

import pytest
from pylibsrtp import Error

from qcall.agreement import effects as fx
from qcall.media.srtp import SrtpEpochs, SrtpKeyPair

FRAME = 0.02  # seconds of speech in a packet
DELAY, SPREAD = 0.008, 0.06  # seconds: the path, and how far it reorders
LOSS = 0.05
SSRC = {"alice": 1, "bob": 2}


class Media:
    """One phone's packets."""

    def __init__(self, side, sequence: int) -> None:
        self.side = side
        self.srtp = SrtpEpochs(SrtpKeyPair(side.srtp.send, side.srtp.receive))
        self.sequence = sequence
        self.done = len(side.effects)
        self.sent = self.dropped = self.opened = 0

    def run(self) -> list[bytes]:
        """Do what the machine wants of media; what goes on the control channel comes back."""
        new, self.done = self.side.effects[self.done :], len(self.side.effects)
        for effect in new:
            match effect:
                case fx.StageEpoch(keys):
                    self.srtp.stage(SrtpKeyPair(keys.send, keys.receive))
                case fx.SwitchEpoch():
                    self.srtp.switch()
                case fx.RetireEpoch():
                    self.srtp.retire()
        return [effect.data for effect in new if isinstance(effect, fx.SendControl)]

    def packet(self, ssrc: int) -> bytes:
        header = struct.pack(
            "!BBHII", 0x80, 96, self.sequence & 0xFFFF, 960 * self.sequence & 0xFFFFFFFF, ssrc
        )
        self.sequence += 1
        self.sent += 1
        return self.srtp.protect(header + bytes(80))


@pytest.mark.parametrize("start", [2_000, 50_000], ids=["far-from-the-wrap", "over-the-wrap"])
def test_no_packet_is_lost_to_a_rekey(line, start: int) -> None:
    """Every packet that is not delivered is one that the path dropped."""
    call = line(alice={"rekey_interval": 5.0}).dial().connect()
    call.hold = {fx.SendControl, fx.StageEpoch}
    chance, order = random.Random(start), itertools.count()
    media = {name: Media(side, start) for name, side in call.sides.items()}
    flying: list[tuple[float, int, str, bytes, bool]] = []
    for tick in range(int(600 / FRAME)):
        call.now += FRAME
        for name, own in media.items():
            peer = "bob" if name == "alice" else "alice"
            packet = own.packet(SSRC[name])
            if chance.random() < LOSS:
                own.dropped += 1
            else:
                at = call.now + DELAY + chance.random() * SPREAD
                heapq.heappush(flying, (at, next(order), peer, packet, False))
        while flying and flying[0][0] <= call.now:
            _, _, to, data, control = heapq.heappop(flying)
            if control:
                call.run(to, media[to].side.machine.control_received(data, call.now))
                continue
            try:
                media[to].srtp.unprotect(data)
                media[to].opened += 1
            except Error as error:
                pytest.fail(f"{error} at {call.now:.2f} s, epoch {media[to].srtp.receiving}")
        for name, own in media.items():
            machine = own.side.machine
            if tick % 10 == 0:
                call.run(name, machine.epochs_in_use(own.srtp.sending, own.srtp.receiving, call.now))
            if machine.deadline is not None and machine.deadline <= call.now:
                call.run(name, machine.timer(call.now))
            for data in own.run():
                peer = "bob" if name == "alice" else "alice"
                heapq.heappush(flying, (call.now + DELAY, next(order), peer, data, True))
    aloft = {name: sum(1 for each in flying if each[2] == name and not each[4]) for name in media}
    for name, own in media.items():
        peer = media["bob" if name == "alice" else "alice"]
        assert peer.opened + own.dropped + aloft[peer.side.phone.name] == own.sent == 30_000
        assert own.srtp.failures == 0
        assert own.side.machine.security.epoch > (90 if start == 2_000 else 60)
