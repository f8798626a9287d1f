"""When a call is over, every secret that its agreement made or was given has been wiped."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from qcall.agreement import effects as fx
from qcall.crypto.secret import Secret

Made = list[tuple[Secret, str]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Every secret that is made from now on, with the line that made it."""
    secrets: Made = []
    make = Secret.__init__

    def tracked(self: Secret, value: bytes | bytearray) -> None:
        make(self, value)
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.endswith(
            ("kdf.py", "kem.py", "x25519.py")
        ):
            frame = frame.f_back
        secrets.append((self, f"{frame.f_code.co_qualname}:{frame.f_lineno}"))

    monkeypatch.setattr(Secret, "__init__", tracked)
    return secrets


def left(made: Made, call) -> list[str]:
    """Where the secrets were made that are still there; those of media belong to the connection."""
    media = [side.srtp for side in call.sides.values() if side.srtp is not None]
    media += [effect.keys for side in call.sides.values() for effect in side.had(fx.StageEpoch)]
    given = {id(key) for keys in media for key in (keys.send, keys.receive)}
    return [where for secret, where in made if secret and id(secret) not in given]


def test_the_tracker_sees_a_secret_that_was_left(line: Callable, made: Made) -> None:
    call = line().dial()
    forgotten = Secret(b"forgotten")
    for side in call.sides.values():
        side.machine.close()
    assert len(left(made, call)) == 1
    forgotten.wipe()
    assert left(made, call) == []


def test_after_a_rekey_whose_key_came_too_late(line: Callable, made: Made) -> None:
    call = line(alice={"rekey_interval": 10.0}).dial().connect()
    call.media()
    late = call.nodes.enc("sae-bob", 1)
    call.run("alice", call.alice.machine.qkd_keys(late, call.now))
    call.run("bob", call.bob.machine.qkd_keys(call.nodes.dec("sae-bob", (late[0].key_id,)), call.now))
    for side in call.sides.values():
        side.machine.close()
    assert left(made, call) == []


def test_after_a_call_with_rekeys(line: Callable, made: Made) -> None:
    call = line(alice={"rekey_interval": 10.0}).dial().connect()
    call.media()
    call.pass_time(35)
    assert call.bob.machine.security.epoch >= 3
    call.run("alice", call.alice.machine.hang_up("hangup", call.now))
    call.wait(2.0)
    call.alice.machine.close()
    call.bob.machine.close()
    assert left(made, call) == []


@pytest.mark.parametrize("until", [fx.NeedAnswer, fx.FetchDecKeys, fx.FetchEncKeys, fx.NeedOffer])
def test_after_a_call_that_ends_while_it_is_set_up(line: Callable, made: Made, until: type) -> None:
    call = line()
    call.hold = {until}
    call.dial()
    for side in call.sides.values():
        side.machine.close()
    assert left(made, call) == []


@pytest.mark.parametrize("done", [0, 1, 2])
def test_after_a_call_that_ends_while_a_kem_is_at_work(line: Callable, made: Made, done: int) -> None:
    call = line(alice={"rekey_interval": 10.0}).dial().connect()
    call.media()
    call.hold = {fx.Compute}
    call.pass_time(11)
    side, other = call.alice, call.bob
    for _ in range(done):
        call.run(side.phone.name, side.machine.computed(side.effects[-1].job(), call.now))
        side, other = other, side
    for each in (side, other):
        each.machine.close()
    late = side.effects[-1].job()
    assert side.machine.computed(late, call.now) == ()
    assert left(made, call) == []


@pytest.mark.parametrize("done", [0, 1, 2])
def test_after_a_call_that_ends_while_a_kem_of_its_handshake_is_at_work(
    line: Callable, made: Made, done: int
) -> None:
    call = line()
    call.hold = {fx.Compute}
    call.dial()
    for name in ("alice", "bob", "alice")[:done]:
        side = call.sides[name]
        call.run(name, side.machine.computed(side.had(fx.Compute)[-1].job(), call.now))
    side = call.bob if done == 1 else call.alice
    for each in call.sides.values():
        if each.machine is not None:
            each.machine.close()
    late = side.had(fx.Compute)[-1].job()
    assert side.machine.computed(late, call.now) == ()
    assert left(made, call) == []


def test_a_second_attempt_leaves_nothing_of_the_first(line: Callable) -> None:
    call = line()
    call.hold = {fx.FetchDecKeys}
    call.dial()
    first = {name: list(side.machine._secrets) for name, side in call.sides.items()}
    call.hold = {fx.NeedAnswer}
    call.run("bob", call.bob.machine.qkd_failed("pool-empty", call.now))
    for secrets in first.values():
        assert len(secrets) >= 2
        assert all(getattr(each, "_secret", each).wiped for each in secrets)
