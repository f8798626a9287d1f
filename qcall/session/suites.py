"""Which KEMs a phone has and which suites it offers, by its settings.

``kem`` says whose ML-KEM is used. Q5+ is for users who ask for it: a suite that comes and goes with a library
would otherwise block contacts, who keep what their calls once had.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qcall.agreement.suites import Q3, SECOND_KEMS, STANDARD, Suite, available
from qcall.config import Settings
from qcall.crypto import liboqs
from qcall.crypto.kem import CRYPTOGRAPHY, Kem
from qcall.errors import ConfigError

INSTALL = "install liboqs and liboqs-python of one version (pip install 'qcall[liboqs]')"


def offered(
    settings: Settings, environment: Mapping[str, str], home: Path
) -> tuple[Mapping[str, Kem], tuple[Suite, ...]]:
    """The KEMs by name, and the suites, strongest first.

    liboqs is looked for, and imported, only when the settings want it; ``environment`` and ``home`` say where
    it may be. Raises ``ConfigError`` when something is wanted that is not there.
    """
    kems: Mapping[str, Kem] = CRYPTOGRAPHY
    if settings.kem == "liboqs" or settings.suite == "Q5+":
        found = liboqs.load(environment, home)
        if settings.kem == "liboqs":
            if not CRYPTOGRAPHY.keys() <= found.keys():
                raise ConfigError(f"settings: kem liboqs: it has no ML-KEM here; {INSTALL}")
            kems = found
        else:
            kems = {**CRYPTOGRAPHY, **{name: kem for name, kem in found.items() if name in SECOND_KEMS}}
    if settings.suite != "Q5+":
        return kems, STANDARD if settings.suite == "Q5" else (Q3,)
    suites = available(kems)
    if suites == STANDARD:
        raise ConfigError(f"settings: suite Q5+ needs HQC or FrodoKEM-1344; {INSTALL}, or choose Q5")
    return kems, suites
