"""How long a user waits. Figures on an idle two-core machine; a loaded one only makes them larger."""

from __future__ import annotations

from scripts.demonstration.stage import Stage
from tests.e2e.real_time import REAL_TIME


@REAL_TIME
async def test_dialling_rings_soon_and_an_answer_is_heard_at_once(phones: Stage) -> None:
    sound = ("--input", "tone", "--output", "null")
    bob = await phones.listen("bob", "--auto-answer", "--after", "0.7", "--once", *sound)
    alice = await phones.call("alice", "bob", "--duration", "0.5", *sound)
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    mine, theirs = (await alice.event("ended"))["timing"], (await bob.event("ended"))["timing"]
    path = phones.ready["path"]["delay_ms"]
    # M1 to M4 cross the path four times, and the answer and the first packet once each.
    assert mine["dial_to_ringing_ms"] < 300 + 4 * path
    assert 1000 * (mine["first_audio_at"] - theirs["answered_at"]) < 100 + 2 * path
