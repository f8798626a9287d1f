"""Settings choose KEM provider and suites; what is not installed is said and never guessed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from qcall.agreement.suites import Q3, Q5
from qcall.config import Settings
from qcall.crypto import liboqs
from qcall.crypto.kem import CRYPTOGRAPHY, ML_KEM_768, ML_KEM_1024, Parameters
from qcall.errors import ConfigError
from qcall.session.suites import offered


class Named:
    """A KEM that only has a name: what is tested is which one is chosen."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters


ML_KEMS = {each.name: Named(each) for each in (ML_KEM_768, ML_KEM_1024)}
HQC = {"HQC-256": Named(Parameters("HQC-256", 7245, 14421, 0))}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Sets what liboqs is said to have."""

    def has(kems) -> None:
        monkeypatch.setattr(liboqs, "load", lambda *_: kems)

    return has


def suites(**settings):
    kems, found = offered(Settings(**settings), {}, Path("/nowhere"))
    return kems, [suite.name for suite in found]


def test_the_default_is_cryptography_and_does_not_look_for_liboqs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liboqs, "load", lambda *_: pytest.fail("looked for liboqs"))
    assert suites() == (CRYPTOGRAPHY, ["Q5", "Q3"])
    assert suites(suite="Q3") == (CRYPTOGRAPHY, ["Q3"])
    assert offered(Settings(), {}, Path("/nowhere"))[1] == (Q5, Q3)


def test_liboqs_takes_over_all_of_ml_kem(installed) -> None:
    installed(ML_KEMS | HQC)
    kems, names = suites(kem="liboqs")
    assert kems == ML_KEMS | HQC
    assert names == ["Q5", "Q3"]


def test_q5_plus_is_offered_when_it_is_asked_for(installed) -> None:
    installed(ML_KEMS | HQC)
    kems, names = suites(suite="Q5+")
    assert names == ["Q5+HQC-256", "Q5", "Q3"]
    assert kems["ML-KEM-1024"] is CRYPTOGRAPHY["ML-KEM-1024"]
    assert kems["HQC-256"] is HQC["HQC-256"]
    assert suites(suite="Q5+", kem="liboqs")[0]["ML-KEM-1024"] is ML_KEMS["ML-KEM-1024"]


@pytest.mark.parametrize("settings", [{"kem": "liboqs"}, {"suite": "Q5+"}, {"suite": "Q5+", "kem": "liboqs"}])
def test_without_liboqs_it_is_said_and_not_replaced(installed, settings) -> None:
    installed({})
    with pytest.raises(ConfigError, match="pip install"):
        suites(**settings)


def test_a_liboqs_without_a_second_kem_has_no_q5_plus(installed) -> None:
    installed(ML_KEMS)
    with pytest.raises(ConfigError, match="HQC or FrodoKEM-1344"):
        suites(suite="Q5+")


@pytest.mark.skipif(
    not liboqs.installed(os.environ, Path.home()), reason="liboqs is not installed on this machine"
)
def test_the_real_liboqs_offers_what_it_has() -> None:
    kems, _ = offered(Settings(kem="liboqs"), os.environ, Path.home())
    assert {"ML-KEM-768", "ML-KEM-1024"} <= kems.keys()
    assert "oqs" in sys.modules
