"""The second provider of KEMs: liboqs, where it is installed.

``import oqs`` on a machine without the library clones and builds it, and ends the process when that fails;
with the library it prints to standard output and warns about version numbers. So the library is looked
for first, in the places where ``oqs`` itself would look, and only then the module is imported, quietly.

With liboqs there are KEMs that do not rest on structured lattices: HQC (codes) or, where that is not compiled
in, FrodoKEM-1344 (unstructured lattices). liboqs derives keys from seeds for some KEMs only; the others
(``seed`` of 0 bytes) draw their own randomness.

A suite's name is all that two phones compare, so one name has to be one algorithm whatever the versions of
their libraries. Names in liboqs are not. Up to 0.15 there is HQC-256 of 2023, off unless it was asked for;
from 0.16 on HQC-5 of 2025 is in its place. What was FrodoKEM-1344-SHAKE is eFrodoKEM-1344-SHAKE from 0.16 on,
and the old name is that of a salted variant; the ephemeral one is for keys that serve a few encapsulations,
and here each serves one. The lengths tell them apart: a KEM of other lengths is another KEM.
"""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.util
import logging
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qcall.errors import AgreementFailed

from .kem import (
    EFRODO_KEM_1344,
    HQC_5,
    HQC_256,
    ML_KEM_768,
    ML_KEM_1024,
    Kem,
    Parameters,
    check_ciphertext,
    check_public,
)
from .secret import Secret

KEMS = (ML_KEM_768, ML_KEM_1024, HQC_5, HQC_256, EFRODO_KEM_1344)
NAMES = {EFRODO_KEM_1344.name: ("eFrodoKEM-1344-SHAKE", "FrodoKEM-1344-SHAKE")}
"""What liboqs calls a KEM, and called it before 0.16, where that is not its name here."""
LIBRARIES = ("lib/liboqs.so", "lib64/liboqs.so", "lib/liboqs.dylib", "bin/oqs.dll")


def installed(environment: Mapping[str, str], home: Path) -> bool:
    """Whether ``import oqs`` would find everything it needs. Imports, builds and prints nothing."""
    if importlib.util.find_spec("oqs") is None:
        return False
    prefix = Path(environment["OQS_INSTALL_PATH"]) if "OQS_INSTALL_PATH" in environment else home / "_oqs"
    candidates = [str(prefix / name) for name in LIBRARIES if (prefix / name).exists()]
    found = ctypes.util.find_library("oqs")
    return any(_loads(path) for path in (*candidates, *([found] if found else [])))


def load(environment: Mapping[str, str], home: Path) -> Mapping[str, Kem]:
    """The KEMs of liboqs by name; none where it is not installed, or too old for the module that wants it."""
    if not installed(environment, home):
        return {}
    logging.getLogger("oqs.oqs").disabled = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            oqs = importlib.import_module("oqs")
        except AttributeError:  # what ctypes says of a function that the library does not have
            return {}
    enabled = oqs.get_enabled_kem_mechanisms()
    return {
        kem.name: LiboqsKem(oqs, kem, name)
        for kem in KEMS
        for name in NAMES.get(kem.name, (kem.name,))
        if name in enabled and _is(oqs, name, kem)
    }


def _is(oqs: Any, name: str, parameters: Parameters) -> bool:
    """Whether what this liboqs calls ``name`` is the KEM that is meant, as far as lengths tell."""
    with oqs.KeyEncapsulation(name) as kem:
        found = kem.details
    lengths = found["length_public_key"], found["length_ciphertext"]
    seeds = not parameters.seed or found["length_keypair_seed"] == parameters.seed
    return seeds and lengths == (parameters.public, parameters.ciphertext)


def _loads(path: str) -> bool:
    try:
        ctypes.CDLL(path)
    except OSError:
        return False
    return True


class LiboqsPrivateKey:
    """A key pair of liboqs."""

    def __init__(self, oqs: Any, parameters: Parameters, name: str, seed: Secret) -> None:
        if len(seed) != parameters.seed:
            raise ValueError(f"a seed of {parameters.name} has {parameters.seed} bytes, not {len(seed)}")
        self._parameters = parameters
        self._key = oqs.KeyEncapsulation(name)
        weakref.finalize(self, self._key.free)
        self.public: bytes = (
            self._key.generate_keypair_seed(seed.reveal())
            if parameters.seed
            else self._key.generate_keypair()
        )

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """See `qcall.crypto.kem.PrivateKey.decapsulate`. HQC refuses aloud what was tampered with."""
        check_ciphertext(self._parameters, ciphertext)
        try:
            return Secret(self._key.decap_secret(ciphertext))
        except RuntimeError:
            raise AgreementFailed(
                f"a ciphertext of {self._parameters.name} is not one for this key", code="kem-ciphertext"
            ) from None


class LiboqsKem:
    """One KEM of liboqs, which calls it ``name``."""

    def __init__(self, oqs: Any, parameters: Parameters, name: str) -> None:
        self._oqs = oqs
        self._name = name
        self.parameters = parameters

    def private(self, seed: Secret) -> LiboqsPrivateKey:
        """See `qcall.crypto.kem.Kem.private`."""
        return LiboqsPrivateKey(self._oqs, self.parameters, self._name, seed)

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        """See `qcall.crypto.kem.Kem.encapsulate`."""
        check_public(self.parameters, public)
        with self._oqs.KeyEncapsulation(self._name) as kem:
            try:
                ciphertext, shared = kem.encap_secret(public)
            except RuntimeError:
                raise AgreementFailed(
                    f"a key of {self.parameters.name} is not a valid key", code="kem-key"
                ) from None
        return ciphertext, Secret(shared)
