"""ETSI GS QKD 014 to the letter: every method, every mandated error, over a real store and a real network."""

from __future__ import annotations

import base64
import functools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM1024P384PrivateKey, Suite

from qcall.wire import etsi014
from relay.kme.exchange import Reply, Request
from relay.kme.keystore import SqliteKeyStore
from relay.kme.quota import Quota
from relay.kme.service import KeyService, Limits
from relay.network.network import Network
from relay.network.supply import LocalCarrier, StockedSupply
from relay.network.topology import parse

TOPOLOGY = """
name = "triangle"
description = "modelled"
sites = ["a", "b", "c"]
links = [
  { a = "a", b = "x", km = 30 }, { a = "x", b = "b", km = 30 },
  { a = "a", b = "y", km = 50 }, { a = "y", b = "b", km = 50 },
  { a = "b", b = "c", km = 40 },
]
"""
SAES = {"alice": "kme-a", "anna": "kme-a", "bob": "kme-b", "berta": "kme-b", "carol": "kme-c"}
UNIX = 1_800_000_000.0
UNSUPPORTED = "not all extension_mandatory parameters are supported"
UNMET = "not all extension_mandatory request options could be met"
BAD_NUMBER = "request does not follow the data format: Expected `int | null`, got `str` - at `$.number`"


class World:
    """Three key nodes and the network between them; ``now`` is both of its clocks."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self.now = UNIX
        draw = random.Random(1)
        self.network = Network(parse(TOPOLOGY, "test"), seed=bytes(32), now=self.now)
        nodes = {"kme-a": "a", "kme-b": "b", "kme-c": "c"}
        self.stores = {kme: SqliteKeyStore(directory / f"{kme}.db", bytes(32), boot_id="x") for kme in nodes}
        self.supplies = {
            kme: StockedSupply(
                self.stores[kme],
                LocalCarrier(kme, self.network, self.stores, nodes, lambda: self.now),
                entropy=draw.randbytes,
            )
            for kme in nodes
        }
        self.services = {
            kme: KeyService(
                kme, nodes[kme], self.stores[kme], self.supplies[kme],
                home_of=SAES.get, entropy=draw.randbytes, limits=limits,
                saw=functools.partial(self.network.saw, nodes[kme]),
            )
            for kme in nodes
        }  # fmt: skip

    async def ask(
        self, sae: str, path: str, body: object = None, *, method: str = "", kme: str = ""
    ) -> Reply:
        """What ``sae``'s own key node answers; POST when there is a body."""
        path, _, query = path.partition("?")
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(
            method or ("GET" if body is None else "POST"), f"/api/v1/keys/{path}", query, raw, sae
        )
        return await self.services[kme or SAES.get(sae, "kme-a")].respond(request, self.now)

    async def ok(self, sae: str, path: str, body: object = None) -> Any:
        reply = await self.ask(sae, path, body)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    async def refused(self, status: int, sae: str, path: str, body: object = None, **more: str) -> str:
        """The message of a refusal, which always has a JSON body."""
        reply = await self.ask(sae, path, body, **more)
        assert reply.status == status, reply.body
        message = json.loads(reply.body)["message"]
        assert isinstance(message, str)
        return message

    async def key(self, master: str = "alice", slave: str = "bob", **asked: Any) -> dict[str, Any]:
        made: dict[str, Any] = (await self.ok(master, f"{slave}/enc_keys", asked))["keys"][0]
        return made

    async def fetch(self, key_id: str, slave: str = "bob", master: str = "alice") -> dict[str, Any]:
        body = {"key_IDs": [{"key_ID": key_id}]}
        got: dict[str, Any] = (await self.ok(slave, f"{master}/dec_keys", body))["keys"][0]
        return got

    async def fill(self, kme: str = "kme-a") -> None:
        """Top the stock of every pair in use up."""
        while await self.supplies[kme].top_up(self.now):
            pass

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, Limits(max_key_count=100, max_slaves=3, max_key_per_request=10, max_key_size=1024))
    yield made
    made.close()


# Status (clause 5.1)


