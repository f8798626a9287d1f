"""Between two access sites a datagram takes as long as the modelled fibre says."""

from __future__ import annotations

import pytest

from relay.path.model import Hop
from relay.path.routes import Routes
from relay.turn.credentials import SharedSecret

SECRET = SharedSecret(b"shared")
UNIX = 1_700_000_000.0


@pytest.fixture
def call(make_world, make_client):
    """Two clients with channels to each other, at the two sites."""

    def make(*sites: str, loss: float = 0.0):
        hops = [Hop(name="fibre", km=1000.0, processing=0.0, jitter=0.0, loss=loss)]
        world = make_world(SECRET, routes=Routes({("beijing", "hefei"): hops}, seed=1))
        one, other = (
            make_client(world, *SECRET.mint(f"user{i}", site, UNIX, 3600.0)) for i, site in enumerate(sites)
        )
        one.allocate()
        other.allocate()
        one.bind(0x4000, other.relayed)
        other.bind(0x4000, one.relayed)
        return world, one, other

    return make


def test_a_datagram_arrives_when_light_does(call):
    world, one, other = call("beijing", "hefei")
    one.say(0x4000, b"hello")
    world.advance(0.0048)
    assert other.listen() == []
    world.advance(0.0002)
    assert other.listen() == [(0x4000, b"hello")]


def test_both_directions_take_the_path(call):
    world, one, other = call("beijing", "hefei")
    other.say(0x4000, b"hello")
    assert one.listen() == []
    world.advance(0.005)
    assert one.listen() == [(0x4000, b"hello")]


def test_at_one_site_nothing_is_delayed(call):
    _, one, other = call("beijing", "beijing")
    one.say(0x4000, b"hello")
    assert other.listen() == [(0x4000, b"hello")]


def test_the_path_keeps_the_order(call):
    world, one, other = call("beijing", "hefei")
    for i in range(200):
        one.say(0x4000, i.to_bytes(2, "big"))
        world.advance(0.0001)
    world.advance(1)
    assert [data for _, data in other.listen()] == [i.to_bytes(2, "big") for i in range(200)]


def test_what_the_path_loses_is_counted(call):
    world, one, other = call("beijing", "hefei", loss=1.0)
    one.say(0x4000, b"hello")
    world.advance(1)
    assert other.listen() == []
    assert world.machine.counters.drops["lost-on-path"] == 1


def test_what_arrives_after_its_allocation_ended_goes_nowhere(call):
    world, one, other = call("beijing", "hefei")
    one.say(0x4000, b"hello")
    other.refresh(0)
    world.advance(1)
    assert world.to_clients == []
    assert world.machine.counters.drops["no-allocation"] == 1


def test_the_histogram_says_how_late_datagrams_were_released(call):
    world, one, _ = call("beijing", "hefei")
    one.say(0x4000, b"hello")
    world.now += 0.0049 + 0.0003
    world.run(world.machine.timer(world.now))
    assert sum(world.machine.counters.release_errors) == 1
    assert world.machine.counters.release_errors[0] == 0
