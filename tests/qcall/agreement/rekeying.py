"""Calls that rekey often."""

from __future__ import annotations

OFTEN = {"rekey_interval": 10.0}


def talking(line, **options):
    """A call with media whose caller rekeys every 10 s ± 10 %."""
    call = line(alice=OFTEN | options.pop("alice", {}), **options).dial().connect()
    call.media()
    return call


def assert_together(call, epoch: int) -> None:
    alice, bob = call.alice.machine.security, call.bob.machine.security
    assert alice.epoch == bob.epoch == call.alice.sending == call.bob.sending == epoch
    assert call.alice.epochs[epoch].send == call.bob.epochs[epoch].receive
    assert call.alice.epochs[epoch].receive == call.bob.epochs[epoch].send
