"""The garbage collector keeps out of the way of what a program does."""

from __future__ import annotations

import gc
import weakref

import pytest

from qcall.heap import MUCH, settle, settle_screen


@pytest.fixture(autouse=True)
def collector():
    """The collector as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Ring:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_is_left_out_of_collections():
    before = Ring()
    watched = weakref.ref(before)
    settle()
    del before
    gc.collect()
    assert watched() is not None


def test_a_screen_is_swept_when_a_page_was_left_and_not_while_it_makes_much():
    full = []
    sweep = settle_screen(lambda seconds, work: None)
    old = [Ring() for _ in range(5)]
    watched = weakref.ref(old[0])
    gc.collect()
    del old
    gc.callbacks.append(lambda phase, info: full.append(info["generation"]) if phase == "stop" else None)
    kept = [[Ring()] for _ in range(200_000)]
    gc.callbacks.pop()
    assert full
    assert 2 not in full
    assert watched() is not None
    sweep()
    assert watched() is None
    assert kept


def test_what_a_long_call_leaves_behind_is_swept_when_it_is_much():
    repeated = []
    settle_screen(lambda seconds, work: repeated.append((seconds, work)))
    ((seconds, look),) = repeated
    assert seconds > 0
    old = Ring()
    watched = weakref.ref(old)
    gc.collect()
    del old
    look()
    assert watched() is not None
    for _ in range(MUCH):
        gc.collect(1)
    look()
    assert watched() is None
