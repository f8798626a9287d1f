"""The directory in virtual time, against a plain model of what it promises."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qcall.wire.signalling import Accepted, Code, Delivery, Envelope, Failed, Reason
from relay.signalling.budget import Rate
from relay.signalling.directory import Cross, Directory, Drop, Effect, Limits, Registration, Send

CALL = bytes(16)
SITES = {"alice": "beijing", "bob": "hefei", "carol": "hefei"}


def make(**limits: float | Rate) -> Directory:
    return Directory(SITES.__contains__, first_epoch=100, limits=Limits(**limits))  # type: ignore[arg-type]


def log_in(directory: Directory, *names: str, now: float = 0.0) -> list[Registration]:
    return [directory.login(name, SITES[name], now)[0] for name in names]


def to(name: str, *, call: bytes = CALL, seq: int = 0, payload: bytes = b"M1") -> Envelope:
    return Envelope(name, call, seq, payload)


def failure(effects: tuple[Effect, ...]) -> Reason:
    (effect,) = effects
    assert isinstance(effect, Send)
    assert isinstance(effect.message, Failed)
    return effect.message.reason


def crossing(effects: tuple[Effect, ...]) -> Cross:
    crossed = effects[-1]
    assert isinstance(crossed, Cross)
    return crossed


def test_an_envelope_is_accepted_crosses_and_arrives() -> None:
    directory = make()
    alice, bob = log_in(directory, "alice", "bob")
    accepted, crossed = directory.route(alice.epoch, to("bob"), 1.0)
    assert accepted == Send(alice.epoch, Accepted(CALL, 0))
    delivery = Delivery("alice", "beijing", CALL, 0, b"M1")
    assert crossed == Cross("beijing", "hefei", "bob", delivery)
    assert directory.arrive(crossing((crossed,))) == (Send(bob.epoch, delivery),)


def test_who_is_enrolled_no_more_is_dropped_told_why_and_offline() -> None:
    directory = make()
    alice, bob = log_in(directory, "alice", "bob")
    assert directory.expel("bob") == (Drop(bob.epoch, Code.NOT_ENROLLED),)
    assert directory.expel("bob") == ()
    assert (directory.online("bob"), directory.online("alice")) == (None, alice)
    assert not directory.heartbeat(bob.epoch, 1.0)
    assert directory.route(bob.epoch, to("alice"), 1.0) == ()


def test_a_busy_relay_takes_no_new_call_and_keeps_those_it_has() -> None:
    directory = make()
    alice, bob = log_in(directory, "alice", "bob")
    directory.route(alice.epoch, to("bob"), 1.0)
    directory.busy = True
    refused = directory.route(alice.epoch, to("bob", call=bytes([1] * 16)), 2.0)
    assert failure(refused) is Reason.BUSY_RELAY
    assert crossing(directory.route(bob.epoch, to("alice"), 2.0)).to == "alice"


def test_the_same_sequence_again_is_accepted_and_goes_nowhere() -> None:
    directory = make()
    alice, bob = log_in(directory, "alice", "bob")
    first = directory.route(alice.epoch, to("bob"), 1.0)
    assert directory.route(alice.epoch, to("bob"), 2.0) == first[:1]
    # The other direction has sequence numbers of its own.
    assert len(directory.route(bob.epoch, to("alice"), 2.0)) == 2


def test_a_repetition_after_a_new_login_goes_nowhere() -> None:
    directory = make()
    alice, _ = log_in(directory, "alice", "bob")
    directory.route(alice.epoch, to("bob"), 1.0)
    again, _ = directory.login("alice", "beijing", 2.0)
    assert directory.route(again.epoch, to("bob"), 3.0) == (Send(again.epoch, Accepted(CALL, 0)),)


def test_nobody_of_that_name_differs_from_nobody_at_home() -> None:
    directory = make()
    (alice,) = log_in(directory, "alice")
    assert failure(directory.route(alice.epoch, to("bob"), 1.0)) is Reason.OFFLINE
    assert failure(directory.route(alice.epoch, to("mallory"), 1.0)) is Reason.UNKNOWN_CONTACT


def test_what_failed_may_be_sent_again() -> None:
    directory = make()
    (alice,) = log_in(directory, "alice")
    assert failure(directory.route(alice.epoch, to("bob"), 1.0)) is Reason.OFFLINE
    log_in(directory, "bob", now=1.5)
    assert len(directory.route(alice.epoch, to("bob"), 2.0)) == 2


def test_who_leaves_while_an_envelope_is_under_way_is_offline_to_the_sender() -> None:
    directory = make()
    alice, bob = log_in(directory, "alice", "bob")
    crossed = crossing(directory.route(alice.epoch, to("bob"), 1.0))
    directory.leave(bob.epoch)
    assert failure(directory.arrive(crossed)) is Reason.OFFLINE
    log_in(directory, "bob", now=2.0)
    assert len(directory.route(alice.epoch, to("bob"), 3.0)) == 2


def test_an_envelope_follows_its_receiver_to_a_new_login() -> None:
    directory = make()
    alice, _ = log_in(directory, "alice", "bob")
    crossed = crossing(directory.route(alice.epoch, to("bob"), 1.0))
    again, _ = directory.login("bob", "hefei", 1.001)
    assert directory.arrive(crossed) == (Send(again.epoch, crossed.delivery),)


def test_a_path_without_a_way_through_is_told_to_the_sender() -> None:
    directory = make()
    alice, _ = log_in(directory, "alice", "bob")
    crossed = crossing(directory.route(alice.epoch, to("bob"), 1.0))
    assert failure(directory.lost(crossed, Reason.NO_PATH)) is Reason.NO_PATH


def test_a_second_login_fences_the_first() -> None:
    directory = make()
    first, _ = log_in(directory, "alice", "bob")
    second, effects = directory.login("alice", "beijing", 1.0)
    assert effects == (Drop(first.epoch, Code.SUPERSEDED),)
    assert second.epoch > first.epoch
    assert directory.route(first.epoch, to("bob"), 2.0) == ()
    assert not directory.heartbeat(first.epoch, 2.0)
    directory.leave(first.epoch)
    assert directory.online("alice") == second


def test_a_lease_without_heartbeats_ends() -> None:
    directory = make(ttl=15.0)
    (alice,) = log_in(directory, "alice")
    assert directory.deadline == 15.0
    assert directory.heartbeat(alice.epoch, 10.0)
    assert directory.timer(24.9) == ()
    assert directory.timer(25.0) == (Drop(alice.epoch, Code.TIMEOUT),)
    assert directory.online("alice") is None
    assert directory.deadline is None


def test_ten_calls_a_minute_and_no_more() -> None:
    directory = make()
    (alice, _) = log_in(directory, "alice", "bob")

    def dial(number: int, now: float) -> tuple[Effect, ...]:
        return directory.route(alice.epoch, to("bob", call=number.to_bytes(16)), now)

    for number in range(10):
        assert len(dial(number, 0.0)) == 2
    assert failure(dial(10, 0.0)) is Reason.RATE_LIMITED
    assert failure(dial(10, 5.9)) is Reason.RATE_LIMITED
    assert len(dial(10, 6.1)) == 2
    # Calls that are open go on.
    assert len(directory.route(alice.epoch, to("bob", call=(3).to_bytes(16), seq=1), 6.1)) == 2


def test_dialling_the_absent_counts_too() -> None:
    directory = make()
    (alice,) = log_in(directory, "alice")
    reasons = [
        failure(directory.route(alice.epoch, to(f"guess{n}", call=n.to_bytes(16)), 0.0)) for n in range(11)
    ]
    assert reasons == [Reason.UNKNOWN_CONTACT] * 10 + [Reason.RATE_LIMITED]


def test_answering_opens_no_call() -> None:
    directory = make(new_calls=Rate(per_second=1e-6, burst=1.0))
    alice, bob, carol = log_in(directory, "alice", "bob", "carol")
    assert len(directory.route(alice.epoch, to("bob"), 0.0)) == 2
    assert len(directory.route(bob.epoch, to("alice"), 0.1)) == 2
    assert len(directory.route(bob.epoch, to("carol"), 0.2)) == 2  # bob's own, and only, call
    # The id of somebody else's call is a new call between other people.
    assert len(directory.route(carol.epoch, to("alice"), 0.3)) == 2
    assert (
        failure(directory.route(carol.epoch, to("alice", call=bytes(15) + b"2"), 0.4)) is Reason.RATE_LIMITED
    )


def test_envelopes_and_their_bytes_are_limited() -> None:
    directory = make(envelopes=Rate(1.0, 3.0))
    alice, _ = log_in(directory, "alice", "bob")
    for seq in range(3):
        assert len(directory.route(alice.epoch, to("bob", seq=seq), 0.0)) == 2
    assert failure(directory.route(alice.epoch, to("bob", seq=3), 0.0)) is Reason.RATE_LIMITED
    assert len(directory.route(alice.epoch, to("bob", seq=3), 1.0)) == 2

    directory = make(octets=Rate(10.0, 100.0))
    alice, _ = log_in(directory, "alice", "bob")
    assert len(directory.route(alice.epoch, to("bob", payload=bytes(90)), 0.0)) == 2
    assert (
        failure(directory.route(alice.epoch, to("bob", seq=1, payload=bytes(11)), 0.0)) is Reason.RATE_LIMITED
    )


def test_calls_are_forgotten() -> None:
    directory = make(call_memory=60.0)
    alice, _ = log_in(directory, "alice", "bob")
    directory.route(alice.epoch, to("bob"), 0.0)
    directory.timer(59.0)
    assert len(directory._calls) == 1
    directory.timer(60.0)
    assert directory._calls == {}


def test_an_envelope_under_way_outlives_its_forgotten_call() -> None:
    directory = make(call_memory=1.0)
    alice, bob = log_in(directory, "alice", "bob")
    crossed = crossing(directory.route(alice.epoch, to("bob"), 0.0))
    directory.timer(1.0)
    directory.leave(bob.epoch)
    assert failure(directory.arrive(crossed)) is Reason.OFFLINE


class Registrations(RuleBasedStateMachine):
    """Whatever happens: one live epoch a name, leases as promised, every letter at most once."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = make(envelopes=Rate(1e6, 1e6), octets=Rate(1e9, 1e9), new_calls=Rate(1e6, 1e6))
        self.now = 0.0
        self.live: dict[str, int] = {}
        self.until: dict[int, float] = {}
        self.epochs: list[int] = []
        self.under_way: list[Cross] = []
        self.arrived: list[tuple[str, str, bytes, int]] = []

    names = st.sampled_from(sorted(SITES))

    @rule(name=names)
    def login(self, name: str) -> None:
        registration, effects = self.directory.login(name, SITES[name], self.now)
        older = self.live.get(name)
        assert effects == (() if older is None else (Drop(older, Code.SUPERSEDED),))
        assert all(registration.epoch > epoch for epoch in self.epochs)
        self.epochs.append(registration.epoch)
        self.live[name] = registration.epoch
        self.until[registration.epoch] = self.now + 15.0

    @precondition(lambda self: self.epochs)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        epoch = data.draw(st.sampled_from(self.epochs))
        assert self.directory.heartbeat(epoch, self.now) == (epoch in self.live.values())
        self.until[epoch] = self.now + 15.0

    @precondition(lambda self: self.epochs)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        epoch = data.draw(st.sampled_from(self.epochs))
        self.directory.leave(epoch)
        self.live = {name: at for name, at in self.live.items() if at != epoch}

    @rule(seconds=st.floats(0.0, 20.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        over = {epoch for epoch in self.live.values() if self.until[epoch] <= self.now}
        assert {drop.epoch for drop in self.directory.timer(self.now) if isinstance(drop, Drop)} == over
        self.live = {name: epoch for name, epoch in self.live.items() if epoch not in over}

    @precondition(lambda self: self.epochs)
    @rule(data=st.data(), name=names | st.just("nobody"), call=st.integers(0, 1), seq=st.integers(0, 2))
    def send(self, data: st.DataObject, name: str, call: int, seq: int) -> None:
        epoch = data.draw(st.sampled_from(self.epochs))
        effects = self.directory.route(epoch, to(name, call=bytes(15) + bytes((call,)), seq=seq), self.now)
        if epoch not in self.live.values():
            assert effects == ()
        elif name not in self.live:
            assert failure(effects) is (Reason.OFFLINE if name in SITES else Reason.UNKNOWN_CONTACT)
        else:
            assert isinstance(effects[0], Send)
            assert isinstance(effects[0].message, Accepted)
            self.under_way += [effect for effect in effects if isinstance(effect, Cross)]

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        crossed = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        for effect in self.directory.arrive(crossed):
            assert isinstance(effect, Send)
            assert effect.epoch in self.live.values()
            if isinstance(effect.message, Delivery):
                assert effect.epoch == self.live[crossed.to]
                message = effect.message
                self.arrived.append((message.sender, crossed.to, message.call_id, message.seq))

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert len(self.directory) == len(self.live)
        for name in SITES:
            found = self.directory.online(name)
            assert (found.epoch if found else None) == self.live.get(name)
        if self.now < 600.0:
            assert len(self.arrived) == len(set(self.arrived))
        deadline = self.directory.deadline
        assert all(deadline is not None and deadline <= self.until[epoch] for epoch in self.live.values())


TestRegistrations = Registrations.TestCase
