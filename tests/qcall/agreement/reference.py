"""qcall/1 written down a second time, from PROTOCOL and the docstrings, without any code of ``qcall``.

``derive`` takes a recorded handshake (frames as they crossed the relay, and the secrets of one side) and
computes everything there is to compute, opening the boxes itself. ``python -m
tests.qcall.agreement.reference`` records a new handshake with fixed randomness into tests/data/qcall1.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DATA = Path(__file__).parents[2] / "data" / "qcall1"
CONTEXT = bytes(range(48))
unpack = msgspec.msgpack.decode


def lp(*fields: Any) -> bytes:
    encoded = [field.encode() if isinstance(field, str) else field for field in fields]
    return b"".join(len(field).to_bytes(4, "big") + field for field in encoded)


def h(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


def extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.new(salt, ikm, hashlib.sha384).digest()


def exp(key: bytes, label: str, context: bytes, length: int) -> bytes:
    info, block, out = lp("qcall/1 " + label, context, length.to_bytes(2, "big")), b"", b""
    for count in range(1, 256):
        block = hmac.new(key, block + info + bytes([count]), hashlib.sha384).digest()
        out += block
        if len(out) >= length:
            break
    return out[:length]


def unbox(material: bytes, number: int, frame: bytes, box: bytes) -> dict[str, Any]:
    nonce = int.from_bytes(material[32:], "big") ^ number
    return unpack(AESGCM(material[:32]).decrypt(nonce.to_bytes(12, "big"), box, frame[:2]))


def derive(vector: dict[str, Any]) -> dict[str, str]:
    """Every derived value of a recorded handshake, as hexadecimal."""
    m1, m2, m3, m4 = (bytes.fromhex(frame) for frame in vector["frames"])
    secret = {name: bytes.fromhex(value) for name, value in vector["secrets"].items()}
    call, second = unpack(m1[2:]), unpack(m2[2:])
    clear = unpack(second["clear"])
    out: dict[str, bytes] = {}

    private = x25519.X25519PrivateKey.from_private_bytes(secret["x25519"])
    dh = private.exchange(x25519.X25519PublicKey.from_public_bytes(clear["share"]))
    kem = mlkem.MLKEM1024PrivateKey.from_seed_bytes(secret["mlkem"])
    ss = kem.decapsulate(clear["ciphertexts"][0])
    out["tc2"] = tc2 = h(lp("qcall/1 tc2", m1, second["clear"]))
    out["s0"] = s0 = extract(h(b"qcall/1 " + clear["suite"].encode()), lp("x25519", dh))
    out["s1"] = s1 = extract(exp(s0, "next", tc2, 48), lp("mlkem", ss))
    out["hs_i"], out["hs_r"] = exp(s1, "hs i", tc2, 44), exp(s1, "hs r", tc2, 44)

    signed2 = unbox(out["hs_r"], 0, m2, second["box"])
    signed3 = unbox(out["hs_i"], 0, m3, unpack(m3[2:])["box"])
    maced4 = unbox(out["hs_r"], 1, m4, unpack(m4[2:])["box"])
    out["th2"] = h(lp("qcall/1 th2", tc2, signed2["body"]))
    out["th3"] = h(lp("qcall/1 th3", out["th2"], signed2["ed25519"], signed2["mldsa"], signed3["body"]))
    out["th4"] = h(
        lp(
            "qcall/1 th4",
            out["th3"],
            signed3["ed25519"],
            signed3["mldsa"],
            signed3["mac"],
            maced4["body"],
        )
    )
    caller = unpack(signed3["body"])
    out["idfp_i"], out["idfp_r"] = idfp(caller["identity"]), idfp(unpack(signed2["body"])["identity"])
    out["commitment"] = h(lp("qcall/1 commit", caller["nonce"], out["idfp_i"]))
    transcript = h(lp("qcall/1 sas transcript", m1, m2, caller["nonce"], out["idfp_i"]))
    out["sas"] = exp(s1, "sas", transcript, 4)

    qkd = caller["qkd"]
    ikm = lp(
        "qkd",
        qkd["state"],
        len(qkd["keys"]).to_bytes(2, "big"),
        *(each for key in qkd["keys"] for each in (key["key_id"], secret["qkd"])),
    )
    out["s2"] = s2 = extract(exp(s1, "next", out["th3"], 48), ikm)
    out["mac_i"] = hmac.digest(
        exp(s2, "mac i", out["th3"], 48), lp(out["th3"], signed3["ed25519"], signed3["mldsa"]), "sha384"
    )
    out["mac_r"] = hmac.digest(exp(s2, "mac r", out["th3"], 48), lp(out["th4"]), "sha384")
    assert (out["mac_i"], out["mac_r"]) == (signed3["mac"], maced4["mac"])
    out |= root(extract(exp(s2, "next", out["th4"], 48), lp("dtls", secret["exporter"])), out["th4"], call)
    return {name: value.hex() for name, value in out.items()}


def root(secret: bytes, th4: bytes, call: dict[str, Any]) -> dict[str, bytes]:
    """What comes from root0."""
    context = lp(th4, call["call_id"], bytes(4))
    out = {"root0": secret}
    for direction in "ir":
        out["srtp_" + direction] = exp(secret, "srtp " + direction, context, 44)
        out["ctl_" + direction] = exp(secret, "ctl " + direction, context, 44)
        out["kc_" + direction] = hmac.digest(exp(secret, "kc " + direction, th4, 48), lp(th4), "sha384")
    return out


def rekeyed(
    root: bytes, transcript: bytes, rk1: bytes, rk2: bytes, inputs: dict[str, Any]
) -> dict[str, bytes]:
    """What comes of a rekey: its transcript and the root of the next epoch.

    ``inputs``: ``dh``, ``ss`` (one secret a KEM), ``state``, ``keys`` (pairs of ID and quantum key).
    """
    th = h(lp("qcall/1 th rekey", transcript, rk1, rk2))
    ikm = lp("x25519", inputs["dh"])
    for label, ss in zip(("mlkem", "second kem"), inputs["ss"], strict=False):
        ikm += lp(label, ss)
    number = len(inputs["keys"]).to_bytes(2, "big")
    ikm += lp("qkd", inputs["state"], number, *(part for key in inputs["keys"] for part in key))
    return {"th": th, "root": extract(exp(root, "rekey", th, 48), ikm)}


def idfp(identity: dict[str, bytes]) -> bytes:
    own = h(lp("qcall/1 id key", "ML-DSA-87", identity["mldsa"]))
    return h(lp("qcall/1 id", identity["ed25519"], own, identity["other"]))


def labels() -> dict[str, dict[str, str]]:
    """Known answers for every label, under the key 00 01 … 2f and the same bytes as context."""
    from qcall.crypto.kdf import Label

    return {
        label.value: {
            "hash": h(lp("qcall/1 " + label.value, CONTEXT)).hex(),
            "exp44": exp(CONTEXT, label.value, CONTEXT, 44).hex(),
            "exp48": exp(CONTEXT, label.value, CONTEXT, 48).hex(),
        }
        for label in Label
    }


def record(directory: Path) -> dict[str, Any]:
    """Run one handshake with fixed randomness and write down what it takes to run it again."""
    from qcall.agreement.machine import Phone
    from qcall.crypto.identity import Identity
    from qcall.crypto.kem import CRYPTOGRAPHY
    from qcall.records.store import Records

    from .conftest import KeyNodes, Line

    seen: dict[str, list[Any]] = {"signatures": [], "kem": []}
    sign = Identity.sign
    kem = CRYPTOGRAPHY["ML-KEM-1024"]

    class Watching(Identity):
        def sign(self, *arguments: Any) -> Any:
            seen["signatures"].append(sign(self, *arguments))
            return seen["signatures"][-1]

    class WatchingKem:
        parameters, private = kem.parameters, kem.private

        def encapsulate(self, public: bytes) -> Any:
            ciphertext, shared = kem.encapsulate(public)
            seen["kem"].append((ciphertext, shared.reveal()))
            return ciphertext, shared

    def phone(name: str) -> Phone:
        entropy = random.Random(name).randbytes
        return Phone(
            name=name,
            identity=Watching.create(entropy),
            memory=Records(directory / f"{name}.db"),
            entropy=entropy,
            sae_id=f"sae-{name}",
            kems={**CRYPTOGRAPHY, "ML-KEM-1024": WatchingKem()},
        )

    line = Line(phone("alice"), phone("bob"), nodes=KeyNodes(1)).dial()
    attempt = line.alice.machine._attempt
    # What alice draws, in order: three seeds, call_id, x25519, then the seed of ML-KEM-1024.
    drawn = random.Random("alice").randbytes(3 * 32 + 16 + 32 + 64)
    secrets = {
        "x25519": drawn[-96:-64].hex(),
        "mlkem": drawn[-64:].hex(),
        "qkd": attempt.keys[0].key.reveal().hex(),
        "exporter": hmac.digest(line.dtls["alice"], line.alice.machine.exporter_context, "sha384").hex(),
    }
    line.connect()
    for side in line.sides.values():
        side.phone.memory.close()
    frames = [line.alice.frames[0], line.bob.frames[0], line.alice.frames[1], line.bob.frames[1]]
    vector: dict[str, Any] = {
        "frames": [frame.hex() for frame in frames],
        "control": [line.alice.control[0].hex(), line.bob.control[0].hex()],
        "secrets": secrets,
        "signatures": [[s.ed25519.hex(), s.mldsa.hex()] for s in seen["signatures"]],
        "encapsulation": [part.hex() for part in seen["kem"][0]],
        "words": list(line.alice.machine.security.words),
    }
    return vector | {"derived": derive(vector)}


if __name__ == "__main__":
    DATA.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        (DATA / "handshake.json").write_text(json.dumps(record(Path(name)), indent=1) + "\n")
    (DATA / "labels.json").write_text(json.dumps(labels(), indent=1) + "\n")
