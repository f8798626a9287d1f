"""Quantum keys by name: what the caller states about them, and what people are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from qcall.errors import AgreementFailed
from qcall.wire.etsi014 import AGE, QBER

from .messages import KeyNamed, QkdTerms
from .policy import QkdState
from .schedule import QuantumKey
from .security import QkdInfo

WITHOUT = QkdTerms(QkdState.OFF, None, None, None, ())
"""The terms of a call whose phones both have quantum keys off."""


class DeliveredKey(QuantumKey, Protocol):
    """A key with the key node's own account of it (ETSI GS QKD 014, key_extension)."""

    @property
    def extension(self) -> Mapping[str, Any]: ...


def absent(reason: str) -> QkdTerms:
    """The terms of a call that has no quantum keys, and why."""
    return QkdTerms(QkdState.ABSENT, reason, None, None, ())


def name_key(key: DeliveredKey) -> KeyNamed:
    """The key's ID, path and hops, as the caller signs them, so that both phones' records are equal."""
    account = key.extension
    return KeyNamed(
        key.key_id, 8 * len(key.key), key.path, _numbers(account.get(QBER)), _numbers(account.get(AGE))
    )


def info(terms: QkdTerms) -> QkdInfo:
    """What the caller stated, for people."""
    key = terms.keys[0] if terms.keys else None
    return QkdInfo(
        terms.state,
        terms.reason,
        tuple(each.key_id for each in terms.keys),
        key.path if key else (),
        key.qber if key else (),
        key.age if key else (),
    )


def _numbers(value: object) -> tuple[float, ...]:
    """A list of numbers from a key node that may be of another make; nothing if it is anything else."""
    if not isinstance(value, list) or not all(isinstance(each, int | float) for each in value):
        return ()
    return tuple(float(each) for each in value) if all(math.isfinite(each) for each in value) else ()


def check_key_ids(keys: Sequence[QuantumKey], wanted: Sequence[str]) -> None:
    """A key node must deliver what was asked for, in that order."""
    if [key.key_id for key in keys] != list(wanted):
        raise AgreementFailed("the key node delivered other keys than those asked for", code="key-ids")


def drop(keys: Sequence[DeliveredKey]) -> None:
    """Wipe delivered keys that nothing will use."""
    for each in keys:
        each.key.wipe()
