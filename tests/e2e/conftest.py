"""A relay with two enrolled phones, as programs on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.demonstration.stage import Stage, stage

SPEECH = Path(__file__).parent.parent / "data" / "speech"


@pytest.fixture
def spoken() -> Path:
    """Clean speech of a woman, 48 kHz mono."""
    return SPEECH / "F1_harvard_phrases.wav"


@pytest.fixture
def answered() -> Path:
    """Clean speech of a man, 48 kHz mono."""
    return SPEECH / "M1_harvard_phrases.wav"


@pytest.fixture
async def theatre(tmp_path: Path) -> AsyncIterator[Stage]:
    """An empty stage."""
    async with stage(tmp_path) as made:
        yield made


@pytest.fixture
async def phones(theatre: Stage) -> Stage:
    """A running relay, alice enrolled at Beijing and bob at Hefei."""
    await theatre.serve()
    await theatre.enrol("alice", "beijing")
    await theatre.enrol("bob", "hefei")
    return theatre
