"""liboqs is looked for without side effects and, where it is, agrees with the first provider."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from qcall.crypto import liboqs
from qcall.crypto.kem import CRYPTOGRAPHY, SHARED_LENGTH
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
    monkeypatch.delitem(sys.modules, "oqs", raising=False)
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
@pytest.mark.parametrize("name", liboqs.NAMES)
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
