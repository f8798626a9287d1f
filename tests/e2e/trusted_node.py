"""A program for tests: one trusted node of a topology file, to kill. Prints its URLs as JSON once it listens.

Usage: trusted_node.py HOME TOPOLOGY NODE
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from relay.network import topology
from relay.network.http import TrustedNode
from relay.pki import Authority


async def main(home: Path, source: str, name: str) -> None:
    node = await TrustedNode.start(
        name,
        topology.load(source),
        authority=Authority.open_or_create(home / "ca"),
        directory=home / "kme",
        node_key=bytes(32),
        host="127.0.0.1",
        entropy=os.urandom,
    )
    print(json.dumps({"node": node.url, "kme": node.kme and node.kme.url}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