async def test_status_has_every_field_of_the_standard(world: World) -> None:
    status, link = await world.ok("alice", "bob/status"), world.network.state("a", "x")
    assert status == {
        "source_KME_ID": "kme-a", "target_KME_ID": "kme-b", "master_SAE_ID": "alice", "slave_SAE_ID": "bob",
        "key_size": 256, "stored_key_count": 0, "max_key_count": 100, "max_key_per_request": 10,
        "max_key_size": 1024, "min_key_size": 64, "max_SAE_ID_count": 3,
        "status_extension": {
            "qcall_simulated": True,
            "qcall_keys_left": int(link.ends[0].level(world.now)) // 512,
            "qcall_keys_per_second": pytest.approx(link.quality.rate / 512, abs=1e-3),
            "qcall_calls": 0,
            "qcall_route": ["a", "x", "b"],
            "qcall_faults": [],
            "qcall_hops": [
                {
                    "a": a, "b": b, "km": 30, "pool": 1 << 20, "capacity": 1 << 20, "state": "up",
                    "rate": round(link.quality.rate, 1), "qber": round(link.quality.qber, 5),
                }
                for a, b in (("a", "x"), ("x", "b"))
            ],
        },
    }  # fmt: skip


async def test_status_counts_the_stock_of_a_pair_in_use(world: World) -> None:
    await world.ok("alice", "bob/status")
    await world.fill()
    assert (await world.ok("alice", "bob/status"))["stored_key_count"] == 2
    await world.key()
    assert (await world.ok("alice", "bob/status"))["stored_key_count"] == 1


async def test_a_stock_is_as_large_as_what_the_pair_lately_used_and_ends_with_its_use(world: World) -> None:
    await world.ok("alice", "bob/enc_keys?number=5")
    await world.fill()
    assert world.stores["kme-a"].count_stock("kme-b", world.now) == 5
    await world.ok("alice", "bob/enc_keys?number=10")
    await world.ok("alice", "bob/enc_keys?number=10")
    await world.fill()
    assert world.stores["kme-a"].count_stock("kme-b", world.now) == 16
    world.now += 121
    world.stores["kme-a"].clear_stock("kme-b")
    await world.fill()
    assert world.stores["kme-a"].count_stock("kme-b", world.now) == 0


async def test_a_pair_without_a_way_does_not_keep_another_from_its_stock(world: World) -> None:
    await world.ok("alice", "bob/status")
    await world.ok("alice", "carol/status")
    world.network.cut("b", "c", world.now)
    await world.fill()
    assert (await world.ok("alice", "bob/status"))["stored_key_count"] == 2
    assert (await world.ok("alice", "carol/status"))["stored_key_count"] == 0


# Get key (clause 5.2)


@pytest.mark.parametrize(
    ("path", "body", "number", "size"),
    [
        ("bob/enc_keys", None, 1, 256),
        ("bob/enc_keys?number=3&size=1024", None, 3, 1024),
        ("bob/enc_keys?size=64", None, 1, 64),
        ("bob/enc_keys", {}, 1, 256),
        ("bob/enc_keys", b"", 1, 256),
        ("bob/enc_keys", {"number": 2, "size": 320}, 2, 320),
        ("bob/enc_keys", {"number": None, "extension_optional": [{"acme_colour": "red"}]}, 1, 256),
    ],
)
async def test_get_key_gives_number_and_size_that_were_asked(
    world: World, path: str, body: object, number: int, size: int
) -> None:
    reply = await world.ask("alice", path, body, method="GET" if body is None else "POST")
    keys = json.loads(reply.body)["keys"]
    assert (len(keys), len({key["key_ID"] for key in keys})) == (number, number)
    assert {len(base64.b64decode(key["key"])) * 8 for key in keys} == {size}
    for key in keys:
        assert (await world.fetch(key["key_ID"]))["key"] == key["key"]


