"""Tests of real programs by the clock."""

from __future__ import annotations

import pytest

REAL_TIME = pytest.mark.flaky(reruns=2)
"""Once is proof, and a machine that does other things may spoil a try."""
