"""What SAEs get of a quantum network over real mutual TLS, wherever its nodes run.

Who may draw how much when pools run low is in ``tests/relay/kme``, by virtual time and over both makes too:
the real time that a window of draws takes is a minute and a half. What only nodes in processes of their own
can show (one is killed alone, they have addresses of their own) is in ``test_kme_processes``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable

import pytest
import pytest_asyncio

from qcall.errors import RelayRefused, Unavailable
from qcall.net.kme import KeyNode, QkdKey
from scripts.demonstration.stage import Begin, stage
from tests.e2e.key_network import MAKES, OTHER, USUAL, KeyNetwork, sees, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOT_FOUND = "one or more keys specified are not found on KME"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MAKES)
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, programs: Begin
) -> AsyncIterator[KeyNetwork]:
    """A network that all tests of this file share: each enrols SAEs of its own."""
    async with stage(tmp_path_factory.mktemp("network"), programs) as theatre:
        made = MAKES[request.param](theatre)
        await made.start()
        yield made
        await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def network(running: KeyNetwork) -> AsyncIterator[KeyNetwork]:
    """The network with every link up, when a test begins and again when it has ended."""
    await running.well()
    yield running
    await running.well()


async def keyed(phone: KeyNode, other: KeyNode, path: tuple[str, ...]) -> QkdKey:
    """The first key that came along ``path``: stock that came another way and is good still goes first."""
    found: list[QkdKey] = []

    async def drawn() -> bool:
        found[:] = await phone.enc_keys(other.sae_id)
        return found[0].path == path

    await until(drawn)
    return found[0]


async def refused(asked: Awaitable[object], code: str) -> str:
    """The text of a refusal."""
    with pytest.raises((RelayRefused, Unavailable)) as said:
        await asked
    assert said.value.code == code
    return str(said.value)


# Delivery


async def test_both_sites_get_the_same_key_once_and_nobody_else_gets_it(network: KeyNetwork) -> None:
    alice, bob, eve = network.phone("alice", "a"), network.phone("bob", "b"), network.phone("eve", "b")
    [sent] = await alice.enc_keys(bob.sae_id)
    await refused(eve.dec_keys(alice.sae_id, [sent.key_id]), "qkd-unauthorized")
    [got] = await bob.dec_keys(alice.sae_id, [sent.key_id])
    assert (got.key, got.path, got.extension["qcall_qber"]) == (
        sent.key,
        sent.path,
        sent.extension["qcall_qber"],
    )
    assert sent.path == USUAL
    await refused(bob.dec_keys(alice.sae_id, [sent.key_id]), "qkd-key-not-found")


async def test_another_vendors_sae_gets_plain_keys_and_ours_the_same_ones_sealed(network: KeyNetwork) -> None:
    anna, bob = network.phone("anna", "a"), network.phone("bob", "b")
    status, container = await network.plain(anna, f"{bob.sae_id}/enc_keys?number=2&size=256")
    assert (status, len(container["keys"])) == (200, 2)
    status, posted = await network.plain(anna, f"{bob.sae_id}/enc_keys", {"number": 1})
    keys = [*container["keys"], *posted["keys"]]
    got = await bob.dec_keys(anna.sae_id, [key["key_ID"] for key in keys])  # which takes sealed keys only
    assert [base64.b64decode(key["key"]) for key in keys] == [key.key.reveal() for key in got]


async def test_a_group_at_three_sites_gets_one_key_each_member_once(network: KeyNetwork) -> None:
    alice = network.phone("alice", "a")
    members = [network.phone(name, site) for name, site in (("bob", "b"), ("carol", "c"), ("anna", "a"))]
    asked = {"additional_slave_SAE_IDs": [each.sae_id for each in members[1:]]}
    status, made = await network.plain(alice, f"{members[0].sae_id}/enc_keys", asked)
    assert status == 200, made
    [key] = made["keys"]
    for member in members:
        [got] = await member.dec_keys(alice.sae_id, [key["key_ID"]])
        assert got.key.reveal() == base64.b64decode(key["key"])
        await refused(member.dec_keys(alice.sae_id, [key["key_ID"]]), "qkd-key-not-found")


async def test_a_pair_in_use_has_a_stock_which_is_told(network: KeyNetwork) -> None:
    carol, bob = network.phone("carol", "c"), network.phone("bob", "b")

    async def filled() -> bool:
        return (await carol.status(bob.sae_id)).stored_key_count >= 2

    await until(filled)
    assert (await carol.enc_keys(bob.sae_id))[0].path == ("c", "b")


async def test_disjoint_shares_make_one_key_that_names_both_ways(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    asked = {"extension_mandatory": [{"qcall_disjoint_paths": 2}]}
    _, made = await network.plain(alice, f"{bob.sae_id}/enc_keys", asked)
    [key] = made["keys"]
    assert sorted(map(tuple, key["key_extension"]["qcall_route"])) == [USUAL, OTHER]
    [got] = await bob.dec_keys(alice.sae_id, [key["key_ID"]])
    assert got.key.reveal() == base64.b64decode(key["key"])


async def test_the_route_wanted_is_taken_and_one_that_is_not_there_is_a_400(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    wanted = {"extension_mandatory": [{"qcall_route": list(OTHER)}]}
    _, made = await network.plain(alice, f"{bob.sae_id}/enc_keys", wanted)
    assert made["keys"][0]["key_extension"]["qcall_route"] == list(OTHER)
    wanted = {"extension_mandatory": [{"qcall_max_hops": 1}]}
    status, said = await network.plain(alice, f"{bob.sae_id}/enc_keys", wanted)
    assert (status, said["message"]) == (400, "not all extension_mandatory request options could be met")


# Who may


async def test_who_is_revoked_is_refused_at_once_and_is_nobodys_slave(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    [held] = await alice.enc_keys(bob.sae_id)
    network.authority.revoke_sae(alice.sae_id)
    assert "revoked" in await refused(alice.enc_keys(bob.sae_id), "qkd-unauthorized")
    assert "not known" in await refused(bob.enc_keys(alice.sae_id), "qkd-refused")
    assert (await bob.dec_keys(alice.sae_id, [held.key_id]))[0].key == held.key


async def test_who_takes_more_than_its_share_waits_while_its_neighbour_does_not(network: KeyNetwork) -> None:
    greedy, anna = network.phone("greedy", "a"), network.phone("anna", "a")

    async def taken() -> None:
        for _ in range(8):  # which are 512 keys; 256 may be taken at once
            await greedy.enc_keys(anna.sae_id, number=64)

    assert "more than its share" in await refused(taken(), "qkd-quota")
    assert await anna.enc_keys(greedy.sae_id)


async def test_audit_logs_name_every_key_and_hold_none(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    [sent] = await alice.enc_keys(bob.sae_id)
    await bob.dec_keys(alice.sae_id, [sent.key_id])
    written = b"".join(file.read_bytes() for file in network.audits())
    lines = [json.loads(line) for line in written.splitlines()]
    mine = [(line["sae"], line["kme"]) for line in lines if line["key_ids"] == [sent.key_id]]
    assert mine == [(alice.sae_id, "kme-a"), (bob.sae_id, "kme-b")]
    raw = sent.key.reveal()
    assert all(shown not in written for shown in (raw, raw.hex().encode(), base64.b64encode(raw)))


# Faults


async def test_keys_go_around_a_cut_fibre_and_back_once_it_is_mended(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    await network.fault("cut", "x", "b")
    await until(lambda: sees(alice, bob, OTHER, ("x", "b", "cut")))
    assert {link["condition"] for link in (await network.keys.report())["links"]} == {"up", "cut"}
    key = await keyed(alice, bob, OTHER)
    assert (await bob.dec_keys(alice.sae_id, [key.key_id]))[0].key == key.key
    await network.fault("restore", "x", "b")
    await until(lambda: sees(alice, bob, USUAL))
    await keyed(alice, bob, USUAL)


async def test_an_alarm_voids_what_crossed_its_link_and_keys_go_around_it(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    waiting = await keyed(alice, bob, USUAL)
    await network.fault("eve", "a", "x")
    assert NOT_FOUND in await refused(bob.dec_keys(alice.sae_id, [waiting.key_id]), "qkd-key-not-found")
    await until(lambda: sees(alice, bob, OTHER, ("a", "x", "alarm")))
    [key] = await alice.enc_keys(bob.sae_id)
    assert key.path == OTHER, "no stock that crossed the link is left"
    assert (await bob.dec_keys(alice.sae_id, [key.key_id]))[0].key == key.key


async def test_a_drained_pool_that_nothing_fills_is_gone_around(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    await network.fault("eve", "x", "b", share=0.2)  # too few to alarm, too many for key
    await network.fault("drain", "x", "b")
    await keyed(alice, bob, OTHER)
    await until(lambda: sees(alice, bob, OTHER, ("x", "b", "no-key")))


async def test_with_every_way_cut_a_key_is_refused_with_the_reason(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    for link in (("a", "x"), ("y", "a")):
        await network.fault("cut", *link)
        await network.fault("drain", *link)
    assert "no path from a to b has key on every hop" in await refused(
        alice.enc_keys(bob.sae_id), "qkd-depleted"
    )


async def test_a_compromised_node_holds_the_keys_that_crossed_it_until_it_is_honest(
    network: KeyNetwork,
) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")

    async def held() -> dict[str, int]:
        compromised: dict[str, int] = (await network.keys.report())["compromised"]
        return compromised

    await network.fault("compromise", "y")
    asked = {"extension_mandatory": [{"qcall_route": list(OTHER)}], "number": 3}
    assert (await network.plain(alice, f"{bob.sae_id}/enc_keys", asked))[0] == 200
    assert (await held())["y"] >= 3, "and stock that went the same way"
    await network.fault("restore", "y")
    assert await held() == {}


async def test_a_site_that_was_killed_keeps_what_waits_and_repeats_nothing(network: KeyNetwork) -> None:
    alice, bob = network.phone("alice", "a"), network.phone("bob", "b")
    fetched, left = await alice.enc_keys(bob.sae_id, number=2)
    await bob.dec_keys(alice.sae_id, [fetched.key_id])
    await network.restart("b")
    await refused(bob.dec_keys(alice.sae_id, [fetched.key_id]), "qkd-key-not-found")
    assert (await bob.dec_keys(alice.sae_id, [left.key_id]))[0].key == left.key
    key = await keyed(alice, bob, USUAL)
    assert key.key_id not in (fetched.key_id, left.key_id)