async def test_a_key_tells_its_path_and_that_it_is_simulated(world: World) -> None:
    extension = (await world.key())["key_extension"]
    assert extension["qcall_route"] == ["a", "x", "b"]
    assert len(extension["qcall_qber"]) == len(extension["qcall_age"]) == 2
    assert extension["qcall_simulated"] is True


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"size": 100}, "size shall be a multiple of 8"),
        ({"size": 56}, "size shall be between 64 and 1024"),
        ({"size": 2048}, "size shall be between 64 and 1024"),
        ({"number": 0}, "number shall be between 1 and 10"),
        ({"number": 11}, "number shall be between 1 and 10"),
        ({"extension_mandatory": [{"acme_colour": "red"}]}, UNSUPPORTED),
        ({"extension_mandatory": [{"qcall_max_hops": 1}]}, UNMET),
        ({"extension_mandatory": [{"qcall_max_hops": "x"}]}, UNMET),
        ({"extension_mandatory": [{"qcall_seal": {}}]}, UNMET),
        ({"extension_mandatory": [{"qcall_disjoint_paths": 3}]},
         UNMET),
        ({"extension_mandatory": [{"qcall_route": ["a", "b"]}]},
         UNMET),
        ({"additional_slave_SAE_IDs": ["bob"]}, "a slave SAE is named twice"),
        ({"additional_slave_SAE_IDs": ["1", "2", "3", "4"]}, "at most 3 additional_slave_SAE_IDs"),
        ({"additional_slave_SAE_IDs": ["nobody"]}, "a slave SAE is not known to this KME"),
        ({"number": "two"}, BAD_NUMBER),
    ],
)  # fmt: skip
async def test_what_cannot_be_granted_is_a_400_with_the_mandated_text(
    world: World, asked: dict[str, Any], message: str
) -> None:
    assert await world.refused(400, "alice", "bob/enc_keys", asked) == message


async def test_an_unknown_mandatory_extension_is_named_in_the_details(world: World) -> None:
    reply = await world.ask("alice", "bob/enc_keys", {"extension_mandatory": [{"acme_colour": 1}]})
    assert json.loads(reply.body)["details"] == [{"parameter": "acme_colour"}]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b'{"extension_mandatory":{}}'])
async def test_a_malformed_body_is_a_400(world: World, body: bytes) -> None:
    assert "data format" in await world.refused(400, "alice", "bob/enc_keys", body)


@pytest.mark.parametrize("query", ["number=x", "key_ID=1", "number=1&number=2"])
async def test_a_malformed_query_is_a_400(world: World, query: str) -> None:
    await world.refused(400, "alice", f"bob/enc_keys?{query}")


async def test_a_slave_that_nobody_knows_is_a_400(world: World) -> None:
    assert "not known" in await world.refused(400, "alice", "nobody/enc_keys", {})


async def test_an_empty_network_is_a_503(world: World) -> None:
    for state in world.network.states:
        world.network.drain(state.link.a, state.link.b, world.now)
    assert "key" in await world.refused(503, "alice", "bob/enc_keys", {})


async def test_a_master_whose_keys_nobody_fetches_is_stopped(world: World) -> None:
    for _ in range(10):
        await world.ok("alice", "anna/enc_keys", {"number": 10})
    assert "wait for their slaves" in await world.refused(503, "alice", "anna/enc_keys", {})
    assert (await world.ask("anna", "alice/enc_keys", {})).status == 200


async def test_a_master_that_takes_more_than_its_share_is_told_to_wait(world: World) -> None:
    # The default burst is 256 keys of 256 bits.
    for _ in range(6):
        for key in (await world.ok("alice", "anna/enc_keys", {"number": 10, "size": 1024}))["keys"]:
            await world.fetch(key["key_ID"], "anna")
    reply = await world.ask("alice", "anna/enc_keys", {"number": 10, "size": 1024})
    assert (reply.status, json.loads(reply.body)["details"]) == (503, [{"code": "quota"}])
    world.now += int(dict(reply.headers)["Retry-After"])
    assert (await world.ask("alice", "anna/enc_keys", {"number": 10, "size": 1024})).status == 200


async def test_the_budget_of_a_status_falls_with_the_links(world: World) -> None:
    before = (await world.ok("alice", "bob/status"))["status_extension"]["qcall_keys_left"]
    await world.key()
    assert (await world.ok("alice", "bob/status"))["status_extension"]["qcall_keys_left"] == before - 1
    for state in world.network.states:
        world.network.cut(state.link.a, state.link.b, world.now)
    extension = (await world.ok("alice", "bob/status"))["status_extension"]
    assert (extension["qcall_keys_left"], extension["qcall_keys_per_second"]) == (0, 0)


# Get key with key IDs (clause 5.3)


async def test_get_with_one_key_id_in_the_query(world: World) -> None:
    key = await world.key()
    got = await world.ok("bob", f"alice/dec_keys?key_ID={key['key_ID']}")
    assert got["keys"][0]["key"] == key["key"]


