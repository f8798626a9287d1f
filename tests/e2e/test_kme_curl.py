"""Clients that are not ours: curl, bytes that are no HTTP, and what the audit log says of each request."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import ssl
from pathlib import Path

import pytest

from relay.kme.audit import AuditLog
from tests.e2e.town import CURL, Town

needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not on PATH")


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
