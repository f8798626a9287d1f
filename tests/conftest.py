"""What holds for every test."""

from __future__ import annotations

import gc

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what was loaded out of garbage collection, which would look through it again and again."""
    gc.collect()
    gc.freeze()