async def test_several_keys_come_in_the_order_asked(world: World) -> None:
    made = (await world.ok("alice", "bob/enc_keys", {"number": 3}))["keys"]
    ids = [key["key_ID"] for key in reversed(made)]
    got = await world.ok("bob", "alice/dec_keys", {"key_IDs": [{"key_ID": key_id} for key_id in ids]})
    assert [key["key_ID"] for key in got["keys"]] == ids


async def test_a_second_retrieval_finds_nothing(world: World) -> None:
    key_id = (await world.key())["key_ID"]
    await world.fetch(key_id)
    body = {"key_IDs": [{"key_ID": key_id}]}
    message = await world.refused(400, "bob", "alice/dec_keys", body)
    assert message == "one or more keys specified are not found on KME"


@pytest.mark.parametrize("again", [0, 1], ids=["unknown", "named twice"])
async def test_with_one_key_not_found_none_is_given(world: World, again: int) -> None:
    key_id = (await world.key())["key_ID"]
    other = key_id if again else "b4a7e6a0-0000-4000-8000-000000000000"
    body = {"key_IDs": [{"key_ID": key_id}, {"key_ID": other}]}
    message = await world.refused(400, "bob", "alice/dec_keys", body)
    assert message == "one or more keys specified are not found on KME"
    assert await world.fetch(key_id)


async def test_who_was_not_named_as_slave_is_401(world: World) -> None:
    key_id = (await world.key())["key_ID"]
    body = {"key_IDs": [{"key_ID": key_id}]}
    assert "did not name this SAE" in await world.refused(401, "berta", "alice/dec_keys", body)
    assert await world.fetch(key_id)


async def test_a_key_under_another_masters_name_is_not_found(world: World) -> None:
    body = {"key_IDs": [{"key_ID": (await world.key())["key_ID"]}]}
    await world.refused(400, "bob", "anna/dec_keys", body)


@pytest.mark.parametrize("body", [{"key_IDs": []}, {}, {"key_IDs": [{"key_ID": str(i)} for i in range(11)]}])
async def test_no_key_id_or_too_many_is_a_400(world: World, body: object) -> None:
    await world.refused(400, "bob", "alice/dec_keys", body)


async def test_a_key_that_nobody_fetched_in_time_is_gone(world: World) -> None:
    key_id = (await world.key())["key_ID"]
    world.now += 301
    await world.refused(400, "bob", "alice/dec_keys", {"key_IDs": [{"key_ID": key_id}]})


async def test_a_key_id_does_not_depend_on_case_of_json_or_order_of_calls(world: World) -> None:
    first, second = await world.key(), await world.key()
    assert (await world.fetch(second["key_ID"]))["key"] == second["key"]
    assert (await world.fetch(first["key_ID"]))["key"] == first["key"]
    assert first["key"] != second["key"]


# Who may ask what


async def test_an_sae_of_another_key_node_is_401(world: World) -> None:
    assert "not served by kme-b" in await world.refused(401, "alice", "bob/enc_keys", {}, kme="kme-b")


async def test_an_sae_that_is_not_enrolled_is_401(world: World) -> None:
    await world.refused(401, "stranger", "bob/status")


@pytest.mark.parametrize("path", ["bob", "bob/other", "/enc_keys", "a/b/enc_keys"])
async def test_another_path_is_a_404_with_a_message(world: World, path: str) -> None:
    assert "no such path" in await world.refused(404, "alice", path)


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("bob/enc_keys", "DELETE", "GET, POST"),
        ("bob/dec_keys", "PUT", "GET, POST"),
        ("bob/status", "POST", "GET"),
    ],
)
async def test_another_method_is_a_405_that_says_which(
    world: World, path: str, method: str, allow: str
) -> None:
    reply = await world.ask("alice", path, {}, method=method)
    assert (reply.status, dict(reply.headers)["Allow"]) == (405, allow)
    assert json.loads(reply.body)["message"]


# One site, many slaves, arrival


async def test_an_sae_may_be_its_own_slave(world: World) -> None:
    key = await world.key("alice", "alice")
    assert (await world.fetch(key["key_ID"], "alice", "alice"))["key"] == key["key"]


