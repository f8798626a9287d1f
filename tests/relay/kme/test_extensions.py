"""Vendor extensions: the route of a key, and its sealed delivery."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM1024P384PrivateKey, Suite

from qcall.wire import etsi014
from tests.relay.kme.three_sites import ThreeSites

# Extensions


async def test_disjoint_paths_give_a_key_that_names_both(world: ThreeSites) -> None:
    key = await world.key(extension_mandatory=[{"qcall_disjoint_paths": 2}])
    assert sorted(key["key_extension"]["qcall_route"]) == [["a", "x", "b"], ["a", "y", "b"]]
    assert (await world.fetch(key["key_ID"]))["key"] == key["key"]


async def test_the_route_wanted_is_the_route_taken(world: ThreeSites) -> None:
    key = await world.key(extension_mandatory=[{"qcall_route": ["a", "y", "b"]}, {"qcall_max_hops": 2}])
    assert key["key_extension"]["qcall_route"] == ["a", "y", "b"]


async def test_an_optional_wish_falls_when_it_cannot_be_met(world: ThreeSites) -> None:
    assert await world.key(extension_optional=[{"qcall_max_hops": 1}, {"qcall_seal": "nonsense"}])


async def test_an_optional_wish_is_met_when_it_can_be(world: ThreeSites) -> None:
    key = await world.key(extension_optional=[{"qcall_route": ["a", "y", "b"]}])
    assert key["key_extension"]["qcall_route"] == ["a", "y", "b"]


# Sealed delivery

SUITE = Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)


def one_time() -> tuple[MLKEM1024P384PrivateKey, dict[str, Any]]:
    lattice, curve = mlkem.MLKEM1024PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())
    point = curve.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    public = base64.b64encode(lattice.public_key().public_bytes_raw() + point).decode()
    return MLKEM1024P384PrivateKey(lattice, curve), {"qcall_seal": {"public_key": public}}


async def test_a_sealed_key_opens_with_the_one_time_key_and_is_said_to_be_sealed(world: ThreeSites) -> None:
    plain = await world.key()
    opener, asked = one_time()
    body = {"key_IDs": [{"key_ID": plain["key_ID"]}], "key_IDs_extension": asked}
    container = await world.ok("bob", "alice/dec_keys", body)
    assert container["key_container_extension"]["qcall_seal"] == {
        "kem": "MLKEM1024-P384", "kdf": "HKDF-SHA384", "aead": "AES-256-GCM",
    }  # fmt: skip
    sealed = base64.b64decode(container["keys"][0]["key"])
    info = etsi014.seal_info("kme-b", "alice", "bob", plain["key_ID"])
    assert SUITE.decrypt(sealed, opener, info) == base64.b64decode(plain["key"])
    assert base64.b64decode(plain["key"]) not in sealed


@pytest.mark.parametrize("wrong", ["kme", "master", "slave", "key_id"])
async def test_a_sealed_key_opens_only_as_what_it_is(world: ThreeSites, wrong: str) -> None:
    opener, asked = one_time()
    key = await world.key(extension_mandatory=[asked])
    bound = {"kme": "kme-a", "master": "alice", "slave": "bob", "key_id": key["key_ID"]} | {wrong: "x"}
    info = etsi014.seal_info(bound["kme"], bound["master"], bound["slave"], bound["key_id"])
    with pytest.raises(InvalidTag):
        SUITE.decrypt(base64.b64decode(key["key"]), opener, info)


async def test_a_key_request_that_cannot_be_sealed_as_it_must_delivers_nothing(world: ThreeSites) -> None:
    before = world.network.relayed
    asked = {"extension_mandatory": [{"qcall_seal": {"public_key": base64.b64encode(bytes(1665)).decode()}}]}
    await world.refused(400, "alice", "bob/enc_keys", asked)
    assert world.network.relayed == before


async def test_a_seal_that_cannot_be_understood_on_retrieval_leaves_the_key_in_place(
    world: ThreeSites,
) -> None:
    key_id = (await world.key())["key_ID"]
    body = {"key_IDs": [{"key_ID": key_id}], "key_IDs_extension": {"qcall_seal": {"kem": "none"}}}
    assert (await world.ask("bob", "alice/dec_keys", body)).status == 400
    assert await world.fetch(key_id)
