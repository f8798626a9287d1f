"""Suites: chosen whole, inside the signed transcript, never mixed per algorithm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qcall.crypto.identity import ML_DSA_65, ML_DSA_87
from qcall.crypto.kem import EFRODO_KEM_1344, HQC_5, HQC_256, ML_KEM_768, ML_KEM_1024, Kem, Parameters


@dataclass(frozen=True, slots=True)
class Suite:
    """What protects a call. ``kems`` are all used, one after the other; X25519 and Ed25519 always are."""

    name: str
    rank: int
    kems: tuple[Parameters, ...]
    scheme: str


Q5 = Suite("Q5", 5, (ML_KEM_1024,), ML_DSA_87)
Q3 = Suite("Q3", 3, (ML_KEM_768,), ML_DSA_65)
STANDARD = (Q5, Q3)
"""What every phone has."""

SECOND_KEMS = {
    HQC_5.name: "Q5+HQC-5",
    HQC_256.name: "Q5+HQC-256",
    EFRODO_KEM_1344.name: "Q5+Frodo-1344",
}
"""KEMs that do not rest on structured lattices, best first, and the suite that adds each to Q5."""
RANKS = {"Q3": 3, "Q5": 5} | dict.fromkeys(SECOND_KEMS.values(), 6)


def available(kems: Mapping[str, Kem]) -> tuple[Suite, ...]:
    """The suites of a phone with these KEMs, strongest first: the standard ones, and Q5+ if it can.

    Only the best one is offered, for the keys are large: two phones whose liboqs differ meet in plain Q5.
    """
    for kem, name in SECOND_KEMS.items():
        if kem in kems:
            return (Suite(name, RANKS[name], (ML_KEM_1024, kems[kem].parameters), ML_DSA_87), *STANDARD)
    return STANDARD


def choose(offered: Iterable[str], supported: Iterable[Suite]) -> Suite | None:
    """The strongest suite that both sides have, whatever order the caller lists them in."""
    names = frozenset(offered)
    return max((suite for suite in supported if suite.name in names), key=lambda s: s.rank, default=None)


def rank(name: str | None) -> int:
    """How strong a suite is, for comparison with what a contact used before; 0 for none."""
    return RANKS.get(name or "", 0)
