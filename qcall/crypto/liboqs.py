"""The second provider of KEMs: liboqs, where it is installed.

``import oqs`` on a machine without the library clones and builds it, and ends the process when that fails;
with the library it prints to standard output and warns about version numbers. So the library is looked
for first, in the places where ``oqs`` itself would look, and only then the module is imported, quietly.

With liboqs there are KEMs that do not rest on structured lattices: HQC-256 (codes) or, where that is not
compiled in, FrodoKEM-1344 (unstructured lattices). liboqs derives keys from seeds for some KEMs only; the
others (``seed`` of 0 bytes) draw their own randomness.
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

from .kem import Kem, Parameters, check_ciphertext, check_public
from .secret import Secret

NAMES = ("ML-KEM-768", "ML-KEM-1024", "HQC-256", "FrodoKEM-1344-SHAKE")
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
    """The KEMs of liboqs by name; none where it is not installed."""
    if not installed(environment, home):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oqs = importlib.import_module("oqs")
    logging.getLogger("oqs.oqs").handlers.clear()
    enabled = oqs.get_enabled_kem_mechanisms()
    return {name: LiboqsKem(oqs, name) for name in NAMES if name in enabled}


def _loads(path: str) -> bool:
    try:
        ctypes.CDLL(path)
    except OSError:
        return False
    return True


class LiboqsPrivateKey:
    """A key pair of liboqs."""

    def __init__(self, oqs: Any, parameters: Parameters, seed: Secret) -> None:
        if len(seed) != parameters.seed:
            raise ValueError(f"a seed of {parameters.name} has {parameters.seed} bytes, not {len(seed)}")
        self._parameters = parameters
        self._key = oqs.KeyEncapsulation(parameters.name)
        weakref.finalize(self, self._key.free)
        self.public: bytes = (
            self._key.generate_keypair_seed(seed.reveal())
            if parameters.seed
            else self._key.generate_keypair()
        )

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """See `qcall.crypto.kem.PrivateKey.decapsulate`."""
        check_ciphertext(self._parameters, ciphertext)
        return Secret(self._key.decap_secret(ciphertext))


class LiboqsKem:
    """One KEM of liboqs."""

    def __init__(self, oqs: Any, name: str) -> None:
        self._oqs = oqs
        with oqs.KeyEncapsulation(name) as kem:
            self.parameters = Parameters(
                name,
                public=kem.details["length_public_key"],
                ciphertext=kem.details["length_ciphertext"],
                # liboqs names a seed for KEMs whose FIPS has one; for others it is its own affair.
                seed=kem.details["length_keypair_seed"] if name.startswith("ML-KEM") else 0,
            )

    def private(self, seed: Secret) -> LiboqsPrivateKey:
        """See `qcall.crypto.kem.Kem.private`."""
        return LiboqsPrivateKey(self._oqs, self.parameters, seed)

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        """See `qcall.crypto.kem.Kem.encapsulate`."""
        check_public(self.parameters, public)
        with self._oqs.KeyEncapsulation(self.parameters.name) as kem:
            try:
                ciphertext, shared = kem.encap_secret(public)
            except RuntimeError:
                raise AgreementFailed(
                    f"a key of {self.parameters.name} is not a valid key", code="kem-key"
                ) from None
        return ciphertext, Secret(shared)
