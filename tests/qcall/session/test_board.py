"""The board: what a screen shows after each event and each measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.net.kme import LinkFault, Outlook
from qcall.session import board
from qcall.session.event import Event
from qcall.session.outlook import fields_of
from qcall.session.report import quality
from qcall.session.snapshot import (
    HISTORY,
    LOG_LINES,
    TRACE_LINES,
    Link,
    Person,
    Phase,
    Presence,
    Snapshot,
)
from qcall.tui import draw

CALL = "00" * 16
SECURITY = {
    "qkd": {
        "state": "present",
        "path": ["beijing", "jinan", "hefei"],
        "qber": [0.019, 0.021],
        "age": [1.0, 2.0],
        "hops": 2,
    },
    "words": ["acme", "adviser", "adrift", "aftermath"],
    "line": "SECURED  classical ✓",
    "peer": "bob",
}


def stats(seconds: int, lost: int = 5) -> dict[str, Any]:
    """What the voice has counted after so many seconds, all of them alike but for the packets lost."""
    counts = {
        "packetsReceived": 50 * seconds - lost,
        "packetsLost": lost,
        "jitter": 0.002,
        "totalSamplesReceived": 48_000 * seconds,
        "concealedSamples": 0,
        "concealmentEvents": 0,
        "jitterBufferEmittedCount": 48_000 * seconds,
        "relativePlayoutDelay": 0.024 * 48_000 * seconds,
    }
    return quality(counts, 20)


def event(kind: str, at: float = 1.0, call: str = CALL, **fields: object) -> Event:
    return Event(kind, at, {"call": call, "outgoing": True, "contact": "bob", **fields})


def happen(*events: Event, before: Snapshot | None = None) -> Snapshot:
    snapshot = before or Snapshot()
    for each in events:
        snapshot = board.after(snapshot, each, 1000.0 + each.at)
    return snapshot


def talking(**facts: object) -> Snapshot:
    snapshot = happen(event("dialling"), event("ringing", 2.0, **SECURITY))
    return board.stated(snapshot, CALL, board.Facts(Phase.TALKING, **facts))


def test_a_dialled_call_is_on_the_board_and_remembered():
    snapshot = happen(event("dialling"))
    assert snapshot.call is not None
    assert (snapshot.call.contact, snapshot.call.phase) == ("bob", Phase.DIALLING)
    assert snapshot.last_dialled == "bob"


def test_an_incoming_call_is_not_redialled():
    snapshot = happen(event("incoming", outgoing=False, **SECURITY))
    assert snapshot.last_dialled == ""
    assert not snapshot.call.outgoing


def test_the_route_is_the_chain_that_the_key_passed():
    route = talking().call.route
    assert route.nodes == ("beijing", "jinan", "hefei")
    assert [(hop.qber, hop.age) for hop in route.hops] == [(0.019, 1.0), (0.021, 2.0)]


def test_a_rekey_keeps_what_is_known_of_the_links():
    told = {"qcall_hops": [{"a": "jinan", "b": "beijing", "pool": 30, "capacity": 60, "rate": 8600.0}]}
    snapshot = board.supplied(talking(), CALL, told)
    after = happen(event("rekeyed", 9.0, **SECURITY), before=snapshot)
    assert (after.call.route.hops[0].pool, after.call.route.hops[0].rate) == (0.5, 8600.0)


def test_another_route_forgets_the_old_links():
    other = {**SECURITY, "qkd": {**SECURITY["qkd"], "path": ["beijing", "tianjin", "hefei"]}}
    told = {"qcall_hops": [{"a": "jinan", "b": "beijing", "pool": 30, "capacity": 60}]}
    after = happen(event("rekeyed", 9.0, **other), before=board.supplied(talking(), CALL, told))
    assert after.call.route.hops[0].pool is None


def test_a_link_of_the_chain_that_was_cut_is_the_one_to_worry_about_though_keys_go_another_way():
    detour = [{"a": "beijing", "b": "tianjin", "pool": 1, "capacity": 60, "state": "up"}]
    cut = {"qcall_hops": detour, "qcall_faults": [{"link": ["hefei", "jinan"], "condition": "cut"}]}
    seen = board.supplied(talking(), CALL, cut)
    route = seen.call.route
    assert [hop.state for hop in route.hops] == ["", "cut"]
    assert draw.by_worry(route)[0] == 1
    assert draw.hop_line(route, 1, 60).plain.startswith("jinan–hefei  cut")
    assert "╳" in draw.picture(route, 60)[1].plain
    assert route.now == ()
    mended = board.supplied(seen, CALL, {"qcall_hops": detour, "qcall_faults": []})
    assert [hop.state for hop in mended.call.route.hops] == ["", ""]


def test_the_way_of_the_next_keys_is_shown_until_it_is_that_of_the_last():
    way = ["beijing", "tianjin", "wuhan", "hefei"]
    seen = board.supplied(talking(), CALL, {"qcall_route": way})
    assert seen.call.route.now == tuple(way)
    assert draw.other_way(seen.call.route, 60).plain == "next keys: 3 hops by tianjin, wuhan"
    other = {**SECURITY, "qkd": {**SECURITY["qkd"], "path": way}}
    after = happen(event("rekeyed", 9.0, **other), before=seen)
    assert (after.call.route.nodes, after.call.route.now) == (tuple(way), ())


@pytest.mark.parametrize("site", ["caller's", "callee's"])
def test_keys_that_go_the_drawn_way_are_not_told_of_whichever_site_tells(site):
    usual, detour = ["beijing", "jinan", "hefei"], ["beijing", "tianjin", "wuhan", "hefei"]
    told = (lambda way: way) if site == "caller's" else (lambda way: way[::-1])
    assert board.supplied(talking(), CALL, {"qcall_route": told(usual)}).call.route.now == ()
    assert board.supplied(talking(), CALL, {"qcall_route": told(detour)}).call.route.now == tuple(detour)


OUTLOOK = fields_of(Outlook(500, 9.0, 1, ("a", "y", "b"), (LinkFault(("a", "x"), "cut"),)), 60.0)


@pytest.mark.parametrize("outlook", [OUTLOOK, fields_of(Outlook(2, 0.0, 1, ("a", "b")), 60.0)])
def test_the_network_is_warned_of_until_it_is_well_whatever_is_rekeyed(outlook):
    failing = event("rekey-failing", 4.0, reason="timeout", seconds=30)
    both = happen(event("qkd-outlook", 3.0, **outlook, recovered=False), failing, before=talking())
    assert len(both.call.warnings) == 2
    rekeyed = happen(event("rekeyed", 9.0, **SECURITY), before=both)
    (warning,) = rekeyed.call.warnings
    assert warning.startswith("quantum network")
    well = fields_of(Outlook(500, 9.0, 1, ("a", "b")), 60.0)
    recovered = event("qkd-outlook", 12.0, **well, recovered=True)
    assert happen(recovered, before=rekeyed).call.warnings == ()


def test_a_call_without_quantum_keys_has_no_route():
    assert happen(event("ringing", **{**SECURITY, "qkd": {"state": "absent"}})).call.route.nodes == ()


def test_talk_is_counted_from_its_beginning_to_its_end():
    snapshot = replace(talking(), at=12.0)
    assert snapshot.call.talked(snapshot.at) == 10.0
    over = happen(event("ended", 20.0, reason="hangup", quality={}, security={}), before=snapshot)
    assert over.call.talked(99.0) == 18.0


def test_loss_is_that_of_the_last_second():
    snapshot = board.measured(talking(), CALL, stats(1))
    snapshot = board.measured(snapshot, CALL, stats(2))
    assert snapshot.call.quality.loss.samples == (0.1, 0.0)
    assert snapshot.call.quality.delay.last == pytest.approx(0.044)


def test_the_score_is_that_of_the_last_second():
    snapshot = board.measured(talking(), CALL, stats(3_600))
    worse = {**stats(3_601), "concealedSamples": 9_600, "concealmentEvents": 5}
    snapshot = board.measured(snapshot, CALL, worse)
    snapshot = board.measured(
        snapshot, CALL, {**stats(3_602), "concealedSamples": 9_600, "concealmentEvents": 5}
    )
    assert [score > 4.3 for score in snapshot.call.quality.mos.samples] == [True, False, True]


def test_levels_that_no_meter_can_show_are_no_change():
    snapshot = board.levelled(talking(), CALL, -20.2, -30.1)
    assert board.levelled(snapshot, CALL, -19.9, -30.4) is snapshot


def test_an_ended_call_stays_to_be_read_and_goes_when_another_begins():
    over = happen(
        event("dialling"),
        event("ended", 3.0, reason="declined", failure="bob declined the call", quality={}, security={}),
    )
    assert over.call.failure == "bob declined the call"
    assert [call.id for call in happen(event("dialling", 4.0, "11" * 16), before=over).calls] == ["11" * 16]


def test_who_calls_meanwhile_waits_behind_the_call_that_is_up():
    both = happen(event("incoming", 5.0, "11" * 16, outgoing=False, **SECURITY), before=talking())
    assert [call.id for call in both.calls] == [CALL, "11" * 16]
    assert both.incoming is None
    ringing = board.stated(both, "11" * 16, board.Facts(Phase.INCOMING))
    assert ringing.incoming.id == "11" * 16
    assert board.focused(ringing, "11" * 16).call.id == "11" * 16


def test_who_is_dialled_meanwhile_comes_to_the_front():
    both = happen(event("dialling", 5.0, "11" * 16), before=talking())
    assert [call.id for call in both.calls] == ["11" * 16, CALL]


def test_when_one_of_two_calls_ends_the_other_comes_to_the_front():
    both = happen(event("dialling", 5.0, "11" * 16), before=talking())
    over = happen(event("ended", 6.0, "11" * 16, reason="no-answer", quality={}, security={}), before=both)
    assert [call.id for call in over.calls] == [CALL, "11" * 16]


@pytest.mark.parametrize("reason", ["cancelled", "no-answer"])
def test_a_call_that_was_not_answered_is_missed(reason):
    ended = event("ended", 3.0, reason=reason, quality={}, security={}, outgoing=False)
    snapshot = happen(event("incoming", outgoing=False, **SECURITY), ended)
    assert snapshot.missed == 1


def test_a_call_that_this_user_declined_is_not_missed():
    ended = event("ended", 3.0, reason="declined", quality={}, security={}, outgoing=False)
    assert happen(event("incoming", outgoing=False, **SECURITY), ended).missed == 0


def test_a_device_is_missing_until_the_next_call_looks_for_it():
    fault = {"message": "no microphone", "missing": True, "code": "no-card"}
    deaf = happen(event("dialling"), Event("sound", 1.0, fault))
    assert (deaf.sound, deaf.sound_code) == ("no microphone", "no-card")
    note = Event("sound", 1.0, {"message": "no echo canceller", "missing": False})
    assert happen(note).sound == ""
    ended = event("ended", reason="hangup", security={}, quality={})
    looked = happen(ended, event("dialling", call="22" * 16), before=deaf)
    assert (looked.sound, looked.sound_code) == ("", "")
    assert happen(event("dialling", call="22" * 16), before=deaf).sound == "no microphone"


def test_the_relay_comes_and_goes():
    away = happen(Event("relay", 1.0, {"connected": False, "again": False}))
    assert away.link is Link.AWAY
    assert happen(Event("relay", 2.0, {"connected": True, "again": True}), before=away).link is Link.ONLINE
    gone = happen(Event("gone", 3.0, {"message": "another phone has logged in"}), before=away)
    assert (gone.link, gone.trouble) == (Link.FAILED, "another phone has logged in")


def test_presence_is_shown_of_people_on_the_board():
    snapshot = Snapshot(people=(Person("bob"), Person("carol")))
    told = Event("presence", 1.0, {"people": {"bob": "online", "nobody": "online"}})
    assert [each.presence for each in happen(told, before=snapshot).people] == [
        Presence.ONLINE,
        Presence.UNKNOWN,
    ]


def test_a_trace_line_counts_from_the_first_message():
    traced = event("trace", 1.25, sent=True, peer="bob", what="m1", bytes=1700)
    (line,) = happen(event("dialling"), traced).call.trace
    assert (line.after, line.what, line.size, line.sent) == (0.25, "m1", 1700, True)


def test_text_keeps_who_said_it():
    snapshot = happen(event("text", 3.0, sender="bob", text="back in five", own=False), before=talking())
    assert [(m.sender, m.text, m.own) for m in snapshot.call.messages] == [("bob", "back in five", False)]


def test_words_that_were_compared_are_in_the_line_at_once():
    fields = {**SECURITY, "epoch": 3, "trust": "new"}
    snapshot = happen(event("dialling"), event("ringing", 2.0, **fields))
    assert board.verified(snapshot, "bob", True).call.line.endswith("VERIFIED")
    assert board.verified(snapshot, "bob", False).call.line.endswith("WORDS DIFFER")
    assert board.verified(snapshot, "carol", True) is snapshot


def test_nothing_changes_a_call_that_has_ended():
    over = happen(event("ended", 3.0, reason="hangup", quality={}, security={}), before=talking())
    assert board.stated(over, CALL, board.Facts(Phase.TALKING, muted=True)) is over
    assert board.levelled(over, CALL, -3.0, -3.0) is over
    assert board.measured(over, CALL, stats(1)) is over


def test_four_hours_leave_no_more_than_ten_minutes_do():
    snapshot = talking()
    for second in range(4 * 3600):
        snapshot = board.measured(snapshot, CALL, stats(second + 1))
        if second % 5 == 0:
            snapshot = happen(
                event("trace", float(second), sent=True, peer="bob", what="rk1", bytes=99),
                event("rekeyed", float(second), **SECURITY),
                before=snapshot,
            )
    assert len(snapshot.call.quality.mos.samples) == HISTORY
    assert len(snapshot.call.trace) == TRACE_LINES
    assert len(snapshot.log) == LOG_LINES


@given(st.lists(st.sampled_from(["dialling", "ringing", "held", "silent", "text", "ended", "rekeyed"])))
def test_any_order_of_events_leaves_a_board(kinds):
    fields = {**SECURITY, "reason": "hangup", "quality": {}, "security": {}, "connected": False}
    told = [
        event(kind, float(at), sender="bob", text="hi", own=False, on=True, **fields)
        for at, kind in enumerate(kinds)
    ]
    snapshot = happen(*told)
    assert len(snapshot.calls) == (1 if kinds else 0)
