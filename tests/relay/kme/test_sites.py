"""One site and several: keys for neighbours, for groups, and no sooner than light; fair shares of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from relay.kme.quota import Quota
from relay.kme.service import Limits
from relay.network.topology import parse
from tests.relay.kme.three_sites import TEXT, TOPOLOGY, ThreeSites
from tests.relay.worlds import World

# One site, many slaves, arrival


async def test_an_sae_may_be_its_own_slave(world: ThreeSites) -> None:
    key = await world.key("alice", "alice")
    assert (await world.fetch(key["key_ID"], "alice", "alice"))["key"] == key["key"]


async def test_two_saes_of_one_site_need_no_quantum_link(world: ThreeSites) -> None:
    before = world.network.relayed
    key = await world.key("alice", "anna")
    assert key["key_extension"]["qcall_route"] == ["a"]
    assert (await world.fetch(key["key_ID"], "anna"))["key"] == key["key"]
    assert world.network.relayed == before


async def test_a_compromised_key_node_gives_away_what_it_makes_for_its_own_saes(world: ThreeSites) -> None:
    await world.network.disturb("compromise", "a")
    key = await world.key("alice", "anna")
    assert world.network.captured("a") == [(key["key_ID"], base64.b64decode(key["key"]))]


async def test_a_request_that_fails_half_way_burns_no_key_and_no_quota(world: ThreeSites) -> None:
    world.services["kme-a"]._quota = quota = Quota(1e-9, 64)
    await world.left_with(4, ("a", "x"), ("x", "b"))
    reply = await world.ask("alice", "bob/enc_keys", {"number": 8})
    assert reply.status == 503
    assert (
        world.stores["kme-a"].count_stock("kme-b", world.now)
        + world.network.carriers["kme-a"].budget("kme-b")[0]
        == 4
    )
    assert quota.take("alice", 64, world.now) == 0
    got = await world.ok("anna", "bob/enc_keys", {"number": 4})
    for key in got["keys"]:
        assert (await world.fetch(key["key_ID"], master="anna"))["key"] == key["key"]


async def test_keys_that_may_not_wait_at_another_site_go_back_into_stock(world: ThreeSites) -> None:
    world.stores["kme-b"]._waiting_of["alice"] = 1024  # type: ignore[attr-defined]
    await world.refused(503, "alice", "bob/enc_keys", {"number": 3})
    assert world.stores["kme-a"].count_stock("kme-b", world.now) == 3


async def test_a_group_whose_key_does_not_reach_all_gets_another_one(
    kind: type[World], tmp_path: Path
) -> None:
    """Over two ways to c: nodes of their own leave a link that failed out for three seconds."""
    another = '{ a = "y", b = "c", km = 60 },\n]'
    world = ThreeSites(
        await kind.start(tmp_path, parse(TEXT.replace("\n]", f"\n{another}"), "test")), Limits()
    )
    lost: list[str] = []

    def channel(sender: str, receiver: str, frame: bytes) -> bytes:
        if receiver == "c" and not lost:
            lost.append(sender)
            return b"lost"
        return frame

    world.network.channel = channel
    await world.network.disturb("compromise", "a")
    made = await world.ok("alice", "bob/enc_keys", {"additional_slave_SAE_IDs": ["carol"]})
    [key] = made["keys"]
    assert len({key_id for key_id, _ in world.network.captured("a") or ()}) == 2
    for slave in ("bob", "carol"):
        assert (await world.fetch(key["key_ID"], slave))["key"] == key["key"]
    world.network.close()


async def test_a_group_at_three_sites_gets_one_key_each_member_once(world: ThreeSites) -> None:
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


async def test_a_key_relayed_on_demand_is_answered_when_it_has_arrived(world: ThreeSites) -> None:
    reply = await world.ask("alice", "bob/enc_keys", {})
    assert reply.delay == pytest.approx(TOPOLOGY.delay(("a", "x", "b")), abs=1e-6)


async def test_a_key_from_stock_is_answered_at_once_but_its_slave_learns_of_it_no_sooner_than_light(
    world: ThreeSites,
) -> None:
    world.supplies["kme-a"].stored("kme-b", world.now)
    await world.fill()
    world.now += 1
    reply = await world.ask("alice", "bob/enc_keys", {})
    assert reply.delay == 0
    body = {"key_IDs": [{"key_ID": reply.key_ids[0]}]}
    assert (await world.ask("bob", "alice/dec_keys", body)).delay >= 60 * 4.9e-6


async def test_a_slave_node_that_lost_its_store_is_a_503_and_then_all_is_well(world: ThreeSites) -> None:
    world.supplies["kme-a"].stored("kme-b", world.now)
    await world.fill()
    world.stores["kme-b"].expire(world.now + 10**6)
    await world.refused(503, "alice", "bob/enc_keys", {})
    key = await world.key()
    assert (await world.fetch(key["key_ID"]))["key"] == key["key"]


# Fair sharing


async def test_with_low_pools_the_keys_are_shared_and_a_call_too_many_is_told_why(world: ThreeSites) -> None:
    await world.left_with(4, ("a", "x"), ("x", "b"))
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
    await world.network.settle()
    assert "has key on every hop" in await world.refused(503, "alice", "bob/enc_keys", {})


async def test_too_many_keys_of_one_master_do_not_wait_at_another_site(world: ThreeSites) -> None:
    world.stores["kme-b"]._waiting_of["alice"] = 1024  # type: ignore[attr-defined]
    assert "fetch them first" in await world.refused(503, "alice", "bob/enc_keys", {})
    await world.key("anna")
