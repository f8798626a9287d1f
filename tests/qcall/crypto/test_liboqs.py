"""liboqs is looked for without side effects and, where it is, agrees with the first provider."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from qcall.crypto import liboqs
from qcall.crypto.kem import CRYPTOGRAPHY, EFRODO_KEM_1344, HQC_5, SHARED_LENGTH
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed

from .test_wycheproof import cases, octets

HERE = liboqs.installed(os.environ, Path.home())
needs_liboqs = pytest.mark.skipif(not HERE, reason="liboqs is not installed on this machine")
TRAP = "raise SystemExit('oqs was imported without its library: it would clone and build it now')"


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``oqs`` that must not be imported, and a home without liboqs."""
    (tmp_path / "oqs.py").write_text(TRAP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "oqs", None)  # to be undone, whatever a test imports
    monkeypatch.delitem(sys.modules, "oqs")
    monkeypatch.setattr(liboqs.ctypes.util, "find_library", lambda name: None)
    return tmp_path


def test_without_the_library_the_module_is_not_imported(trap: Path) -> None:
    assert liboqs.load({}, trap) == {}
    assert "oqs" not in sys.modules


def test_a_library_that_does_not_load_is_none(trap: Path) -> None:
    (trap / "_oqs" / "lib").mkdir(parents=True)
    (trap / "_oqs" / "lib" / "liboqs.so").write_bytes(b"not a library")
    assert liboqs.load({}, trap) == {}
    assert liboqs.load({"OQS_INSTALL_PATH": str(trap / "_oqs")}, trap / "elsewhere") == {}


def test_the_trap_is_one(trap: Path) -> None:
    with pytest.raises(SystemExit):
        __import__("oqs")


def test_without_the_module_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liboqs.importlib.util, "find_spec", lambda name: None)
    assert not liboqs.installed(os.environ, tmp_path)


TALKATIVE = """
import logging, sys, warnings
logger = logging.getLogger("oqs.oqs")
logger.setLevel(logging.INFO)
logger.addHandler(logging.StreamHandler(sys.stdout))
logger.info("liboqs-python faulthandler is disabled")
warnings.warn("liboqs version (major, minor) 0.14.0 differs from liboqs-python version 0.16.0.1")
def get_enabled_kem_mechanisms():
    return ()
"""
"""What liboqs-python does when it is imported."""


