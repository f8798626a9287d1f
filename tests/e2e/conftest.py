"""A relay with two enrolled phones, as programs on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qcall.config import Home
from relay.pki import Authority
from scripts.demonstration.stage import Begin, Event, Stage, execute, stage
from tests.e2e.order import mixed
from tests.e2e.preloaded import Interpreter, interpreter
from tests.e2e.real_time import is_real_time
from tests.e2e.town import Town, start

NIGHTLY = os.environ.get("QCALL_TEST_PROFILE") == "nightly"
BEGIN = pytest.StashKey[Begin]()
GIVE_WAY = 5
"""How much nicer to what is heard in real time other programs and the tests themselves are."""
SPEECH = Path(__file__).parent.parent / "data" / "speech"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix tests that wait with tests that compute."""
    items[:] = mixed(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get ready to start programs, some of which are heard in real time: what computes gives way to them."""
    if not any(Path(__file__).parent in item.path.parents for item in session.items):
        return
    in_full = NIGHTLY or not hasattr(os, "pidfd_open")
    ready = contextlib.ExitStack()
    session.config.add_cleanup(ready.close)
    session.config.stash[BEGIN] = execute if in_full else ready.enter_context(interpreter())
    if not in_full and "PYTEST_XDIST_WORKER" in os.environ:
        os.nice(GIVE_WAY)


@pytest.fixture
def spoken() -> Path:
    """Clean speech of a woman, 48 kHz mono."""
    return SPEECH / "F1_harvard_phrases.wav"


@pytest.fixture
def answered() -> Path:
    """Clean speech of a man, 48 kHz mono."""
    return SPEECH / "M1_harvard_phrases.wav"


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Begin:
    """How programs start that several tests share."""
    return pytestconfig.stash[BEGIN]


@pytest.fixture
def begin(request: pytest.FixtureRequest) -> Begin:
    """How programs start: from one interpreter, in the nightly profile and off Linux each in full."""
    made = request.config.stash[BEGIN]
    if not isinstance(made, Interpreter) or is_real_time(request.node):
        return made
    return made.giving_way(GIVE_WAY)


@pytest.fixture
async def theatre(tmp_path: Path, begin: Begin) -> AsyncIterator[Stage]:
    """An empty stage."""
    async with stage(tmp_path, begin) as made:
        yield made


@pytest.fixture(scope="session")
def enrolled(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, worker_id: str
) -> tuple[Path, Event]:
    """The homes of a relay, of alice at Beijing and of bob at Hefei, and where that relay listened.

    They are made once for all workers of a test run.
    """
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent
    directory, ready = base / "enrolled", base / "enrolled.json"

    async def enrol() -> Event:
        async with stage(directory, pytestconfig.stash[BEGIN]) as made:
            await made.serve()
            await made.enrol("alice", "beijing")
            await made.enrol("bob", "hefei")
            return made.ready

    with (base / "enrolled.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            directory.mkdir()
            ready.write_text(json.dumps(asyncio.run(enrol())))
    return directory, json.loads(ready.read_text())


@pytest.fixture
async def homes(theatre: Stage, enrolled: tuple[Path, Event]) -> Stage:
    """A stage with enrolled phones of its own, an address for their relay, and no relay running yet."""
    directory, ready = enrolled
    shutil.copytree(directory, theatre.directory, dirs_exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
    for name in ("alice", "bob"):
        account = Home(theatre.home(name)).account_file
        account.write_text(account.read_text().replace(ready["signalling"], url))
    theatre.ready = {**ready, "signalling": url}
    return theatre


@pytest.fixture
async def phones(homes: Stage) -> Stage:
    """A running relay, alice enrolled at Beijing and bob at Hefei."""
    await homes.serve()
    return homes


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """Key nodes of the modelled chain, running in this process."""
    authority = Authority.open_or_create(tmp_path / "ca")
    sites = await start(tmp_path, authority)
    yield Town(tmp_path, authority, sites)
    await sites.close()
