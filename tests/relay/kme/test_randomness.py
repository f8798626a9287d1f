"""Keys as two SAEs get them: equal at both ends, uniform, and independent of those before."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest

from relay.kme.service import Limits
from tests.relay.kme.three_sites import TOPOLOGY, ThreeSites
from tests.relay.statistics import LEVEL, MEGABYTES, NIGHTLY, TESTS, xor
from tests.relay.worlds import World

OCTETS = int((MEGABYTES if NIGHTLY else 0.1) * 1_000_000)
AT_ONCE = {"number": 64, "size": 4096}
PAUSE = 30.0
"""Seconds in which the pools fill again."""


@pytest.mark.timeout(1800)  # for the 10 MB of the nightly profile
async def test_what_both_saes_got_is_the_same_uniform_and_independent(
    kind: type[World], tmp_path: Path
) -> None:
    world = await kind.start(tmp_path, TOPOLOGY)
    world.draw.randbytes = secrets.token_bytes  # type: ignore[method-assign]
    sites = ThreeSites(world, Limits(keys_per_second=1e9, burst=1 << 40), entropy=secrets.token_bytes)
    ends = bytearray(), bytearray()
    while len(ends[0]) < OCTETS:
        made = (await sites.ok("alice", "bob/enc_keys", AT_ONCE))["keys"]
        wanted = {"key_IDs": [{"key_ID": key["key_ID"]} for key in made]}
        fetched = (await sites.ok("bob", "alice/dec_keys", wanted))["keys"]
        for end, keys in zip(ends, (made, fetched), strict=True):
            end += b"".join(base64.b64decode(key["key"]) for key in keys)
        sites.now += PAUSE
        await world.tend()
    world.close()
    sent, got = map(bytes, ends)
    assert got == sent
    for test in TESTS:
        assert test(got) > LEVEL, test.__name__
        for apart in (32, 512):  # end keys of the network, and keys of the SAEs
            assert test(xor(got[:-apart], got[apart:])) > LEVEL, (
                f"{test.__name__} of those {apart} bytes apart"
            )
