"""Suites: chosen whole, inside the signed transcript, never mixed per algorithm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qcall.crypto.identity import ML_DSA_65, ML_DSA_87
from qcall.crypto.kem import ML_KEM_768, ML_KEM_1024, Parameters


@dataclass(frozen=True, slots=True)
class Suite:
    """What protects a call. ``kems`` are all used, one after the other; X25519 and Ed25519 always are."""

    name: str
    rank: int
    kems: tuple[Parameters, ...]
    scheme: str


Q5 = Suite("Q5", 5, (ML_KEM_1024,), ML_DSA_87)
Q3 = Suite("Q3", 3, (ML_KEM_768,), ML_DSA_65)
SUITES = {suite.name: suite for suite in (Q5, Q3)}


def choose(offered: Iterable[str], supported: Iterable[Suite]) -> Suite | None:
    """The strongest suite that both sides have, whatever order the caller lists them in."""
    names = frozenset(offered)
    return max((suite for suite in supported if suite.name in names), key=lambda s: s.rank, default=None)


def rank(name: str | None) -> int:
    """How strong a suite is, for comparison with what a contact used before; 0 for none."""
    return SUITES[name].rank if name in SUITES else 0
