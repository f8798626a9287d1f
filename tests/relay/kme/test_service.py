"""ETSI GS QKD 014 to the letter: every method, every mandated error, over real stores and a real network.

All of it runs twice: over nodes in one process, and over nodes in processes of their own.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.relay.kme.three_sites import TOPOLOGY, ThreeSites

UNSUPPORTED = "not all extension_mandatory parameters are supported"
UNMET = "not all extension_mandatory request options could be met"
BAD_NUMBER = "request does not follow the data format: Expected `int | null`, got `str` - at `$.number`"


# Status (clause 5.1)


async def test_status_has_every_field_of_the_standard(world: ThreeSites) -> None:
    status, end = await world.ok("alice", "bob/status"), world.network.ends("a", "x")[0]
    at = TOPOLOGY.link("a", "x").quality()
    assert status == {
        "source_KME_ID": "kme-a", "target_KME_ID": "kme-b", "master_SAE_ID": "alice", "slave_SAE_ID": "bob",
        "key_size": 256, "stored_key_count": 0, "max_key_count": 100, "max_key_per_request": 10,
        "max_key_size": 1024, "min_key_size": 64, "max_SAE_ID_count": 3,
        "status_extension": {
            "qcall_simulated": True,
            "qcall_keys_left": int(end.level(world.now)) // 512,
            "qcall_keys_per_second": pytest.approx(at.rate / 512, abs=1e-3),
            "qcall_calls": 0,
            "qcall_route": ["a", "x", "b"],
            "qcall_faults": [],
            "qcall_hops": [
                {
                    "a": a, "b": b, "km": 30, "pool": 1 << 20, "capacity": 1 << 20, "state": "up",
                    "rate": round(at.rate, 1), "qber": round(at.qber, 5),
                }
                for a, b in (("a", "x"), ("x", "b"))
            ],
        },
    }  # fmt: skip


async def test_status_counts_the_stock_of_a_pair_in_use(world: ThreeSites) -> None:
    await world.ok("alice", "bob/status")
    await world.fill()
    assert (await world.ok("alice", "bob/status"))["stored_key_count"] == 2
    await world.key()
    assert (await world.ok("alice", "bob/status"))["stored_key_count"] == 1


async def test_a_stock_is_as_large_as_what_the_pair_lately_used_and_ends_with_its_use(
    world: ThreeSites,
) -> None:
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


async def test_a_pair_without_a_way_does_not_keep_another_from_its_stock(world: ThreeSites) -> None:
    await world.ok("alice", "bob/status")
    await world.ok("alice", "carol/status")
    await world.network.disturb("cut", "b", "c")
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
    world: ThreeSites, path: str, body: object, number: int, size: int
) -> None:
    reply = await world.ask("alice", path, body, method="GET" if body is None else "POST")
    keys = json.loads(reply.body)["keys"]
    assert (len(keys), len({key["key_ID"] for key in keys})) == (number, number)
    assert {len(base64.b64decode(key["key"])) * 8 for key in keys} == {size}
    for key in keys:
        assert (await world.fetch(key["key_ID"]))["key"] == key["key"]


async def test_a_key_tells_its_path_and_that_it_is_simulated(world: ThreeSites) -> None:
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
    world: ThreeSites, asked: dict[str, Any], message: str
) -> None:
    assert await world.refused(400, "alice", "bob/enc_keys", asked) == message


async def test_an_unknown_mandatory_extension_is_named_in_the_details(world: ThreeSites) -> None:
    reply = await world.ask("alice", "bob/enc_keys", {"extension_mandatory": [{"acme_colour": 1}]})
    assert json.loads(reply.body)["details"] == [{"parameter": "acme_colour"}]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b'{"extension_mandatory":{}}'])
async def test_a_malformed_body_is_a_400(world: ThreeSites, body: bytes) -> None:
    assert "data format" in await world.refused(400, "alice", "bob/enc_keys", body)


@pytest.mark.parametrize("query", ["number=x", "key_ID=1", "number=1&number=2"])
async def test_a_malformed_query_is_a_400(world: ThreeSites, query: str) -> None:
    await world.refused(400, "alice", f"bob/enc_keys?{query}")


async def test_a_slave_that_nobody_knows_is_a_400(world: ThreeSites) -> None:
    assert "not known" in await world.refused(400, "alice", "nobody/enc_keys", {})


async def test_an_empty_network_is_a_503(world: ThreeSites) -> None:
    await world.each_link("drain")
    assert "key" in await world.refused(503, "alice", "bob/enc_keys", {})


async def test_a_master_whose_keys_nobody_fetches_is_stopped(world: ThreeSites) -> None:
    for _ in range(10):
        await world.ok("alice", "anna/enc_keys", {"number": 10})
    assert "wait for their slaves" in await world.refused(503, "alice", "anna/enc_keys", {})
    assert (await world.ask("anna", "alice/enc_keys", {})).status == 200


async def test_a_master_that_takes_more_than_its_share_is_told_to_wait(world: ThreeSites) -> None:
    # The default burst is 256 keys of 256 bits.
    for _ in range(6):
        for key in (await world.ok("alice", "anna/enc_keys", {"number": 10, "size": 1024}))["keys"]:
            await world.fetch(key["key_ID"], "anna")
    reply = await world.ask("alice", "anna/enc_keys", {"number": 10, "size": 1024})
    assert (reply.status, json.loads(reply.body)["details"]) == (503, [{"code": "quota"}])
    world.now += int(dict(reply.headers)["Retry-After"])
    assert (await world.ask("alice", "anna/enc_keys", {"number": 10, "size": 1024})).status == 200


async def test_keys_that_were_not_had_do_not_count_against_the_share(world: ThreeSites) -> None:
    await world.each_link("cut")
    for _ in range(8):
        reply = await world.ask("alice", "bob/enc_keys", {"number": 10, "size": 1024})
        assert (reply.status, "quota" in reply.body.decode()) == (503, False)
    assert (await world.ask("alice", "anna/enc_keys", {"number": 10, "size": 1024})).status == 200


async def test_the_budget_of_a_status_falls_with_the_links(world: ThreeSites) -> None:
    before = (await world.ok("alice", "bob/status"))["status_extension"]["qcall_keys_left"]
    await world.key()
    assert (await world.ok("alice", "bob/status"))["status_extension"]["qcall_keys_left"] == before - 1
    await world.each_link("cut")
    extension = (await world.ok("alice", "bob/status"))["status_extension"]
    assert (extension["qcall_keys_left"], extension["qcall_keys_per_second"]) == (0, 0)


# Get key with key IDs (clause 5.3)


async def test_get_with_one_key_id_in_the_query(world: ThreeSites) -> None:
    key = await world.key()
    got = await world.ok("bob", f"alice/dec_keys?key_ID={key['key_ID']}")
    assert got["keys"][0]["key"] == key["key"]


async def test_several_keys_come_in_the_order_asked(world: ThreeSites) -> None:
    made = (await world.ok("alice", "bob/enc_keys", {"number": 3}))["keys"]
    ids = [key["key_ID"] for key in reversed(made)]
    got = await world.ok("bob", "alice/dec_keys", {"key_IDs": [{"key_ID": key_id} for key_id in ids]})
    assert [key["key_ID"] for key in got["keys"]] == ids


async def test_a_second_retrieval_finds_nothing(world: ThreeSites) -> None:
    key_id = (await world.key())["key_ID"]
    await world.fetch(key_id)
    body = {"key_IDs": [{"key_ID": key_id}]}
    message = await world.refused(400, "bob", "alice/dec_keys", body)
    assert message == "one or more keys specified are not found on KME"


@pytest.mark.parametrize("again", [0, 1], ids=["unknown", "named twice"])
async def test_with_one_key_not_found_none_is_given(world: ThreeSites, again: int) -> None:
    key_id = (await world.key())["key_ID"]
    other = key_id if again else "b4a7e6a0-0000-4000-8000-000000000000"
    body = {"key_IDs": [{"key_ID": key_id}, {"key_ID": other}]}
    message = await world.refused(400, "bob", "alice/dec_keys", body)
    assert message == "one or more keys specified are not found on KME"
    assert await world.fetch(key_id)


async def test_who_was_not_named_as_slave_is_401(world: ThreeSites) -> None:
    key_id = (await world.key())["key_ID"]
    body = {"key_IDs": [{"key_ID": key_id}]}
    assert "did not name this SAE" in await world.refused(401, "berta", "alice/dec_keys", body)
    assert await world.fetch(key_id)


async def test_a_key_under_another_masters_name_is_not_found(world: ThreeSites) -> None:
    body = {"key_IDs": [{"key_ID": (await world.key())["key_ID"]}]}
    await world.refused(400, "bob", "anna/dec_keys", body)


@pytest.mark.parametrize("body", [{"key_IDs": []}, {}, {"key_IDs": [{"key_ID": str(i)} for i in range(11)]}])
async def test_no_key_id_or_too_many_is_a_400(world: ThreeSites, body: object) -> None:
    await world.refused(400, "bob", "alice/dec_keys", body)


async def test_a_key_that_nobody_fetched_in_time_is_gone(world: ThreeSites) -> None:
    key_id = (await world.key())["key_ID"]
    world.now += 301
    await world.refused(400, "bob", "alice/dec_keys", {"key_IDs": [{"key_ID": key_id}]})


async def test_a_key_id_does_not_depend_on_case_of_json_or_order_of_calls(world: ThreeSites) -> None:
    first, second = await world.key(), await world.key()
    assert (await world.fetch(second["key_ID"]))["key"] == second["key"]
    assert (await world.fetch(first["key_ID"]))["key"] == first["key"]
    assert first["key"] != second["key"]


# Who may ask what


async def test_an_sae_of_another_key_node_is_401(world: ThreeSites) -> None:
    assert "not served by kme-b" in await world.refused(401, "alice", "bob/enc_keys", {}, kme="kme-b")


async def test_an_sae_that_is_not_enrolled_is_401(world: ThreeSites) -> None:
    await world.refused(401, "stranger", "bob/status")


@pytest.mark.parametrize("path", ["bob", "bob/other", "/enc_keys", "a/b/enc_keys"])
async def test_another_path_is_a_404_with_a_message(world: ThreeSites, path: str) -> None:
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
    world: ThreeSites, path: str, method: str, allow: str
) -> None:
    reply = await world.ask("alice", path, {}, method=method)
    assert (reply.status, dict(reply.headers)["Allow"]) == (405, allow)
    assert json.loads(reply.body)["message"]
