"""A control socket is its owner's alone, has one listener, and may lie deep."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from qcall.wire.local import LONGEST_NAME, InUse, bind, reachable


def test_only_the_owner_may_open_it(tmp_path: Path) -> None:
    with bind(tmp_path / "control.sock"):
        assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600


def test_a_path_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with bind(path):
        with pytest.raises(InUse):
            bind(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_what_a_dead_program_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    bind(path).close()
    assert path.exists()
    bind(path).close()


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    path = tmp_path / ("d" * LONGEST_NAME) / "control.sock"
    path.parent.mkdir()
    with bind(path), socket.socket(socket.AF_UNIX) as client, reachable(path) as name:
        client.connect(name)


def test_a_directory_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        bind(tmp_path / "nowhere" / "control.sock")
