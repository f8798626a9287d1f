"""What holds for every test: no property is judged by the clock of a machine that others may be using."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what was loaded out of garbage collection, which would look through it again and again."""
    gc.collect()
    gc.freeze()
