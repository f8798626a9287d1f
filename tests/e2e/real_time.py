"""Tests of real programs by the clock."""

from __future__ import annotations

import pytest

REAL_TIME = pytest.mark.flaky(reruns=2)
"""Once is proof, and a machine that does other things may spoil a try."""


def is_real_time(item: pytest.Item) -> bool:
    """Whether a test is one of these."""
    return item.get_closest_marker(REAL_TIME.name) is not None
