"""A control socket is its owner's alone, has one listener, and may lie deep."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from qcall.wire.local import LONGEST_NAME, InUse, Kind, Unreachable, Unusable, ask, bind, reachable

KIND = Kind("thing", if_running="leave it", if_missing="start it")


def test_only_the_owner_may_open_it(tmp_path: Path) -> None:
    with bind(tmp_path / "control.sock", KIND):
        assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600


def test_a_path_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with bind(path, KIND):
        with pytest.raises(InUse, match=f"a thing runs with the home {tmp_path} already; leave it"):
            bind(path, KIND)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_what_a_dead_program_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    bind(path, KIND).close()
    assert path.exists()
    bind(path, KIND).close()


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    path = tmp_path / ("d" * LONGEST_NAME) / "control.sock"
    path.parent.mkdir()
    with bind(path, KIND), socket.socket(socket.AF_UNIX) as client, reachable(path) as name:
        client.connect(name)


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="control socket"):
        bind(tmp_path / "nowhere" / "control.sock", KIND)


async def test_a_program_that_does_not_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=f"no thing runs with the home {tmp_path}; start it") as missing:
        await ask(tmp_path / "control.sock", KIND, {"command": "status"})
    assert missing.value.code == "not-running"


async def test_a_program_that_ends_in_place_of_an_answer_is_said(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    server = await asyncio.start_unix_server(lambda _, writer: writer.close(), path)
    async with server:
        with pytest.raises(Unreachable, match="did not answer"):
            await ask(path, KIND, {"command": "status"})
