"""Presence is mutual: who may know that whom is online."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcall.wire.signalling import Presence, Watch
from relay.signalling.directory import Directory, Send
from relay.signalling.presence import BUSY, OFFLINE, ONLINE, Watchers

NAMES = ("alice", "bob", "carol")


def test_two_who_name_each_other_know_of_each_other():
    watchers = Watchers()
    assert watchers.watch("alice", ["bob"], busy=False) == [("alice", {"bob": OFFLINE})]
    assert watchers.watch("bob", ["alice"], busy=False) == [
        ("alice", {"bob": ONLINE}),
        ("bob", {"alice": ONLINE}),
    ]
    assert watchers.watch("bob", ["alice"], busy=True) == [("alice", {"bob": BUSY})]
    assert watchers.leave("bob") == [("alice", {"bob": OFFLINE})]


def test_a_stranger_who_watches_learns_nothing_and_is_not_told_of():
    watchers = Watchers()
    watchers.watch("bob", ["alice"], busy=False)
    assert watchers.watch("mallory", ["bob"], busy=False) == [("mallory", {"bob": OFFLINE})]
    assert watchers.watch("bob", ["alice"], busy=True) == []


def test_whoever_takes_a_contact_out_goes_dark_to_them():
    watchers = Watchers()
    watchers.watch("alice", ["bob"], busy=False)
    watchers.watch("bob", ["alice"], busy=False)
    assert watchers.watch("bob", [], busy=False) == [("alice", {"bob": OFFLINE})]


STEP = st.tuples(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)) | st.none(), st.booleans())


@given(st.lists(STEP, max_size=30))
def test_nobody_is_ever_told_of_one_who_does_not_name_them(steps):
    watchers, believed = Watchers(), {}
    for name, names, busy in steps:
        notices = watchers.leave(name) if names is None else watchers.watch(name, names, busy)
        for to, people in notices:
            for whom, state in people.items():
                believed[to, whom] = state
                assert state == OFFLINE or to in watchers.named[whom]
    for one in watchers.named:
        for other in watchers.named:
            if one != other and other in watchers.named[one] and one in watchers.named[other]:
                assert believed[one, other] != OFFLINE


def test_the_directory_tells_those_who_are_online_and_limits_the_rate():
    directory = Directory(lambda name: True, first_epoch=1)
    alice, _ = directory.login("alice", "beijing", 0.0)
    bob, _ = directory.login("bob", "hefei", 0.0)
    directory.watch(alice.epoch, Watch(("bob",)), 0.0)
    told = directory.watch(bob.epoch, Watch(("alice",)), 0.0)
    assert Send(alice.epoch, Presence({"bob": ONLINE})) in told
    assert directory.leave(bob.epoch) == (Send(alice.epoch, Presence({"bob": OFFLINE})),)
    for _ in range(100):
        directory.watch(alice.epoch, Watch(()), 1.0)
    assert directory.watch(alice.epoch, Watch(("bob",)), 1.0) == ()


def test_a_connection_that_was_fenced_watches_nobody():
    directory = Directory(lambda name: True, first_epoch=1)
    old, _ = directory.login("alice", "beijing", 0.0)
    directory.login("alice", "beijing", 1.0)
    assert directory.watch(old.epoch, Watch(("bob",)), 1.0) == ()
