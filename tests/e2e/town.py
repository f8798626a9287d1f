"""Key nodes in this process, and the files of whoever talks to them over real TLS sockets."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode, sae_key_and_request
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
            authority=KnownAuthority(ca or self.authority.ca_pem, self.authority.crl),
            timeout=45.0,
        )

    async def curl(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and body followed by a line with the status."""
        assert CURL is not None
        process = await asyncio.create_subprocess_exec(
            CURL, "--silent", "--max-time", "45", "--cacert", str(self.directory / "ca.pem"),
            "--write-out", "\n%{http_code} %{content_type}", *arguments, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    def mine(self, name: str) -> tuple[str, ...]:
        return ("--cert", str(self.directory / f"{name}.pem"), "--key", str(self.directory / f"{name}.key"))


async def start(directory: Path, authority: Authority, ports: dict[str, int] | None = None) -> KeySites:
    """Key nodes for the modelled chain, on these ports by site or on free ones."""
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


async def asked(node: KeyNode) -> None:
    """Ask for a key and close."""
    try:
        await node.enc_keys(node.sae_id)
    finally:
        await node.close()