async def test_two_saes_of_one_site_need_no_quantum_link(world: World) -> None:
    before = world.network.relayed
    key = await world.key("alice", "anna")
    assert key["key_extension"]["qcall_route"] == ["a"]
    assert (await world.fetch(key["key_ID"], "anna"))["key"] == key["key"]
    assert world.network.relayed == before


async def test_a_compromised_key_node_gives_away_what_it_makes_for_its_own_saes(world: World) -> None:
    world.network.compromise("a")
    key = await world.key("alice", "anna")
    assert list(world.network.captured["a"]) == [(key["key_ID"], base64.b64decode(key["key"]))]


async def test_a_request_that_fails_half_way_burns_no_key_and_no_quota(world: World) -> None:
    world.services["kme-a"]._quota = quota = Quota(1e-9, 64)
    world.network.drain("b", "x", world.now)
    world.network.cut("a", "y", world.now)
    for end in world.network.state("b", "x").ends:
        end.set_rate(4 * 512.0, world.now)
    world.now += 1
    for end in world.network.state("b", "x").ends:
        end.set_rate(0.0, world.now)
    reply = await world.ask("alice", "bob/enc_keys", {"number": 8})
    assert reply.status == 503
    assert (
        world.stores["kme-a"].count_stock("kme-b", world.now) + world.network.budget("a", "b", world.now)[0]
        == 4
    )
    assert quota.take("alice", 64, world.now) == 0
    got = await world.ok("anna", "bob/enc_keys", {"number": 4})
    for key in got["keys"]:
        assert (await world.fetch(key["key_ID"], master="anna"))["key"] == key["key"]


async def test_keys_that_may_not_wait_at_another_site_go_back_into_stock(world: World) -> None:
    world.stores["kme-b"]._waiting_of["alice"] = 1024  # type: ignore[attr-defined]
    await world.refused(503, "alice", "bob/enc_keys", {"number": 3})
    assert world.stores["kme-a"].count_stock("kme-b", world.now) == 3


async def test_a_group_whose_key_does_not_reach_all_gets_another_one(world: World) -> None:
    lost: list[str] = []

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        if receiver == "c" and not lost:
            lost.append(sender)
            return b"lost"
        return frame

    world.network.channel = channel
    seen: list[tuple[str, str]] = []
    world.network.observe(lambda node, key_id, key: seen.append((node, key_id)))
    made = await world.ok("alice", "bob/enc_keys", {"additional_slave_SAE_IDs": ["carol"]})
    [key] = made["keys"]
    assert len({key_id for _, key_id in seen}) == 2
    for slave in ("bob", "carol"):
        assert (await world.fetch(key["key_ID"], slave))["key"] == key["key"]


async def test_a_group_at_three_sites_gets_one_key_each_member_once(world: World) -> None:
    world.supplies["kme-a"].stored("kme-b", world.now)
    await world.fill()
    others = ["berta", "carol", "anna"]
    made = await world.ok(
        "alice", "bob/enc_keys", {"number": 2, "size": 512, "additional_slave_SAE_IDs": others}
    )
    for key in made["keys"]:
        for slave in ("bob", *others):
            assert (await world.fetch(key["key_ID"], slave))["key"] == key["key"]
            body = {"key_IDs": [{"key_ID": key["key_ID"]}]}
            await world.refused(400, slave, "alice/dec_keys", body)


async def test_a_key_relayed_on_demand_is_answered_when_it_has_arrived(world: World) -> None:
    reply = await world.ask("alice", "bob/enc_keys", {})
    assert reply.delay == pytest.approx(world.network.topology.delay(("a", "x", "b")), abs=1e-6)


async def test_a_key_from_stock_is_answered_at_once_but_its_slave_learns_of_it_no_sooner_than_light(
    world: World,
) -> None:
    world.supplies["kme-a"].stored("kme-b", world.now)
    await world.fill()
    world.now += 1
    reply = await world.ask("alice", "bob/enc_keys", {})
    assert reply.delay == 0
    body = {"key_IDs": [{"key_ID": reply.key_ids[0]}]}
    assert (await world.ask("bob", "alice/dec_keys", body)).delay >= 60 * 4.9e-6


async def test_a_slave_node_that_lost_its_store_is_a_503_and_then_all_is_well(world: World) -> None:
    world.supplies["kme-a"].stored("kme-b", world.now)
    await world.fill()
    world.stores["kme-b"].expire(world.now + 10**6)
    await world.refused(503, "alice", "bob/enc_keys", {})
    key = await world.key()
    assert (await world.fetch(key["key_ID"]))["key"] == key["key"]


