"""A program for tests: one trusted node of a topology file, to kill. Prints its URLs as JSON once it listens.

Usage: trusted_node.py HOME TOPOLOGY NODE

On SIGUSR1 it prints what its links have spent. HOME/pads-NODE gets a line for every pad that is put on a
frame (``on``) or taken off one (``off``): a digest, which the kernel has before the pad is used.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

from relay.network import topology
from relay.network.http import TrustedNode
from relay.network.link import Block, LinkEnd
from relay.pki import Authority


def watch_pads(file: Path) -> None:
    """Write down the pads of this process; a restart goes on in the same file."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    reserve, claim = LinkEnd.reserve, LinkEnd.claim

    def note(direction: str, block: Block) -> None:
        digest = hashlib.blake2b(block.pad, digest_size=16).hexdigest()
        os.write(descriptor, f"{direction} {digest}\n".encode())

    def noted_reserve(end: LinkEnd, now: float) -> Block:
        block = reserve(end, now)
        note("on", block)
        return block

    def noted_claim(end: LinkEnd, block: Block) -> None:
        claim(end, block)
        note("off", block)

    LinkEnd.reserve, LinkEnd.claim = noted_reserve, noted_claim  # type: ignore[method-assign]


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
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGUSR1, lambda: print(json.dumps(node.process.report()), flush=True)
    )
    print(json.dumps({"node": node.url, "kme": node.kme and node.kme.url}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    watch_pads(Path(sys.argv[1]) / f"pads-{sys.argv[3]}")
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
