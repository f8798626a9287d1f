"""The vendor extensions of a request (ETSI GS QKD 014 clause 6.2), understood.

A mandatory extension is understood and met, or the request fails. An optional one is met when that is
possible and otherwise falls, as if it had not been asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.hpke import MLKEM1024P384PublicKey

from qcall.wire import etsi014
from qcall.wire.etsi014 import Extension

from . import seal
from .keys import ANY_PATH, Wish

KNOWN = frozenset({etsi014.SEAL, etsi014.ROUTE, etsi014.MAX_HOPS, etsi014.DISJOINT_PATHS})
MAX_HOPS = 512


class BadExtension(ValueError):
    """A mandatory extension cannot be met; ``message`` is the text that clause 5.2 mandates."""

    def __init__(self, message: str, *details: dict[str, Any]) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be done. Of ``wishes`` the first that a path can meet is taken."""

    wishes: tuple[Wish, ...] = (ANY_PATH,)
    seal_to: MLKEM1024P384PublicKey | None = None


def understand(mandatory: Sequence[Extension], optional: Sequence[Extension]) -> Options:
    """The options of a request; raises :class:`BadExtension` for a mandatory one that cannot be met."""
    unknown = sorted({name for extension in mandatory for name in extension} - KNOWN)
    if unknown:
        raise BadExtension(etsi014.EXTENSION_UNKNOWN, *({"parameter": name} for name in unknown))
    required, seal_to = ANY_PATH, None
    for name, value in _pairs(mandatory):
        try:
            required, seal_to = _with(required, seal_to, name, value)
        except ValueError as error:
            details = {"parameter": name, "reason": str(error)}
            raise BadExtension(etsi014.EXTENSION_UNMET, details) from None
    preferred = required
    named = {name for name, _ in _pairs(mandatory)}
    for name, value in _pairs(optional):
        if name in KNOWN - named:
            try:
                preferred, seal_to = _with(preferred, seal_to, name, value)
            except ValueError:
                continue
    return Options((required,) if preferred == required else (preferred, required), seal_to)


def _pairs(extensions: Sequence[Extension]) -> list[tuple[str, Any]]:
    return [pair for extension in extensions for pair in extension.items()]


def _with(
    wish: Wish, seal_to: MLKEM1024P384PublicKey | None, name: str, value: object
) -> tuple[Wish, MLKEM1024P384PublicKey | None]:
    """Both with one extension more; raises ValueError when its value makes no sense."""
    if name == etsi014.SEAL:
        return wish, seal.recipient(value)
    if name == etsi014.ROUTE:
        if not isinstance(value, list) or len(value) < 2 or not all(isinstance(node, str) for node in value):
            raise ValueError("a route is a list of node names")
        return replace(wish, route=tuple(value)), seal_to
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_HOPS:
        raise ValueError(f"give a whole number from 1 to {MAX_HOPS}")
    if name == etsi014.MAX_HOPS:
        return replace(wish, max_hops=value), seal_to
    return replace(wish, disjoint=value), seal_to
