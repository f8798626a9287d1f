"""``qcall`` with one thing wrong, run as a program of its own: a layer's secret, or the version it speaks.

QCALL_WRONG=dh|kem|qkd|exporter|media|version python tests/e2e/faulty_phone.py ARGUMENTS OF QCALL
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
from collections.abc import Sequence

from qcall.agreement import machine, messages, schedule
from qcall.cli import main
from qcall.crypto.secret import Secret
from qcall.media.srtp import SrtpEpochs

WRONG = os.environ["QCALL_WRONG"]
GOOD_PACKETS = 100
"""Packets of a call before its media turns wrong."""
protect, packets = SrtpEpochs.protect, itertools.count()
early, mix_kem = schedule.Early.__init__, schedule.Early.mix_kem
mix_qkd, mix_dtls = schedule.Handshake.mix_qkd, schedule.Mixed.mix_dtls


def spoilt(layer: str, secret: Secret) -> Secret:
    """``secret``, with one bit flipped if ``layer`` is the wrong one."""
    value = bytearray(secret.reveal())
    value[0] ^= layer == WRONG
    return Secret(value)


def wrong_early(self: schedule.Early, suite: str, dh: Secret) -> None:
    early(self, suite, spoilt("dh", dh))


def wrong_kem(self: schedule.Early, shared: Sequence[Secret], tc2: bytes) -> schedule.Handshake:
    return mix_kem(self, [spoilt("kem", each) for each in shared], tc2)


def wrong_qkd(self: schedule.Handshake, state: str, keys: Sequence, th3: bytes) -> schedule.Mixed:
    return mix_qkd(
        self, state, [dataclasses.replace(each, key=spoilt("qkd", each.key)) for each in keys], th3
    )


def wrong_dtls(self: schedule.Mixed, exporter: Secret, th4: bytes, call_id: bytes) -> schedule.Root:
    return mix_dtls(self, spoilt("exporter", exporter), th4, call_id)


def wrong_media(self: SrtpEpochs, packet: bytes) -> bytes:
    """The packet as it should be; once media turns wrong, with one bit of its tag flipped."""
    protected = protect(self, packet)
    return protected[:-1] + bytes([protected[-1] ^ (WRONG == "media" and next(packets) > GOOD_PACKETS)])


SrtpEpochs.protect = wrong_media
schedule.Early.__init__, schedule.Early.mix_kem = wrong_early, wrong_kem
schedule.Handshake.mix_qkd, schedule.Mixed.mix_dtls = wrong_qkd, wrong_dtls
if WRONG == "version":
    messages.VERSION = machine.VERSION = messages.VERSION + 1
sys.argv[0] = "qcall"
main()
