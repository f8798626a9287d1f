"""Tests of real programs by the clock."""

from __future__ import annotations

import pytest

from qcall.media.opus import Samples
from qcall.media.quality import locate

REAL_TIME = pytest.mark.flaky(reruns=4)
"""Once is proof, and a machine that does other things may spoil a try."""
PART = 12_000
"""Samples of a quarter of a second."""


def best_likeness(spoken: Samples, heard: Samples) -> float:
    """How like ``spoken`` the best quarter second of it is, wherever it stands in ``heard``.

    That speech came, and whose; how well all of it sounds is measured by ``scripts/bench quality``.
    """
    parts = [spoken[at : at + PART] for at in range(0, len(spoken) - PART + 1, PART)]
    return max(locate(part, heard).peak for part in parts)


def is_real_time(item: pytest.Item) -> bool:
    """Whether a test is one of these."""
    return item.get_closest_marker(REAL_TIME.name) is not None
