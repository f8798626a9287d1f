"""What a phone tells of the key network while a call runs: what changed, and not the same thing twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qcall.agreement.rekey import SHORTEST_INTERVAL
from qcall.errors import Unavailable
from qcall.net.kme import LinkFault, Outlook
from qcall.session import outlook
from qcall.session.event import Event
from qcall.session.outlook import KeyWatch
from qcall.session.wording import is_grave, line_of

WELL = Outlook(1000, 9.0, 1, ("a", "x", "b"))
CUT = Outlook(500, 9.0, 1, ("a", "y", "z", "b"), (LinkFault(("a", "x"), "cut"),))
SPIED = Outlook(0, 0.0, 1, (), (LinkFault(("a", "x"), "alarm"),))


class Source:
    """A key node that says one thing after the other, and then nothing."""

    def __init__(self, *answers: Outlook | Exception | None) -> None:
        self.answers = list(answers)

    async def outlook(self, slave_sae_id: str) -> Outlook | None:
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def told(monkeypatch: pytest.MonkeyPatch, *answers: Outlook | Exception | None) -> list[dict[str, Any]]:
    monkeypatch.setattr(outlook, "INTERVAL", 0.0)
    source, said = Source(*answers), []
    watch = KeyWatch(source, 60.0, lambda kind, **fields: said.append(fields))  # type: ignore[arg-type]
    task = asyncio.ensure_future(watch.watch(lambda: "sae-b"))
    while source.answers:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    return said


async def test_what_stays_the_same_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = await told(monkeypatch, WELL, WELL, Outlook(990, 8.9, 1, WELL.path))
    assert len(said) == 1
    assert (said[0]["hops"], said[0]["minutes_left"], said[0]["alarm"]) == (2, None, False)


async def test_a_fault_is_told_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said = await told(monkeypatch, WELL, CUT, CUT, WELL)
    assert [(each["faults"], each["recovered"]) for each in said] == [
        ([], False), ([{"link": ["a", "x"], "condition": "cut"}], False), ([], True),
    ]  # fmt: skip


async def test_a_key_node_that_does_not_answer_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(await told(monkeypatch, Unavailable("away", code="qkd-timeout"), None, WELL)) == 1


@pytest.mark.parametrize(
    ("seen", "minutes"),
    [
        (Outlook(100, 1.0, 60), None),
        (Outlook(100, 0.5, 60), 100 / 0.5 / 60),
        (Outlook(90, 0.0, 1), 90.0),
        (Outlook(0, 0.0, 0), 0.0),
    ],
)
def test_rekeys_are_left_for_as_long_as_all_calls_drain_more_than_links_make(
    seen: Outlook, minutes: float | None
) -> None:
    assert seen.minutes(60.0) == (None if minutes is None else pytest.approx(minutes))


def test_whatever_the_interval_a_phone_asks_as_often_as_it_rekeys() -> None:
    assert outlook.INTERVAL <= SHORTEST_INTERVAL


async def test_people_read_what_is_wrong_and_nothing_of_a_network_that_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = [Event("qkd-outlook", 0.0, each) for each in await told(monkeypatch, WELL, CUT, SPIED, WELL)]
    assert [line_of(event) for event in events] == [
        "",
        "quantum network: a–x cut; keys go over 3 hops; 500 keys ready, enough",
        "quantum network: a–x alarm; no way is left for quantum keys; 0 keys ready, rekeys for 0 min",
        "quantum network: keys go over 2 hops; 1000 keys ready, enough",
    ]
    assert [is_grave(event) for event in events] == [False, False, True, False]


async def test_keys_that_run_out_are_told_minute_by_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    said = await told(monkeypatch, *(Outlook(keys, 0.0, 2, WELL.path) for keys in (11, 9, 8, 7, 6, 12)))
    assert [(each["minutes_left"], each["low"]) for each in said] == [
        (5.5, False), (4.5, True), (3.5, True), (6.0, False),
    ]  # fmt: skip
