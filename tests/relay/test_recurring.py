"""Recurring work outlives its faults, and tells each of them once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from relay.errors import Refused, StorageError
from relay.recurring import Recurring

LOG = logging.getLogger("relay.test")


def test_a_fault_is_told_when_it_changes_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    work = Recurring("the upkeep", LOG)
    faults = [
        None,
        StorageError("the disk is full"),
        StorageError("the disk is full"),
        Refused("nonsense"),
        None,
        None,
    ]
    for fault in faults:
        with work.turn():
            if fault is not None:
                raise fault
    assert caplog.messages == ["the disk is full", "nonsense", "the upkeep is well again"]


def test_a_defect_is_told_by_its_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    with Recurring("the upkeep", LOG).turn():
        raise ValueError("what may hold key bytes")
    assert caplog.messages == ["the upkeep failed: ValueError"]


def test_a_cancellation_ends_the_work() -> None:
    with pytest.raises(asyncio.CancelledError), Recurring("the upkeep", LOG).turn():
        raise asyncio.CancelledError
