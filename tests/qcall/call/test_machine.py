"""The call table: the two ways into a conversation, and every way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcall.call.events import Input, Release, Ring, StartMedia, TellAnswered, TellEnded
from qcall.call.machine import HANG_UP, RING_LIMIT, TABLE, CallMachine, ImpossibleInput, State

CALLER = (Input.DIALLED, Input.AGREED, Input.CONFIRMED, Input.PEER_ANSWERED)
CALLEE = (Input.INVITED, Input.AGREED, Input.CONFIRMED, Input.ANSWERED)


def run(*facts: Input) -> tuple[CallMachine, list[object]]:
    machine = CallMachine()
    effects = [effect for fact in facts for effect in machine.receive(fact, 0.0)]
    return machine, effects


def test_caller_talks_after_the_far_user_answered() -> None:
    machine, effects = run(*CALLER)
    assert machine.state is State.TALKING
    assert effects[-1] == StartMedia()


def test_callee_rings_only_after_the_agreement() -> None:
    assert Ring() not in run(Input.INVITED)[1]
    assert Ring() in run(Input.INVITED, Input.AGREED)[1]


def test_callee_says_answered_before_it_opens_the_microphone() -> None:
    assert run(*CALLEE)[1][-2:] == [TellAnswered(), StartMedia()]


def test_an_early_answer_waits_for_confirmation() -> None:
    machine, effects = run(Input.INVITED, Input.AGREED, Input.ANSWERED)
    assert StartMedia() not in effects
    assert StartMedia() in machine.receive(Input.CONFIRMED, 0.0)


@pytest.mark.parametrize("state", HANG_UP)
def test_the_user_can_hang_up_anywhere(state: State) -> None:
    machine = CallMachine()
    machine.state = state
    told, release = machine.receive(Input.HUNG_UP, 0.0)
    assert told == TellEnded(HANG_UP[state])
    assert release == Release(HANG_UP[state])


@pytest.mark.parametrize("facts", [CALLER[:2], CALLER[:3], CALLEE[:2], CALLEE[:3]])
def test_ringing_ends_by_itself(facts: tuple[Input, ...]) -> None:
    machine, _ = run(*facts)
    assert machine.timer(RING_LIMIT - 0.1) == ()
    assert machine.timer(RING_LIMIT)[-1] == Release("no-answer")


def test_a_conversation_has_no_time_limit() -> None:
    machine, _ = run(*CALLER)
    assert machine.deadline is None


@given(st.lists(st.sampled_from(list(Input)), max_size=12))
def test_no_order_of_events_starts_media_unconfirmed_or_releases_twice(facts: list[Input]) -> None:
    machine = CallMachine()
    told: list[Input] = []
    effects: list[object] = []
    for fact in facts:
        try:
            effects += machine.receive(fact, 0.0)
        except ImpossibleInput:
            continue
        told.append(fact)
        if StartMedia() in effects:
            assert Input.CONFIRMED in told
    assert sum(isinstance(effect, Release) for effect in effects) == (machine.state is State.ENDED)


def test_every_way_into_talking_is_behind_confirmation() -> None:
    into = {state for (state, fact), (after, _) in TABLE.items() if after is State.TALKING}
    confirmed = {after for (_, fact), (after, _) in TABLE.items() if fact is Input.CONFIRMED}
    assert into - confirmed == {State.ANSWERING}
    assert {fact for (state, fact) in TABLE if state is State.ANSWERING} == {Input.CONFIRMED}
