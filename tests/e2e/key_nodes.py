"""A program for tests: the key nodes of every site in one process to kill. Prints their URLs as JSON.

Usage: key_nodes.py HOME
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from relay.network import topology
from relay.network.sites import KeySites
from relay.pki import Authority


async def main(home: Path) -> None:
    sites = await KeySites.start(
        topology.load("beijing-hefei"),
        authority=Authority.open_or_create(home / "ca"),
        directory=home / "kme",
        node_keys=lambda _: bytes(32),
        host="127.0.0.1",
        ports={},
        clock=time.monotonic,
        entropy=os.urandom,
    )
    print(json.dumps({name: site.server.url for name, site in sites.sites.items()}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
