"""Who is let in, and who is believed: certificates over real TLS sockets, and curl as a client not ours."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import json
import logging
import os
import re
import shutil
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qcall.errors import NotSetUp, RelayRefused, Unavailable
from qcall.net.kme import KeyNode, sae_key_and_request
from relay.errors import AddressInUse, StorageError
from relay.kme.audit import AuditLog
from relay.network import topology
from relay.network.sites import KeySites, kme_id
from relay.pki import Authority

CURL = shutil.which("curl")


class Town:
    """Running key nodes and the files of whoever talks to them."""

    def __init__(self, directory: Path, authority: Authority, sites: KeySites) -> None:
        self.directory = directory
        self.authority = authority
        self.sites = sites
        (directory / "ca.pem").write_bytes(authority.ca_pem)

    def enrol(self, name: str, site: str = "beijing", *, by: Authority | None = None) -> None:
        key, request = sae_key_and_request()
        certificate = (by or self.authority).sign_sae_csr(request, f"sae-{name}", kme_id(site))
        (self.directory / f"{name}.key").write_bytes(key)
        (self.directory / f"{name}.pem").write_bytes(certificate)

    def url(self, site: str = "beijing") -> str:
        return self.sites.sites[site].server.url

    def node(
        self, name: str, site: str = "beijing", *, kme: str = "", ca: bytes = b"", url: str = ""
    ) -> KeyNode:
        return KeyNode(
            url or self.url(site),
            kme_id=kme or kme_id(site),
            certificate=self.directory / f"{name}.pem",
            key=self.directory / f"{name}.key",
            ca_pem=ca or self.authority.ca_pem,
            timeout=2.0,
        )

    async def curl(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and body followed by a line with the status."""
        assert CURL is not None
        process = await asyncio.create_subprocess_exec(
            CURL, "--silent", "--max-time", "10", "--cacert", str(self.directory / "ca.pem"),
            "--write-out", "\n%{http_code} %{content_type}", *arguments, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    def mine(self, name: str) -> tuple[str, ...]:
        return ("--cert", str(self.directory / f"{name}.pem"), "--key", str(self.directory / f"{name}.key"))


async def start(directory: Path, authority: Authority, ports: dict[str, int] | None = None) -> KeySites:
    return await KeySites.start(
        topology.load("beijing-hefei"),
        authority=authority,
        directory=directory / "kme",
        node_keys=lambda _: bytes(32),
        host="127.0.0.1",
        ports=ports or {},
        clock=time.monotonic,
        entropy=os.urandom,
    )


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    authority = Authority.open_or_create(tmp_path / "ca")
    sites = await start(tmp_path, authority)
    yield Town(tmp_path, authority, sites)
    await sites.close()


async def asked(node: KeyNode) -> None:
    try:
        await node.enc_keys(node.sae_id)
    finally:
        await node.close()


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


async def test_a_certificate_that_expires_while_the_connection_is_warm_is_refused_on_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.enrol("alice")
    async with town.node("alice") as node:
        await node.enc_keys("sae-alice")
        later = time.time() + 400 * 86_400
        monkeypatch.setattr("relay.kme.http.time.time", lambda: later)
        with pytest.raises(RelayRefused, match="expired") as refused:
            await node.enc_keys("sae-alice")
    assert refused.value.code == "qkd-unauthorized"


async def test_every_request_is_in_the_audit_log_and_no_key_byte(town: Town, tmp_path: Path) -> None:
    town.enrol("alice")
    file = tmp_path / "audit.log"
    log = AuditLog(file)
    try:
        async with town.node("alice") as node:
            [key] = await node.enc_keys("sae-alice")
            file.rename(tmp_path / "audit.log.1")  # as a rotation does
            await node.status("sae-alice")
    finally:
        log.close()
    old, new = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (tmp_path / "audit.log.1", file)
    )
    assert (old[-1]["sae"], old[-1]["status"], old[-1]["key_ids"]) == ("sae-alice", 200, [key.key_id])
    assert [(line["path"], line["key_ids"]) for line in new] == [("/api/v1/keys/sae-alice/status", [])]
    written = (tmp_path / "audit.log.1").read_bytes()
    raw = key.key.reveal()
    for shown in (raw, raw.hex().encode(), base64.b64encode(raw)):
        assert shown not in written
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is issued now has expired yesterday."""
    monkeypatch.setattr("relay.pki.BACKDATED", datetime.timedelta(days=10))
    monkeypatch.setattr("relay.pki.LEAF_DAYS", -1)


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


async def test_a_key_node_that_is_gone_is_unavailable_in_one_line(town: Town) -> None:
    town.enrol("alice")
    node = town.node("alice")
    await town.sites.close()
    with pytest.raises(Unavailable, match="cannot be reached") as refused:
        await asked(node)
    assert (refused.value.code, "\n" in str(refused.value)) == ("qkd-unreachable", False)


async def test_a_key_node_that_says_nothing_is_unavailable_in_time(town: Town) -> None:
    town.enrol("alice")
    taken: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda reader, writer: taken.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    node = KeyNode(
        f"https://127.0.0.1:{port}", kme_id="kme-beijing", certificate=town.directory / "alice.pem",
        key=town.directory / "alice.key", ca_pem=town.authority.ca_pem, timeout=0.2,
    )  # fmt: skip
    with pytest.raises(Unavailable) as refused:
        await asked(node)
    assert refused.value.code == "qkd-timeout"
    silent.close()
    for writer in taken:
        writer.close()
        await writer.wait_closed()


async def test_a_connection_that_went_stale_is_opened_anew(town: Town) -> None:
    town.enrol("alice")
    async with town.node("alice") as node:
        port = town.sites.sites["beijing"].server.port
        await town.sites.close()
        town.sites = await start(town.directory, town.authority, {"beijing": port})
        assert await node.enc_keys("sae-alice")
    await town.sites.close()


async def test_an_empty_pool_is_told_apart_from_a_missing_node(town: Town) -> None:
    town.enrol("alice")
    town.enrol("bob", "hefei")
    network = town.sites.network
    for state in network.states:
        network.cut(state.link.a, state.link.b, time.monotonic())
    async with town.node("alice") as node:
        with pytest.raises(Unavailable) as refused:
            await node.enc_keys("sae-bob")
    assert refused.value.code == "qkd-depleted"


def test_a_phone_without_its_certificate_is_told_to_enrol(tmp_path: Path) -> None:
    authority = Authority.open_or_create(tmp_path / "ca")
    with pytest.raises(NotSetUp, match="run qcall init again"):
        KeyNode(
            "https://127.0.0.1:1", kme_id="k", certificate=tmp_path / "no.pem", key=tmp_path / "no.key",
            ca_pem=authority.ca_pem,
        )  # fmt: skip


async def test_a_port_in_use_is_named_and_nothing_is_left_running(town: Town, tmp_path: Path) -> None:
    taken = town.sites.sites["beijing"].server.port
    with pytest.raises(AddressInUse, match=f"port {taken}"):
        await start(tmp_path / "second", town.authority, {"hefei": taken})
    retry = await start(tmp_path / "second", town.authority)
    await retry.close()


async def test_a_store_in_use_is_named(town: Town) -> None:
    with pytest.raises(StorageError, match="in use"):
        await start(town.directory, town.authority)


async def test_the_audit_log_names_key_ids_and_holds_no_key(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    town.enrol("alice")
    town.enrol("bob", "hefei")
    code, out = await town.curl(*town.mine("alice"), town.url() + "/api/v1/keys/sae-bob/enc_keys")
    key = json.loads(out.splitlines()[0])["keys"][0]
    entries = [json.loads(r.getMessage()) for r in caplog.records if r.name == "relay.kme.audit"]
    assert code == 0
    assert [(e["sae"], e["status"], e["key_ids"]) for e in entries] == [("sae-alice", 200, [key["key_ID"]])]
    raw = base64.b64decode(key["key"])
    assert not any(form in caplog.text for form in (key["key"], raw.hex(), repr(raw)))


# curl: a client that is not ours

needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not on PATH")


@needs_curl
async def test_curl_gets_and_posts_and_both_sides_hold_one_key(town: Town) -> None:
    town.enrol("alice")
    town.enrol("bob", "hefei")
    _, out = await town.curl(
        *town.mine("alice"), "--json", '{"size":512}', town.url() + "/api/v1/keys/sae-bob/enc_keys"
    )
    sent = json.loads(out.splitlines()[0])["keys"][0]
    query = f"/api/v1/keys/sae-alice/dec_keys?key_ID={sent['key_ID']}"
    _, out = await town.curl(*town.mine("bob"), town.url("hefei") + query)
    assert out.splitlines()[1] == "200 application/json"
    assert json.loads(out.splitlines()[0])["keys"][0]["key"] == sent["key"]
    assert len(base64.b64decode(sent["key"])) == 64


@needs_curl
async def test_curl_finds_the_key_node_by_its_address_and_by_its_name(town: Town) -> None:
    town.enrol("alice")
    server = town.sites.sites["beijing"].server
    for url, more in (
        (f"https://127.0.0.1:{server.port}", ()),
        (f"https://localhost:{server.port}", ("--ipv4",)),
        (f"https://kme-beijing:{server.port}", ("--resolve", f"kme-beijing:{server.port}:127.0.0.1")),
    ):
        code, out = await town.curl(*town.mine("alice"), *more, f"{url}/api/v1/keys/sae-alice/status")
        assert (code, out.splitlines()[-1]) == (0, "200 application/json")


@needs_curl
@pytest.mark.parametrize(
    ("arguments", "path", "status"),
    [
        ((), "/", 404),
        ((), "/api/v1/keys/sae-alice/other", 404),
        (("-X", "DELETE"), "/api/v1/keys/sae-alice/status", 405),
        (("--json", "{"), "/api/v1/keys/sae-alice/enc_keys", 400),
        ((), "/api/v1/keys/sae-alice/enc_keys?size=9", 400),
        (("--json", "x" * 70_000), "/api/v1/keys/sae-alice/enc_keys", 413),
        ((), "/api/v1/keys/sae-nobody/status", 400),
    ],
)
async def test_every_refusal_has_a_json_body_with_a_message(
    town: Town, arguments: tuple[str, ...], path: str, status: int
) -> None:
    town.enrol("alice")
    _, out = await town.curl(*town.mine("alice"), *arguments, town.url() + path)
    body, line = out.rsplit("\n", 1)
    assert line == f"{status} application/json"
    assert json.loads(body)["message"]


HEAD = b"POST /api/v1/keys/sae-alice/enc_keys HTTP/1.1\r\nHost: kme\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"noise\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b"X: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: kme\r\n\r\n",
        HEAD + b"Content-Length: many\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nnoise",
        HEAD + b"Content-Encoding: deflate\r\nContent-Length: 5\r\n\r\nnoise",
    ],
    ids=["no request", "bad header", "long header", "long path", "bad length", "two lengths", "bad chunk",
         "bad gzip", "bad deflate"],
)  # fmt: skip
async def test_what_is_no_http_is_refused_in_json_and_without_a_traceback(
    town: Town, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    town.enrol("alice")
    caplog.set_level(logging.INFO)
    context = ssl.create_default_context(cadata=town.authority.ca_pem.decode())
    context.load_cert_chain(town.directory / "alice.pem", town.directory / "alice.key")
    server = town.sites.sites["beijing"].server
    reader, writer = await asyncio.open_connection(
        server.host, server.port, ssl=context, server_hostname="kme-beijing"
    )
    writer.write(sent)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = re.search(r"content-length: (\d+)", head)
    assert length is not None
    body = await reader.readexactly(int(length[1]))
    writer.close()
    assert re.match(r"http/1\.[01] 400 ", head)
    assert "content-type: application/json" in head
    assert "\n" not in json.loads(body)["message"]
    [entry] = [json.loads(r.getMessage()) for r in caplog.records if r.name == "relay.kme.audit"]
    assert (entry["sae"], entry["status"]) == ("sae-alice", 400)
    assert [r for r in caplog.records if r.name != "relay.kme.audit" and r.levelno >= logging.ERROR] == []


@needs_curl
async def test_a_revoked_sae_gets_401_with_a_message(town: Town) -> None:
    town.enrol("alice")
    town.authority.revoke_sae("sae-alice")
    _, out = await town.curl(*town.mine("alice"), town.url() + "/api/v1/keys/sae-alice/status")
    assert out.splitlines()[1] == "401 application/json"
    assert "revoked" in json.loads(out.splitlines()[0])["message"]
