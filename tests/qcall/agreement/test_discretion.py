"""Neither a peer nor a log learns more than it must."""

from __future__ import annotations

import logging
import random

from qcall.crypto.secret import Secret

from .tampering import flipped, touch


def test_the_peer_learns_one_code_whatever_was_wrong(line) -> None:
    told = set()
    for relay in (
        touch("alice", 1, lambda raw: [raw[:-1]]),
        touch("alice", 1, lambda raw: [flipped(raw, 500, random.Random(1))]),
        touch("alice", 1, lambda raw: [raw[:1] + b"\4" + raw[2:]]),
    ):
        call = line(relay=relay).dial()
        assert call.bob.failure.code != "failed"
        told.add((call.alice.failure.code, str(call.alice.failure)))
    assert len(told) == 1


def test_no_secret_shows_in_reprs_effects_errors_or_logs(line, monkeypatch, caplog) -> None:
    seen: list[bytes] = []
    init = Secret.__init__

    def watched(self: Secret, value: bytes) -> None:
        seen.append(bytes(value))
        init(self, value)

    monkeypatch.setattr(Secret, "__init__", watched)
    with caplog.at_level(logging.DEBUG):
        good = line().dial().connect()
        bad = line(relay=touch("alice", 1, lambda raw: [flipped(raw, 500, random.Random(1))])).dial()
    shown = caplog.text
    for call in (good, bad):
        for side in call.sides.values():
            shown += repr(side.effects) + repr(vars(side.machine)) + repr(side.phone) + str(side.failure)
    secrets = {secret for secret in seen if len(secret) >= 12}
    assert len(secrets) > 30
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