# Extensions


async def test_disjoint_paths_give_a_key_that_names_both(world: World) -> None:
    key = await world.key(extension_mandatory=[{"qcall_disjoint_paths": 2}])
    assert sorted(key["key_extension"]["qcall_route"]) == [["a", "x", "b"], ["a", "y", "b"]]
    assert (await world.fetch(key["key_ID"]))["key"] == key["key"]


async def test_the_route_wanted_is_the_route_taken(world: World) -> None:
    key = await world.key(extension_mandatory=[{"qcall_route": ["a", "y", "b"]}, {"qcall_max_hops": 2}])
    assert key["key_extension"]["qcall_route"] == ["a", "y", "b"]


async def test_an_optional_wish_falls_when_it_cannot_be_met(world: World) -> None:
    assert await world.key(extension_optional=[{"qcall_max_hops": 1}, {"qcall_seal": "nonsense"}])


async def test_an_optional_wish_is_met_when_it_can_be(world: World) -> None:
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


async def test_a_sealed_key_opens_with_the_one_time_key_and_is_said_to_be_sealed(world: World) -> None:
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
async def test_a_sealed_key_opens_only_as_what_it_is(world: World, wrong: str) -> None:
    opener, asked = one_time()
    key = await world.key(extension_mandatory=[asked])
    bound = {"kme": "kme-a", "master": "alice", "slave": "bob", "key_id": key["key_ID"]} | {wrong: "x"}
    info = etsi014.seal_info(bound["kme"], bound["master"], bound["slave"], bound["key_id"])
    with pytest.raises(InvalidTag):
        SUITE.decrypt(base64.b64decode(key["key"]), opener, info)


async def test_a_key_request_that_cannot_be_sealed_as_it_must_delivers_nothing(world: World) -> None:
    before = world.network.relayed
    asked = {"extension_mandatory": [{"qcall_seal": {"public_key": base64.b64encode(bytes(1665)).decode()}}]}
    await world.refused(400, "alice", "bob/enc_keys", asked)
    assert world.network.relayed == before


async def test_a_seal_that_cannot_be_understood_on_retrieval_leaves_the_key_in_place(world: World) -> None:
    key_id = (await world.key())["key_ID"]
    body = {"key_IDs": [{"key_ID": key_id}], "key_IDs_extension": {"qcall_seal": {"kem": "none"}}}
    assert (await world.ask("bob", "alice/dec_keys", body)).status == 400
    assert await world.fetch(key_id)


# Fair sharing


async def test_with_low_pools_the_keys_are_shared_and_a_call_too_many_is_told_why(world: World) -> None:
    for state in world.network.states:
        world.network.eavesdrop(state.link.a, state.link.b, 0.2, world.now)  # no more key is made
        world.network.drain(state.link.a, state.link.b, world.now)
    for a, b in (("a", "x"), ("x", "b")):
        for end in world.network.state(a, b).ends:
            end.set_rate(4 * 512.0, world.now)
    world.now += 1
    for a, b in (("a", "x"), ("x", "b")):
        for end in world.network.state(a, b).ends:
            end.set_rate(0.0, world.now)
    await world.key("alice")
    await world.key("anna")
    await world.key("alice")
    reply = await world.ask("alice", "bob/enc_keys", {})
    assert reply.status == 503
    assert json.loads(reply.body)["details"] == [{"code": "fair-share"}]
    assert dict(reply.headers)["Retry-After"] == "90"
    await world.key("anna", "berta")
    status = await world.ok("alice", "bob/status")
    assert (status["status_extension"]["qcall_calls"], status["status_extension"]["qcall_keys_left"]) == (
        2,
        0,
    )
    world.now += 91
    assert "has key on every hop" in await world.refused(503, "alice", "bob/enc_keys", {})


async def test_too_many_keys_of_one_master_do_not_wait_at_another_site(world: World) -> None:
    world.stores["kme-b"]._waiting_of["alice"] = 1024  # type: ignore[attr-defined]
    assert "fetch them first" in await world.refused(503, "alice", "bob/enc_keys", {})
    await world.key("anna")
