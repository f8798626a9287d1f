"""Who is let in, and who is believed: certificates of phones and key nodes over real TLS sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from qcall.errors import QcallError, RelayRefused, Unavailable
from relay.pki import Authority
from tests.e2e.town import Town, asked, start


async def test_a_stranger_with_a_certificate_of_another_authority_gets_no_answer(town: Town) -> None:
    town.enrol("mallory", by=Authority.open_or_create(town.directory / "other"))
    with pytest.raises(Unavailable) as refused:
        await asked(town.node("mallory"))
    assert refused.value.code in ("qkd-unreachable", "qkd-untrusted")


async def test_without_a_certificate_the_handshake_fails(town: Town) -> None:
    context = ssl.create_default_context(cadata=town.authority.ca_pem.decode())
    server = town.sites.sites["beijing"].server
    reader, writer = await asyncio.open_connection(
        server.host, server.port, ssl=context, server_hostname="kme-beijing"
    )
    writer.write(b"GET /api/v1/keys/sae-a/status HTTP/1.1\r\nHost: k\r\n\r\n")
    answer = b""
    with contextlib.suppress(ssl.SSLError):  # TLS 1.3: the alert may come before or after the server's close
        answer = await reader.read()
    assert answer == b""
    writer.close()


async def test_a_certificate_revoked_while_the_connection_is_warm_is_refused_on_it(town: Town) -> None:
    town.enrol("alice")
    async with town.node("alice") as node:
        await node.enc_keys("sae-alice")
        town.authority.revoke_sae("sae-alice")
        with pytest.raises(RelayRefused, match="revoked") as refused:
            await node.enc_keys("sae-alice")
    assert refused.value.code == "qkd-unauthorized"


@pytest.mark.parametrize(
    ("side", "told", "kind", "code"),
    [
        ("relay.kme.http.time", "expired", RelayRefused, "qkd-unauthorized"),
        ("qcall.wire.vouched.time", "has expired", Unavailable, "qkd-untrusted"),
    ],
)
async def test_a_certificate_that_expires_while_the_connection_is_warm_is_refused_on_it_by_the_other_side(
    town: Town, monkeypatch: pytest.MonkeyPatch, side: str, told: str, kind: type[QcallError], code: str
) -> None:
    town.enrol("alice")
    async with town.node("alice") as node:
        await node.enc_keys("sae-alice")
        later = time.time() + 400 * 86_400
        monkeypatch.setattr(side, SimpleNamespace(time=lambda: later))
        with pytest.raises(kind, match=told) as refused:
            await node.enc_keys("sae-alice")
    assert refused.value.code == code


async def test_a_key_node_that_cannot_tell_who_is_revoked_gives_no_key_and_its_log_says_why(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    town.enrol("alice")
    kept = town.authority.crl.read_bytes()
    async with town.node("alice") as node:
        town.authority.crl.unlink()
        with pytest.raises(Unavailable, match="cannot tell which certificates are revoked") as refused:
            await node.enc_keys("sae-alice")
        assert str(town.directory) not in str(refused.value)
        assert any(str(town.authority.crl) in message for message in caplog.messages)
        town.authority.crl.write_bytes(kept)
        assert await node.enc_keys("sae-alice")


async def test_a_key_node_that_is_revoked_while_the_connection_is_warm_is_sent_nothing_more_on_it(
    town: Town,
) -> None:
    town.enrol("alice")
    seen: list[str] = []
    town.sites.sites["beijing"].server.tap = lambda way, sae, path, body: seen.append(path)
    async with town.node("alice") as node:
        await node.enc_keys("sae-alice")
        asked_before = len(seen)
        town.authority.revoke_kme("kme-beijing", town.directory / "kme" / "kme-beijing")
        node._authority.take(town.authority.crl.read_bytes())
        with pytest.raises(Unavailable, match="not to be trusted: its certificate is revoked") as refused:
            await node.enc_keys("sae-alice")
    assert (refused.value.code, "\n" in str(refused.value)) == ("qkd-untrusted", False)
    assert len(seen) == asked_before


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is issued now has expired yesterday."""
    monkeypatch.setattr("relay.certificates.BACKDATED", datetime.timedelta(days=10))
    monkeypatch.setattr("relay.certificates.LEAF_DAYS", -1)


async def test_an_expired_certificate_of_an_sae_gets_no_answer(town: Town, past: None) -> None:
    town.enrol("alice")
    with pytest.raises(Unavailable):
        await asked(town.node("alice"))


async def test_an_expired_certificate_of_a_key_node_is_refused_by_the_phone(
    town: Town, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    town.enrol("alice")
    request.getfixturevalue("past")
    aged = await start(tmp_path / "aged", town.authority)
    try:
        with pytest.raises(Unavailable, match="expired") as refused:
            await asked(town.node("alice", url=aged.url("beijing")))
        assert refused.value.code == "qkd-untrusted"
    finally:
        await aged.close()


async def test_an_sae_of_another_site_is_refused(town: Town) -> None:
    town.enrol("bob", "hefei")
    with pytest.raises(RelayRefused, match="not served by kme-beijing"):
        await asked(town.node("bob", "beijing"))


async def test_a_key_node_is_no_sae(town: Town) -> None:
    certificate, key = town.authority.issue_kme("sae-alice", [])
    (town.directory / "x.pem").write_bytes(certificate)
    (town.directory / "x.key").write_bytes(key)
    with pytest.raises(RelayRefused, match="not that of an SAE"):
        await asked(town.node("x"))


async def test_a_key_node_of_another_name_is_refused_by_the_phone(town: Town) -> None:
    town.enrol("alice")
    with pytest.raises(Unavailable, match="is not the key node kme-beijing") as refused:
        await asked(town.node("alice", kme="kme-beijing", url=town.url("hefei")))
    assert refused.value.code == "qkd-untrusted"


async def test_a_key_node_of_another_authority_is_refused_by_the_phone(town: Town) -> None:
    town.enrol("alice")
    other = Authority.open_or_create(town.directory / "other").ca_pem
    with pytest.raises(Unavailable) as refused:
        await asked(town.node("alice", ca=other))
    assert refused.value.code == "qkd-untrusted"
