"""A fault of ours in the middle of the secrets: what is printed and logged of it holds none of them."""

from __future__ import annotations

import base64
import logging
import traceback
from pathlib import Path

import pytest

from qcall.agreement import schedule
from qcall.crypto.aead import Box
from qcall.crypto.identity import Identity
from qcall.crypto.kem import MlKem, MlKemPrivateKey
from qcall.crypto.secret import Secret
from qcall.crypto.x25519 import KeyPair

OURS = str(Path(schedule.__file__).parents[1])
"""Frames of the product; the test's own know every secret, to look for them."""
PLACES = [
    (schedule.Early, "mix_kem"),
    (schedule.Handshake, "words_value"),
    (schedule.Handshake, "mix_qkd"),
    (schedule.Mixed, "mac_key"),
    (schedule.Mixed, "mix_dtls"),
    (schedule.Root, "srtp"),
    (schedule.Root, "confirm_key"),
    (schedule.Root, "rekey"),
    (MlKem, "encapsulate"),
    (MlKemPrivateKey, "decapsulate"),
    (KeyPair, "exchange"),
    (Identity, "sign"),
    (Box, "seal"),
]


@pytest.mark.parametrize(("owner", "method"), PLACES, ids=lambda value: getattr(value, "__name__", value))
def test_a_crash_tells_no_secret(line, monkeypatch, caplog, owner: type, method: str) -> None:
    secrets: list[bytes] = []
    init = Secret.__init__

    def watched(self: Secret, value: bytes) -> None:
        secrets.append(bytes(value))
        init(self, value)

    def crash(*arguments, **more):
        raise RuntimeError(f"out of order with {arguments!r} {more!r}")

    monkeypatch.setattr(Secret, "__init__", watched)
    monkeypatch.setattr(owner, method, crash)

    def talk() -> None:
        call = line(alice={"rekey_interval": 10.0}).dial().connect()
        call.media()
        call.pass_time(12)

    with caplog.at_level(logging.DEBUG), pytest.raises(RuntimeError) as caught:
        talk()
    logging.getLogger("qcall").error("a fault", exc_info=caught.value)
    everything = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = traceback.StackSummary.from_list([each for each in everything.stack if OURS in each.filename])
    shown = "".join([*ours.format(), *everything.format_exception_only(), caplog.text])
    assert "out of order" in shown
    assert "self = <qcall.agreement" in shown or "worked = Worked(" in shown
    long = {secret for secret in secrets if len(secret) >= 12}
    assert len(long) >= 4
    for secret in long:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
        assert base64.b64encode(secret).decode()[:-4] not in shown
