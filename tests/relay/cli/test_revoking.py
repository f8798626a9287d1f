"""Turning a phone out: also of the relay that runs, and never only nearly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from relay.cli.revoking import turn_out
from relay.config import RelayHome
from relay.control import ControlServer
from relay.errors import LocalFault


@pytest.fixture
def home(tmp_path: Path) -> RelayHome:
    made = RelayHome(tmp_path)
    made.create()
    return made


async def test_a_relay_that_runs_is_told(home: RelayHome) -> None:
    told: list[Any] = []

    async def expel(arguments: Any) -> dict[str, bool]:
        told.append(dict(arguments))
        return {"online": True}

    server = await ControlServer.start(home.control, {"expel": expel})
    try:
        assert (await turn_out(home, "alice"))["online"]
    finally:
        await server.close()
    assert told == [{"name": "alice"}]


async def test_without_a_relay_nobody_is_online(home: RelayHome) -> None:
    assert await turn_out(home, "alice") == {"certificate": False, "account": False, "online": False}


async def test_a_relay_that_does_not_answer_is_not_taken_for_none(home: RelayHome) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_unix_server(hang_up, home.control):
        with pytest.raises(LocalFault, match="did not answer"):
            await turn_out(home, "alice")
