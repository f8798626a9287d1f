"""A phone with glass walls: ``qcall``, with its key schedule watched from outside.

The product has no way to write down its secrets. The demonstration needs them once, to show that the attacker
program can succeed when it is given everything; so it runs one of its phones through this file, which
wraps the key schedule's steps, notes what goes in, and otherwise is the command line as it is.

    QCALL_GLASS=FILE python -m scripts.demonstration.glass_phone ARGUMENTS OF QCALL
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qcall.agreement import schedule
from qcall.crypto.secret import Secret


def watch(note: Callable[[dict[str, Any]], None]) -> None:
    """Call ``note`` with every input of the key schedule, as hexadecimal."""
    early, mix_kem = schedule.Early.__init__, schedule.Early.mix_kem
    mix_qkd, mix_dtls = schedule.Handshake.mix_qkd, schedule.Mixed.mix_dtls

    def watched_early(self: schedule.Early, suite: str, dh: Secret) -> None:
        note({"suite": str(suite), "dh": dh.reveal().hex()})
        early(self, suite, dh)

    def watched_kem(self: schedule.Early, shared: Sequence[Secret], tc2: bytes) -> schedule.Handshake:
        note({"kem": [each.reveal().hex() for each in shared], "tc2": tc2.hex()})
        return mix_kem(self, shared, tc2)

    def watched_qkd(
        self: schedule.Handshake, state: str, keys: Sequence[schedule.QuantumKey], th3: bytes
    ) -> schedule.Mixed:
        note({"qkd": {each.key_id: each.key.reveal().hex() for each in keys}, "th3": th3.hex()})
        return mix_qkd(self, state, keys, th3)

    def watched_dtls(self: schedule.Mixed, exporter: Secret, th4: bytes, call_id: bytes) -> schedule.Root:
        note({"exporter": exporter.reveal().hex(), "th4": th4.hex(), "call_id": call_id.hex()})
        return mix_dtls(self, exporter, th4, call_id)

    schedule.Early.__init__ = watched_early  # type: ignore[method-assign]
    schedule.Early.mix_kem = watched_kem  # type: ignore[method-assign]
    schedule.Handshake.mix_qkd = watched_qkd  # type: ignore[method-assign]
    schedule.Mixed.mix_dtls = watched_dtls  # type: ignore[method-assign]


def main() -> None:
    """Run ``qcall`` watched; the notes are in the file that ``QCALL_GLASS`` names."""
    path = Path(os.environ["QCALL_GLASS"])
    notes: dict[str, Any] = {}

    def note(more: dict[str, Any]) -> None:
        notes.update(more)
        path.touch(mode=0o600)
        path.write_text(json.dumps(notes))

    watch(note)
    from qcall.cli import main as qcall

    sys.argv[0] = "qcall"
    qcall()


if __name__ == "__main__":
    main()
