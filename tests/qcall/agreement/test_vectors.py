"""Known answers: every label, and a whole handshake that must come out byte for byte as it was recorded."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from qcall.agreement import effects as fx
from qcall.agreement import rekey_caller, schedule
from qcall.agreement.machine import Phone
from qcall.agreement.suites import Q5, Suite
from qcall.crypto.identity import Identity, Signature
from qcall.crypto.kdf import Label, digest, exp
from qcall.crypto.kem import CRYPTOGRAPHY
from qcall.crypto.secret import Secret
from qcall.records.store import Records

from . import reference
from .conftest import TWO_KEMS, KeyNodes, Line

LABELS = json.loads((reference.DATA / "labels.json").read_text())
HANDSHAKE = json.loads((reference.DATA / "handshake.json").read_text())


def test_the_file_has_every_label_and_no_other() -> None:
    assert set(LABELS) == {label.value for label in Label}


@pytest.mark.parametrize("label", Label, ids=str)
def test_a_label_gives_its_known_answers(label: Label) -> None:
    context = reference.CONTEXT
    assert {
        "hash": digest(label, context).hex(),
        "exp44": exp(Secret(context), label, context, 44).reveal().hex(),
        "exp48": exp(Secret(context), label, context, 48).reveal().hex(),
    } == LABELS[label.value]


def test_the_second_writing_of_the_protocol_agrees_with_the_recording() -> None:
    assert reference.derive(HANDSHAKE) == HANDSHAKE["derived"]


class RecordedKem:
    """Encapsulates as recorded; everything else is the real thing."""

    parameters = CRYPTOGRAPHY["ML-KEM-1024"].parameters

    def private(self, seed: Secret) -> Any:
        return CRYPTOGRAPHY["ML-KEM-1024"].private(seed)

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        ciphertext, shared = (bytes.fromhex(part) for part in HANDSHAKE["encapsulation"])
        return ciphertext, Secret(shared)


class RecordedIdentity(Identity):
    """Signs as recorded, because ML-DSA's own signatures differ from call to call."""

    signature: Signature

    def sign(self, *arguments: Any) -> Signature:
        return self.signature


@pytest.fixture
def replayed(tmp_path) -> Any:
    def phone(name: str, signature: list[str]) -> Phone:
        entropy = random.Random(name).randbytes
        identity = RecordedIdentity.create(entropy)
        identity.signature = Signature(*(bytes.fromhex(half) for half in signature))
        kems = {**CRYPTOGRAPHY, "ML-KEM-1024": RecordedKem()}
        memory = Records(tmp_path / f"{name}.db")
        return Phone(name, identity, memory, entropy, sae_id=f"sae-{name}", kems=kems)

    callee, caller = HANDSHAKE["signatures"]
    line = Line(phone("alice", caller), phone("bob", callee), nodes=KeyNodes(1))
    yield line.dial().connect()
    for side in line.sides.values():
        side.phone.memory.close()


def test_a_handshake_comes_out_as_recorded(replayed: Line) -> None:
    alice, bob = replayed.alice, replayed.bob
    frames = [alice.frames[0], bob.frames[0], alice.frames[1], bob.frames[1]]
    assert [frame.hex() for frame in frames] == HANDSHAKE["frames"]
    assert [alice.control[0].hex(), bob.control[0].hex()] == HANDSHAKE["control"]
    assert list(alice.machine.security.words) == HANDSHAKE["words"]
    assert alice.had(fx.Confirmed)


def test_its_srtp_keys_and_transcript_are_those_of_the_second_writing(replayed: Line) -> None:
    derived = HANDSHAKE["derived"]
    assert replayed.alice.srtp.send.reveal().hex() == derived["srtp_i"]
    assert replayed.bob.srtp.send.reveal().hex() == derived["srtp_r"]
    assert replayed.bob.machine.security.transcript.hex() == derived["th4"]
    assert replayed.bob.machine.security.peer.fingerprint.hex() == derived["idfp_i"]


@pytest.mark.parametrize("suite", [Q5, TWO_KEMS], ids=lambda suite: suite.name)
def test_rekeys_are_those_of_the_second_writing(line, monkeypatch, suite: Suite) -> None:
    """Three in a row: every root of the one before it, and of all three layers afresh."""
    seen: list[dict[str, Any]] = []
    messages: list[tuple[bytes, bytes]] = []
    rekey, on_rk2 = schedule.Root.rekey, rekey_caller.CallerRekey._on_rk2

    def watched(root: Any, dh: Secret, shared: list[Secret], state: str, keys: Any, th: bytes) -> Any:
        given = {"root": root._secret.reveal(), "dh": dh.reveal(), "ss": [each.reveal() for each in shared]}
        seen.append({**given, "state": state, "keys": [(key.key_id, key.key.reveal()) for key in keys]})
        seen[-1]["next"] = (after := rekey(root, dh, shared, state, keys, th))._secret.reveal()
        return after

    def heard(machine: Any, rk2: Any, now: float) -> Any:
        messages.append((machine._rk1, rk2.body))
        return on_rk2(machine, rk2, now)

    monkeypatch.setattr(schedule.Root, "rekey", watched)
    monkeypatch.setattr(rekey_caller.CallerRekey, "_on_rk2", heard)
    call = line(alice={"rekey_interval": 10.0, "suites": (suite,)}, bob={"suites": (suite,)}).dial().connect()
    call.media()
    th4, call_id = call.alice.machine.security.transcript, call.alice.machine.call_id
    root, transcript = call.alice.machine._root._secret.reveal(), th4
    call.pass_time(35)
    assert len(messages) >= 3
    assert len(seen) == 2 * len(messages)
    for epoch, (rk1, rk2) in enumerate(messages, 1):
        callee, caller = seen[2 * epoch - 2 : 2 * epoch]
        assert callee == caller
        assert caller["root"] == root
        assert len(caller["ss"]) == len(suite.kems)
        after = reference.rekeyed(root, transcript, rk1, rk2, caller)
        root, transcript = after["root"], after["th"]
        assert caller["next"] == root
    context = reference.lp(th4, call_id, epoch.to_bytes(4, "big"))
    assert call.alice.epochs[epoch].send.reveal() == reference.exp(root, "srtp i", context, 44)
    assert call.bob.epochs[epoch].send.reveal() == reference.exp(root, "srtp r", context, 44)
