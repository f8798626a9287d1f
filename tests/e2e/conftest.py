"""A relay with two enrolled phones, as programs on loopback."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.demonstration.stage import Event, Stage, stage

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


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Event]:
    """The homes of a relay, of alice at Beijing and of bob at Hefei, and where that relay listened."""
    directory = tmp_path_factory.mktemp("enrolled")

    async def enrol() -> Event:
        async with stage(directory) as made:
            await made.serve()
            await made.enrol("alice", "beijing")
            await made.enrol("bob", "hefei")
            return made.ready

    return directory, asyncio.run(enrol())


@pytest.fixture
async def homes(theatre: Stage, enrolled: tuple[Path, Event]) -> Stage:
    """A stage with enrolled phones of its own, and no relay running yet."""
    directory, theatre.ready = enrolled
    shutil.copytree(directory, theatre.directory, dirs_exist_ok=True)
    return theatre


@pytest.fixture
async def phones(homes: Stage) -> Stage:
    """A running relay, alice enrolled at Beijing and bob at Hefei."""
    await homes.serve()
    return homes
