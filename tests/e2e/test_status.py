"""``relay status`` asks the relay that runs with the same home."""

from __future__ import annotations

import asyncio

from scripts.demonstration.stage import BIN, Stage
from tests.qcall.cli.test_completion import offered


async def test_it_shows_what_the_relay_has_counted(theatre: Stage) -> None:
    await theatre.serve()
    command = (BIN / "relay", "--home", theatre.relay_home, "status")
    shown = await (await theatre.run("relay status", *command, "--json")).event("status")
    assert shown["relay"]["topology"] == theatre.ready["topology"]
    assert shown["turn"]["allocations"] == 0
    assert shown["signalling"]["phones"] == 0
    text = (await theatre.run("relay status", *command)).text
    assert f"{theatre.ready['topology']}, " in text
    assert "0 allocations" in text
    assert "relay status --all" in text
    everything = (await theatre.run("relay status", *command, "--all")).text
    assert "allocations made" in everything
    wrong = await theatre.run("relay status", *command, "nothing", code=2)
    assert "no part of a relay" in wrong.stderr


async def test_the_nodes_of_a_relay_that_runs_are_offered_to_disturb(theatre: Stage) -> None:
    await theatre.serve()

    async def offer(*words: str) -> list[str]:
        return await asyncio.to_thread(offered, "relay", *words, home=theatre.relay_home)

    assert await offer("fault", "compromise", "beij") == ["beijing"]
    assert await offer("fault", "cut", "beijing", "") == ["langfang", "zhuozhou"]
    assert await offer("fault", "restore", "beijing", "l") == ["langfang"]
    assert await offer("invite", "x", "--site", "b") == ["beijing"]


async def test_without_a_relay_it_says_so(theatre: Stage) -> None:
    theatre.relay_home.mkdir()
    command = (BIN / "relay", "--home", theatre.relay_home, "status")
    program = await theatre.run("relay status", *command, code=1)
    assert "no relay runs" in program.stderr
    assert "Traceback" not in program.stderr
