"""The two servers of ``scripts/bench keys``: our key nodes, and the bare handler that they are held against.

Usage: ``python -m scripts.benchmarks.etsi_programs kme|bare DIRECTORY CORE``. Both serve on loopback over the
same mutual TLS, on uvloop, on one core, and print one JSON line with their address. DIRECTORY holds the
authority in ``ca/``.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import sqlite3
import sys
import time
import uuid
from pathlib import Path

import uvloop
from aiohttp import web

from relay.kme.audit import AuditLog
from relay.kme.service import DEFAULT_LIMITS
from relay.network.sites import KeySites
from relay.network.topology import kme_id, parse
from relay.pki import Authority

PAIR = """name = "pair"
description = "modelled: two sites and one short link, so that the interface is what is measured"
optics = "ghz"
sites = ["near", "far"]
links = [{ a = "near", b = "far", km = 5 }]
"""
AUDIT_FILE = "audit.log"
LIMITS = dataclasses.replace(DEFAULT_LIMITS, keys_per_second=1e9, burst=1 << 40, max_key_count=1 << 20)
"""Without the quotas, which exist to keep one SAE from doing what this benchmark does."""


async def key_nodes(directory: Path) -> None:
    """The product's key nodes at both ends of one link, in one process, with the audit log of a relay."""
    AuditLog(directory / AUDIT_FILE)
    sites = await KeySites.start(
        parse(PAIR, "benchmark"),
        authority=Authority.open_or_create(directory / "ca"),
        directory=directory / "kme",
        node_keys=lambda _: bytes(32),
        host="127.0.0.1",
        ports={},
        clock=time.monotonic,
        entropy=os.urandom,
        limits=LIMITS,
    )
    announce({name: site.server.port for name, site in sites.sites.items()})
    await asyncio.Event().wait()


async def bare(directory: Path) -> None:
    """What a key node cannot be quicker than: one aiohttp handler, one committed row, one JSON answer."""
    authority = Authority.open_or_create(directory / "ca")
    files = authority.kme_files(directory / "bare", kme_id("near"), ["127.0.0.1"])
    db = sqlite3.connect(directory / "bare" / "keys.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute(
        "CREATE TABLE IF NOT EXISTS waiting (key_id TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID"
    )

    async def handle(request: web.BaseRequest) -> web.Response:
        await request.read()
        key_id, key = str(uuid.UUID(bytes=os.urandom(16), version=4)), os.urandom(32)
        db.execute("INSERT INTO waiting VALUES (?, ?)", (key_id, key))
        container = {"keys": [{"key_ID": key_id, "key": base64.b64encode(key).decode()}]}
        return web.Response(body=json.dumps(container).encode(), content_type="application/json")

    runner = web.ServerRunner(web.Server(handle, access_log=None, keepalive_timeout=3600))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server_context(*files))
    await site.start()
    announce({"near": runner.addresses[0][1]})
    await asyncio.Event().wait()


def announce(ports: dict[str, int]) -> None:
    """Say where the server listens."""
    print(json.dumps({"event": "ready", "ports": ports}), flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[3])})
    uvloop.run({"kme": key_nodes, "bare": bare}[sys.argv[1]](Path(sys.argv[2])))