def test_importing_prints_nothing_where_programs_read(
    trap: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (trap / "oqs.py").write_text(TALKATIVE)
    monkeypatch.setattr(liboqs, "installed", lambda *_: True)
    monkeypatch.setattr(logging.getLogger("oqs.oqs"), "disabled", False)
    assert liboqs.load({}, trap) == {}
    assert capfd.readouterr() == ("", "")


def test_a_library_too_old_for_its_module_is_none(trap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (trap / "oqs.py").write_text("import ctypes\nctypes.CDLL(None).OQS_SIG_supports_ctx_str")
    monkeypatch.setattr(liboqs, "installed", lambda *_: True)
    assert liboqs.load({}, trap) == {}


class Library:
    """A module ``oqs`` that has KEMs of these lengths: of a public key, a ciphertext and a seed."""

    def __init__(self, kems: dict[str, tuple[int, int, int]]) -> None:
        self._kems = kems

    def get_enabled_kem_mechanisms(self) -> tuple[str, ...]:
        return tuple(self._kems)

    @contextmanager
    def KeyEncapsulation(self, name: str) -> Iterator[SimpleNamespace]:
        lengths = ("length_public_key", "length_ciphertext", "length_keypair_seed")
        yield SimpleNamespace(details=dict(zip(lengths, self._kems[name], strict=True)))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """What is made of a library: the names of its KEMs, here and there."""

    def load(**kems: tuple[int, int, int]) -> dict[str, str]:
        library = Library({name.replace("_", "-"): lengths for name, lengths in kems.items()})
        monkeypatch.setattr(liboqs, "installed", lambda *_: True)
        monkeypatch.setitem(sys.modules, "oqs", library)
        return {name: kem._name for name, kem in liboqs.load({}, Path("/nowhere")).items()}

    return load


def test_frodokem_is_one_algorithm_whatever_the_library_calls_it(found) -> None:
    ephemeral, salted = (21520, 21632, 0), (21520, 21696, 0)
    name = EFRODO_KEM_1344.name
    assert found(FrodoKEM_1344_SHAKE=ephemeral) == {name: "FrodoKEM-1344-SHAKE"}
    assert found(FrodoKEM_1344_SHAKE=salted, eFrodoKEM_1344_SHAKE=ephemeral) == {name: "eFrodoKEM-1344-SHAKE"}
    assert found(FrodoKEM_1344_SHAKE=salted) == {}


def test_hqc_is_found_in_both_its_versions_and_in_no_other(found) -> None:
    assert found(HQC_5=(7237, 14421, 0)) == {HQC_5.name: "HQC-5"}
    assert found(HQC_256=(7245, 14421, 0)) == {"HQC-256": "HQC-256"}
    assert found(HQC_256=(7245, 14469, 0)) == {}


def test_an_ml_kem_that_takes_no_seed_is_none(found) -> None:
    assert found(ML_KEM_768=(1184, 1088, 64)) == {"ML-KEM-768": "ML-KEM-768"}
    assert found(ML_KEM_768=(1184, 1088, 0)) == {}


def test_a_ciphertext_that_liboqs_refuses_is_a_failure_of_the_agreement() -> None:
    class Key:
        """A key pair of HQC, to which a ciphertext came that was tampered with."""

        def __init__(self, name: str) -> None:
            self.free = lambda: None

        def generate_keypair(self) -> bytes:
            return bytes(HQC_5.public)

        def decap_secret(self, ciphertext: bytes) -> bytes:
            raise RuntimeError("Can not decapsulate secret")

    kem = liboqs.LiboqsKem(SimpleNamespace(KeyEncapsulation=Key), HQC_5, "HQC-5")
    with pytest.raises(AgreementFailed) as caught:
        kem.private(Secret(b"")).decapsulate(bytes(HQC_5.ciphertext))
    assert caught.value.code == "kem-ciphertext"


@needs_liboqs
@pytest.mark.parametrize(
    ("file", "name"), [("mlkem_1024_test", "ML-KEM-1024"), ("mlkem_768_test", "ML-KEM-768")]
)
def test_liboqs_agrees_byte_for_byte_with_the_vectors(file: str, name: str) -> None:
    kem = liboqs.load(os.environ, Path.home())[name]
    assert kem.parameters == CRYPTOGRAPHY[name].parameters
    for _, test in cases(file):
        if test["result"] == "valid":
            key = kem.private(Secret(octets(test, "seed")))
            assert key.public == octets(test, "ek")
            assert key.decapsulate(octets(test, "c")).reveal() == octets(test, "K")
        else:
            with pytest.raises((AgreementFailed, ValueError)):
                kem.private(Secret(octets(test, "seed"))).decapsulate(octets(test, "c"))


@needs_liboqs
@pytest.mark.parametrize("name", [kem.name for kem in liboqs.KEMS])
def test_every_kem_of_liboqs_agrees_with_itself(name: str) -> None:
    kem = liboqs.load(os.environ, Path.home()).get(name)
    if kem is None:
        pytest.skip(f"{name} is not compiled into this liboqs")
    key = kem.private(Secret(bytes(kem.parameters.seed)))
    ciphertext, shared = kem.encapsulate(key.public)
    assert key.decapsulate(ciphertext) == shared
    assert len(shared) >= SHARED_LENGTH
    with pytest.raises(AgreementFailed):
        kem.encapsulate(key.public[:-1])
    with pytest.raises(AgreementFailed):
        key.decapsulate(ciphertext + b"\0")


@needs_liboqs
@pytest.mark.parametrize("name", [kem.name for kem in liboqs.KEMS])
def test_what_was_tampered_with_gives_no_secret_or_another(name: str) -> None:
    kem = liboqs.load(os.environ, Path.home()).get(name)
    if kem is None:
        pytest.skip(f"{name} is not compiled into this liboqs")
    key = kem.private(Secret(bytes(kem.parameters.seed)))
    ciphertext, shared = kem.encapsulate(key.public)
    with suppress(AgreementFailed):
        assert key.decapsulate(bytes([ciphertext[0] ^ 1]) + ciphertext[1:]) != shared
