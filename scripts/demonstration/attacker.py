"""An attacker who owns the relay and every trusted node, and tries to open a recorded call.

Given are the whole recording (``recording.py``), with every QKD end key that the trusted nodes saw, and any
of the call's layer secrets. What is not given is guessed: a secret that was never known is, to the attacker,
as good as all zeros. The derivation is the phone's own (``qcall/agreement/schedule.py``), so with the
classical and the ML-KEM secrets given, and the stolen QKD keys, the same program must open every packet; that
is the control which shows that it can. ``--honest-nodes`` takes the stolen keys away.

    python -m scripts.demonstration.attacker RECORDING [SECRETS.json] [--give LAYER,…] [--honest-nodes]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pylibsrtp import Error, Policy, Session

from qcall.agreement.policy import QkdState
from qcall.agreement.schedule import EXPORTER_LENGTH, Direction, Early
from qcall.crypto.secret import Secret

from .recording import Recording

LAYERS = ("classical", "mlkem", "qkd")
KEY_LENGTH = 44


@dataclass(frozen=True)
class QuantumKey:
    """A quantum key as the schedule takes it."""

    key_id: str
    key: Secret
    path: tuple[str, ...] = ()


@dataclass
class Transcripts:
    """What the phones hashed. Most of it crossed the relay sealed; the attacker gets it for nothing."""

    suite: str = "Q5"
    tc2: bytes = bytes(48)
    th3: bytes = bytes(48)
    th4: bytes = bytes(48)
    call_id: bytes = bytes(16)


@dataclass
class Secrets:
    """The layer secrets of one call, as far as they are known; all zeros where they are not."""

    dh: bytes = bytes(32)
    exporter: bytes = bytes(EXPORTER_LENGTH)
    """Both are the classical layer: X25519 in the agreement and in DTLS."""
    kem: Sequence[bytes] = (bytes(32),)
    qkd: dict[str, bytes] = field(default_factory=dict)

    def only(self, layers: Iterable[str]) -> Secrets:
        """What is left when nothing but ``layers`` is known; key IDs are not secret."""
        known = set(layers)
        classical = (self.dh, self.exporter) if "classical" in known else (bytes(32), bytes(EXPORTER_LENGTH))
        kem = self.kem if "mlkem" in known else [bytes(len(each)) for each in self.kem]
        qkd = self.qkd if "qkd" in known else {key_id: bytes(32) for key_id in self.qkd}
        return Secrets(*classical, kem, qkd)


def load_secrets(path: Path) -> tuple[Transcripts, Secrets]:
    """What ``glass_phone.py`` wrote."""
    raw = json.loads(path.read_text())
    names = ("tc2", "th3", "th4", "call_id")
    transcripts = Transcripts(raw["suite"], *(bytes.fromhex(raw[name]) for name in names))
    qkd = {key_id: bytes.fromhex(key) for key_id, key in raw["qkd"].items()}
    kem = [bytes.fromhex(each) for each in raw["kem"]]
    return transcripts, Secrets(bytes.fromhex(raw["dh"]), bytes.fromhex(raw["exporter"]), kem, qkd)


def derive(transcripts: Transcripts, secrets: Secrets) -> list[bytes]:
    """The SRTP keys of both directions that follow from ``secrets``."""
    handshake = Early(transcripts.suite, Secret(secrets.dh)).mix_kem(
        [Secret(each) for each in secrets.kem], transcripts.tc2
    )
    keys = [QuantumKey(key_id, Secret(key)) for key_id, key in secrets.qkd.items()]
    state = QkdState.PRESENT if keys else QkdState.ABSENT
    mixed = handshake.mix_qkd(state, keys, transcripts.th3)
    root = mixed.mix_dtls(Secret(secrets.exporter), transcripts.th4, transcripts.call_id)
    srtp = root.srtp(Direction.I)
    return [srtp.send.reveal(), srtp.receive.reveal()]


def attempts(recording: Recording, transcripts: Transcripts, known: Secrets, honest: bool) -> Iterator[bytes]:
    """Every SRTP key that follows from ``known``, alone and, unless ``honest``, with stolen keys."""
    yield from derive(transcripts, known)
    if honest:
        return
    for key_id, key in recording.end_keys.items():
        yield from derive(transcripts, replace(known, qkd={key_id: key}))
        yield from (key + bytes(KEY_LENGTH - len(key)), (key * 2)[:KEY_LENGTH])


def opened(packets: Sequence[bytes], keys: Iterable[bytes]) -> int:
    """How many of ``packets`` at least one of ``keys`` opens."""
    done: set[int] = set()
    for key in keys:
        session = Session(
            Policy(
                key=key,
                ssrc_type=Policy.SSRC_ANY_INBOUND,
                srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
            )
        )
        for index, packet in enumerate(packets):
            try:
                session.unprotect(packet)
            except Error:
                continue
            done.add(index)
    return len(done)


def main(arguments: Sequence[str]) -> int:
    """Attack a recording from the command line; prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("secrets", type=Path, nargs="?")
    parser.add_argument("--give", default="", help="layers whose secrets the attacker is given")
    parser.add_argument("--honest-nodes", action="store_true", help="the QKD end keys were not stolen")
    parser.add_argument("--node", default="", help="the only trusted node that was compromised")
    options = parser.parse_args(arguments)
    recording = Recording.load(options.recording, options.node)
    given = [layer for layer in options.give.split(",") if layer]
    if unknown := set(given) - set(LAYERS):
        parser.error(f"--give {', '.join(sorted(unknown))}: the layers are {', '.join(LAYERS)}")
    if given and options.secrets is None:
        parser.error("--give needs the file with the secrets")
    transcripts, secrets = load_secrets(options.secrets) if options.secrets else (Transcripts(), Secrets())
    keys = list(attempts(recording, transcripts, secrets.only(given), options.honest_nodes))
    result = {
        "packets": len(recording.srtp),
        "end_keys": len(recording.end_keys),
        "key_ids": list(recording.end_keys),
        "keys_tried": len(keys),
        "given": given,
        "honest_nodes": options.honest_nodes,
        "opened": opened(recording.srtp, keys),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
