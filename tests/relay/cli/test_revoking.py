"""Turning a phone out: also of the relay that runs, and never only nearly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from qcall.net.kme import sae_key_and_request
from relay.cli.revoking import turn_out
from relay.config import RelayHome
from relay.control import ControlServer
from relay.errors import LocalFault, StorageError
from relay.pki import Authority
from relay.signalling.admission import sae_id


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


async def test_a_damaged_certificate_is_named_and_the_account_goes_all_the_same(home: RelayHome) -> None:
    authority = Authority.open_or_create(home.authority)
    authority.sign_sae_csr(sae_key_and_request()[1], sae_id("alice"), "kme-a")
    [record] = (home.authority / "saes").iterdir()
    record.write_bytes(b"junk")
    with pytest.raises(
        StorageError, match=f"it has no account, but its certificate .*{record.name} is damaged"
    ):
        await turn_out(home, "alice")
