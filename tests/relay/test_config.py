"""Files and addresses of a relay."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.config import RelayHome, host_port
from relay.errors import StorageError, UsageError


@pytest.fixture
def home(tmp_path: Path) -> RelayHome:
    made = RelayHome(tmp_path / "relay")
    made.create()
    return made


def test_a_secret_is_made_once_and_is_private(home: RelayHome) -> None:
    secret = home.secret("turn")
    assert home.secret("turn") == secret
    assert len(secret) == 32
    assert (home.directory / "turn.secret").stat().st_mode & 0o777 == 0o600


def test_a_damaged_secret_is_not_used(home: RelayHome) -> None:
    (home.directory / "turn.secret").write_bytes(b"short")
    with pytest.raises(StorageError, match="damaged"):
        home.secret("turn")


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="--home"):
        RelayHome(tmp_path / "file" / "relay").create()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7480", ("127.0.0.1", 7480)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:3478", ("::1", 3478)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert host_port(text, "--listen") == address


@pytest.mark.parametrize("text", ["7480", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "a b:1", ":1"])
def test_a_wrong_address_names_the_flag(text: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        host_port(text, "--listen")


def test_a_renewed_secret_is_another_one(home: RelayHome) -> None:
    secret = home.secret("turn")
    home.renew_secret("turn")
    home.renew_secret("turn")
    assert home.secret("turn") != secret
