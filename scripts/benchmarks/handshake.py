"""What M1 to M4 and key confirmation cost, both phones together.

CPU: whole handshakes of the real machines, records on disk included, in turn with the bare primitives: every
call of a cryptographic library that one handshake was seen to make (signatures, exchanges, hashes, KDF, MACs,
ciphers), made again in the same order and nothing else. ML-DSA signs by rejection, so single runs differ by
milliseconds: the promise is about the sums over all rounds.

Wire: the signalling frames of one real call between two programs, as the relay recorded them.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import importlib.metadata
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from qcall.agreement import effects as fx
from qcall.agreement.callee import Callee
from qcall.agreement.caller import Caller
from qcall.agreement.machine import Agreement, Phone
from qcall.agreement.messages import Kind
from qcall.agreement.states import State
from qcall.agreement.suites import Q3, Q5, Suite
from qcall.crypto import aead, kdf
from qcall.crypto.identity import ML_DSA_65, ML_DSA_87, Identity, PublicIdentity, Role, Signature
from qcall.crypto.kem import ML_KEM_768, ML_KEM_1024, MlKem, MlKemPrivateKey, Parameters
from qcall.crypto.secret import Secret
from qcall.crypto.x25519 import KeyPair
from qcall.records.store import Records
from qcall.wire import signalling
from scripts.demonstration.stage import stage

from .findings import Findings, Promise

HELP = "CPU of a handshake against its bare primitives, and its bytes on the wire"
CPU_LIMIT = 1.3
WIRE_LIMIT = 25_000
SDP = "v=0\r\n" + "a=candidate:1 1 udp 16777215 127.0.0.1 49152 typ relay raddr 0.0.0.0 rport 0\r\n" * 10
"""As long as a real description; the machines carry it and do not read it."""
SYMMETRIC = "SHA-384, HKDF, HMAC, AES-GCM"
MLDSA = {ML_DSA_87: mldsa.MLDSA87PublicKey, ML_DSA_65: mldsa.MLDSA65PublicKey}
ML_KEM = {ML_KEM_1024.name: mlkem.MLKEM1024PrivateKey, ML_KEM_768.name: mlkem.MLKEM768PrivateKey}
ML_KEM_PUBLIC = {ML_KEM_1024.name: mlkem.MLKEM1024PublicKey, ML_KEM_768.name: mlkem.MLKEM768PublicKey}
MESSAGES = {Kind.M1: "M1", Kind.M2: "M2", Kind.M3: "M3", Kind.M4: "M4"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=500, help="handshakes of each suite (default 500)")


def run(options: argparse.Namespace) -> Findings:
    """Measure; about half a minute."""
    rows: list[dict[str, Any]] = []
    promises: list[Promise] = []
    for suite in (Q5, Q3):
        whole, bare, parts = cpu(suite, options.rounds)
        rows.append(row(suite.name, "handshake, both phones", f"{whole:.0f} µs CPU"))
        rows.append(row(suite.name, "bare primitives", f"{bare:.0f} µs CPU"))
        rows += [row(suite.name, f"  {what}", f"{each:.0f} µs CPU") for what, each in parts.items()]
        rows.append(row(suite.name, "handshake / bare primitives", f"{whole / bare:.2f}"))
        if suite is Q5:
            promises.append(Promise("Q5: handshake / bare primitives", whole / bare, CPU_LIMIT))
    for name in ("Q5", "Q3"):
        sizes = asyncio.run(wire(name))
        rows += [row(name, what, f"{length} bytes on the wire") for what, length in sizes.items()]
        rows.append(row(name, "M1 to M4", f"{sum(sizes.values())} bytes on the wire"))
        if name == "Q5":
            promises.append(Promise("Q5: bytes on the wire, M1 to M4", sum(sizes.values()), WIRE_LIMIT))
    versions = {name: importlib.metadata.version(name) for name in ("cryptography", "msgspec")}
    return Findings("Key agreement of one call", rows, promises, versions)


def row(suite: str, what: str, found: str) -> dict[str, Any]:
    """One line of the table."""
    return {"suite": suite, "what": what, "found": found}


# CPU


def cpu(suite: Suite, rounds: int) -> tuple[float, float, dict[str, float]]:
    """Microseconds of CPU, both phones: of a handshake, of its bare primitives, and of each of them."""
    whole, bare, primitives = 0.0, 0.0, Primitives()
    with tempfile.TemporaryDirectory() as directory:
        identities = [Identity.create(os.urandom) for _ in range(2)]
        with closing(Records(Path(directory, "a"))) as one, closing(Records(Path(directory, "b"))) as two:
            pair = [
                Phone(name, identity, memory, os.urandom, sae_id=f"sae-{name}", suites=(suite,))
                for name, identity, memory in zip(("alice", "bob"), identities, (one, two), strict=True)
            ]
            shake_hands(*pair, quantum_key()).close()
            with primitives.watching():
                shake_hands(*pair, quantum_key()).close()
            for _ in range(rounds):
                key = quantum_key()
                began = time.process_time()
                line = shake_hands(*pair, key)
                whole += time.process_time() - began
                line.close()
                began = time.process_time()
                primitives.again()
                bare += time.process_time() - began
    parts = primitives.by_name(rounds)
    return 1e6 * whole / rounds, 1e6 * bare / rounds, {name: 1e6 * took for name, took in parts.items()}


class Primitives:
    """Every call of a cryptographic library that one handshake makes, to be made again in the same order."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, Callable[[], Any]]] = []

    def again(self) -> None:
        """Make them all, and nothing else."""
        for _, call in self._calls:
            call()

    def by_name(self, rounds: int) -> dict[str, float]:
        """Seconds of CPU a handshake, of each kind; clocking every call costs a little, too."""
        took: dict[str, float] = {}
        for _ in range(rounds):
            for name, call in self._calls:
                began = time.process_time()
                call()
                took[name] = took.get(name, 0.0) + time.process_time() - began
        return {name: each / rounds for name, each in took.items()}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the calls that are made meanwhile."""
        with ExitStack() as stack:
            for owner, name, stand_in in (
                (kdf, "hashlib", SimpleNamespace(sha384=self._noting(SYMMETRIC, hashlib.sha384))),
                (kdf, "hmac", self._macs()),
                (kdf, "HKDF", SimpleNamespace(extract=self._noting(SYMMETRIC, HKDF.extract))),
                (kdf, "HKDFExpand", self._expand),
                (aead, "AESGCM", self._cipher),
                (Identity, "sign", self._over(Identity.sign, self._signing)),
                (PublicIdentity, "verify", self._over(PublicIdentity.verify, self._verifying)),
                (MlKemPrivateKey, "__init__", self._over(MlKemPrivateKey.__init__, self._key_pair)),
                (
                    MlKemPrivateKey,
                    "decapsulate",
                    self._over(MlKemPrivateKey.decapsulate, self._decapsulating),
                ),
                (MlKem, "encapsulate", self._over(MlKem.encapsulate, self._encapsulating)),
                (KeyPair, "__init__", self._over(KeyPair.__init__, self._share)),
                (KeyPair, "exchange", self._over(KeyPair.exchange, self._exchanging)),
            ):
                stack.enter_context(patch.object(owner, name, stand_in))
            yield

    def _noting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, noted whenever it is made."""

        def noted(*arguments: Any) -> Any:
            self._calls.append((name, lambda: call(*arguments)))
            return call(*arguments)

        return noted

    def _over(self, method: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        """A wrapper's ``method``, of which ``note`` knows the library's calls underneath."""

        def noted(self: Any, *arguments: Any) -> Any:
            note(self, *arguments)
            return method(self, *arguments)

        return noted

    def _note(self, name: str, call: Callable[..., Any], *arguments: Any) -> None:
        self._calls.append((name, lambda: call(*arguments)))

    def _macs(self) -> Any:
        return SimpleNamespace(
            digest=self._noting(SYMMETRIC, hmac.digest), compare_digest=hmac.compare_digest
        )

    def _expand(self, *arguments: Any) -> Any:
        derive = self._noting(SYMMETRIC, lambda key: HKDFExpand(*arguments).derive(key))
        return SimpleNamespace(derive=derive)

    def _cipher(self, key: bytes) -> Any:
        cipher = self._noting(SYMMETRIC, AESGCM)(key)
        return SimpleNamespace(
            encrypt=self._noting(SYMMETRIC, cipher.encrypt), decrypt=self._noting(SYMMETRIC, cipher.decrypt)
        )

    def _signing(self, own: Identity, role: Role, message: bytes, scheme: str) -> None:
        self._note("Ed25519 signatures", own._ed25519.sign, kdf.lp(role.context, message))
        self._note("ML-DSA signatures", own._mldsa[scheme].sign, message, role.context)

    def _verifying(self, peer: PublicIdentity, role: Role, message: bytes, signature: Signature) -> None:
        signed, keys = kdf.lp(role.context, message), MLDSA[peer.scheme]

        def ed25519() -> None:
            Ed25519PublicKey.from_public_bytes(peer.ed25519).verify(signature.ed25519, signed)

        self._note("Ed25519 checks", ed25519)
        self._note(
            "ML-DSA checks",
            lambda: keys.from_public_bytes(peer.mldsa).verify(signature.mldsa, message, role.context),
        )

    def _key_pair(self, _: Any, parameters: Parameters, seed: Secret) -> None:
        raw, kem = seed.reveal(), ML_KEM[parameters.name]
        self._note("ML-KEM key pair", lambda: kem.from_seed_bytes(raw).public_key().public_bytes_raw())

    def _encapsulating(self, kem: MlKem, public: bytes) -> None:
        keys = ML_KEM_PUBLIC[kem.parameters.name]
        self._note("ML-KEM encapsulation", lambda: keys.from_public_bytes(public).encapsulate())

    def _decapsulating(self, pair: MlKemPrivateKey, ciphertext: bytes) -> None:
        self._note("ML-KEM decapsulation", pair._key.decapsulate, ciphertext)

    def _share(self, _: Any, private: Secret) -> None:
        raw = private.reveal()
        self._note(
            "X25519 key pairs",
            lambda: X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw(),
        )

    def _exchanging(self, pair: KeyPair, peer: bytes) -> None:
        self._note("X25519 exchanges", lambda: pair._key.exchange(X25519PublicKey.from_public_bytes(peer)))


def quantum_key() -> tuple[str, bytes]:
    """A new key_ID and its key."""
    return str(uuid.uuid4()), os.urandom(32)


@dataclass(frozen=True)
class Key:
    """A quantum key as a key node delivers it."""

    key_id: str
    key: Secret
    path: tuple[str, ...] = ("beijing", "jinan", "hefei")
    extension: Mapping[str, Any] = field(default_factory=dict)


class Wire:
    """Carries the effects of two machines until both have confirmed."""

    def __init__(self, alice: Phone, bob: Phone, key: tuple[str, bytes]) -> None:
        now, unix = time.monotonic(), time.time()
        self._now = now
        self.caller = Caller(alice, peer_name=bob.name, now=now, unix=unix)
        self.callee = Callee(bob, peer_name=alice.name, now=now, unix=unix)
        self._key_id, self._key = key

    def run(self, at: Agreement, effects: fx.Effects) -> None:
        """Do what ``at`` wants."""
        for effect in effects:
            self._do(at, self.callee if at is self.caller else self.caller, effect)

    def _do(self, at: Agreement, peer: Agreement, effect: fx.Effect) -> None:
        now = self._now
        match effect:
            case fx.Send(frame):
                self.run(peer, peer.receive(frame, now))
            case fx.SendControl(data):
                self.run(peer, peer.control_received(data, now))
            case fx.Compute(job):
                self.run(at, at.computed(job(), now))
            case fx.NeedOffer():
                self.run(at, self.caller.offer(SDP, now))
            case fx.NeedAnswer():
                self.run(at, self.callee.answer(SDP, now))
            case fx.FetchEncKeys():
                self.run(at, self.caller.qkd_keys([Key(self._key_id, Secret(self._key))], now))
            case fx.FetchDecKeys():
                self.run(at, self.callee.qkd_keys([Key(self._key_id, Secret(self._key))], now))
            case fx.Abort(failure):
                raise failure

    def close(self) -> None:
        """The call is over."""
        self.caller.close()
        self.callee.close()

    def connect(self) -> None:
        """DTLS is up; its exporter is of the phones' connection, not of the agreement."""
        for each in (self.caller, self.callee):
            each.exporter(Secret(hmac.digest(b"dtls", each.exporter_context, "sha384")), self._now)
        for each in (self.caller, self.callee):
            self.run(each, each.channel_open(self._now))


def shake_hands(alice: Phone, bob: Phone, key: tuple[str, bytes]) -> Wire:
    """One agreement, from M1 to key confirmation, with a quantum key that lies ready in both key nodes."""
    line = Wire(alice, bob, key)
    line.run(line.caller, line.caller.start(line._now))
    line.connect()
    assert line.caller.state is line.callee.state is State.CONFIRMED
    return line


# Wire


async def wire(suite: str) -> dict[str, int]:
    """Bytes of the signalling frames that carry M1 to M4 from phone to relay, in one real call."""
    sound = ("--input", "null", "--output", "null", "--suite", suite)
    with tempfile.TemporaryDirectory() as directory:
        record = Path(directory, "record")
        async with stage(Path(directory)) as made:
            await made.serve("--record", record)
            await made.enrol("alice", "beijing")
            await made.enrol("bob", "hefei")
            bob = await made.listen("bob", "--auto-answer", "--once", *sound)
            alice = await made.call("alice", "bob", "--duration", "0.2", *sound)
            if (await alice.ended(), await bob.ended()) != (0, 0):
                raise RuntimeError(f"the call failed{alice.account()}{bob.account()}")
        return envelopes(record)


def envelopes(record: Path) -> dict[str, int]:
    """Lengths of the frames that phones sent with a message of the agreement in them, by message."""
    found: dict[str, int] = {}
    for line in record.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] != "signalling" or entry["direction"] != "in":
            continue
        frame = base64.b64decode(entry["data"])
        message = signalling.decode_from_phone(frame)
        if isinstance(message, signalling.Envelope) and message.payload[1] in MESSAGES:
            found[MESSAGES[Kind(message.payload[1])]] = len(frame)
    return found
