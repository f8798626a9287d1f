"""What the command line of a TURN server is told: TLS, address families, quotas."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from relay.pki import Authority
from relay.turn.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    LIFETIME,
    REQUESTED_TRANSPORT,
    XOR_RELAYED_ADDRESS,
    Family,
)
from relay.turn.message import MessageClass, Method, encode, parse
from scripts.benchmarks.turnload import Client, Login
from scripts.demonstration.stage import BIN, Stage

BINDING = encode(Method.BINDING, MessageClass.REQUEST, bytes(12))


def bind_over_tls(address: str, authority: Path) -> None:
    """A Binding over TLS, whose certificate is checked."""
    host, port = address.rsplit(":", 1)
    host = host.strip("[]")
    context = ssl.create_default_context(cafile=str(authority))
    with (
        socket.create_connection((host, int(port)), timeout=5.0) as plain,
        context.wrap_socket(plain, server_hostname=host) as stream,
    ):
        stream.sendall(BINDING)
        assert parse(stream.recv(2048)).message_class is MessageClass.SUCCESS


async def test_a_turn_server_alone_serves_tls_with_a_certificate_it_is_given(theatre: Stage, tmp_path: Path):
    authority = Authority.open_or_create(tmp_path / "ca")
    certificate, key = authority.kme_files(tmp_path / "turn", "turn", ["::1"])
    (tmp_path / "ca.pem").write_bytes(authority.ca_pem)
    relay = await theatre.start(
        "relay turn",
        BIN / "relay", "turn", "--listen", "[::1]:0", "--user", "alice:wonderland", "--json",
        "--tls-port", "0", "--tls-cert", certificate, "--tls-key", key,
    )  # fmt: skip
    ready = await relay.event("ready")
    assert ready["turn"].startswith("[::1]:")
    assert ready["turns"].startswith("[::1]:")
    await asyncio.to_thread(bind_over_tls, ready["turns"], tmp_path / "ca.pem")


async def test_a_relay_serves_tls_by_its_own_authority(theatre: Stage, tmp_path: Path):
    await theatre.serve("--tls-port", "0")
    authority = Authority.open_or_create(theatre.relay_home / "ca")
    (tmp_path / "ca.pem").write_bytes(authority.ca_pem)
    await asyncio.to_thread(bind_over_tls, theatre.ready["turns"], tmp_path / "ca.pem")


async def test_relayed_addresses_of_both_families_and_a_quota(theatre: Stage):
    relay = await theatre.start(
        "relay turn",
        BIN / "relay", "turn", "--listen", "127.0.0.1:0", "--user", "alice:wonderland", "--json",
        "--relay-address", "127.0.0.1", "--relay-address", "::1", "--quota-allocations", "1",
    )  # fmt: skip
    host, port = (await relay.event("ready"))["turn"].split(":")

    def work() -> list[str]:
        with contextlib.ExitStack() as closing:
            one, other = [Client((host, int(port)), Login("alice", "wonderland")) for _ in range(2)]
            for each in (one, other):
                closing.enter_context(each.socket)
            asked = (REQUESTED_TRANSPORT(17), LIFETIME(600), ADDITIONAL_ADDRESS_FAMILY(Family.IPV6))
            answer = one.request(Method.ALLOCATE, *asked)
            with pytest.raises(RuntimeError, match="486"):
                other.allocate()
            return [address[0] for address in answer.all(XOR_RELAYED_ADDRESS)]

    assert await asyncio.to_thread(work) == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--tls-port", "0"], "--tls-cert"),
        (["--tls-port", "0", "--tls-cert", "/nowhere"], "belong together"),
        (["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "--tls-port"),
        (["--tls-port", "0", "--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "no such file"),
        (["--relay-address", "nobody"], "IP address"),
        (["--relay-address", "127.0.0.1", "--relay-address", "127.0.0.2"], "already"),
        (["--quota-bandwidth", "0"], "more than 0"),
    ],
)
async def test_what_makes_no_sense_is_said_in_one_line(theatre: Stage, options, complaint):
    relay = await theatre.start(
        "relay turn", BIN / "relay", "turn", "--listen", "127.0.0.1:0", "--user", "a:b", *options
    )
    assert await relay.ended() == 2
    assert complaint in " ".join(relay.stderr.split())
    assert "Traceback" not in relay.stderr
