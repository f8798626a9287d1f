"""Where an invite says that the relay is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.cli.enrolling import running, where
from relay.config import RelayHome
from relay.control import ControlServer


@pytest.mark.parametrize(
    ("signalling", "said"),
    [
        ("ws://127.0.0.1:7480", "ws://127.0.0.1:7480"),
        ("wss://192.0.2.7:7480", "wss://192.0.2.7:7480"),
        ("wss://0.0.0.0:7480", "wss://HOST:7480"),
        ("wss://[::]:7480", "wss://HOST:7480"),
        ("wss://[2001:db8::1]:7480", "wss://[2001:db8::1]:7480"),
    ],
)
async def test_a_relay_that_runs_says_where(tmp_path: Path, signalling: str, said: str) -> None:
    async def ready(_: Any) -> dict[str, str]:
        return {"signalling": signalling}

    home = RelayHome(tmp_path)
    server = await ControlServer.start(home.control, {"ready": ready})
    try:
        told = await running(home)
    finally:
        await server.close()
    assert told is not None
    assert where(told) == said


async def test_without_a_relay_nobody_knows(tmp_path: Path) -> None:
    assert await running(RelayHome(tmp_path)) is None
