"""The garbage collector, kept out of a call's way.

A full collection visits every object that can hold another. The libraries of a phone are more than a hundred
thousand of them that never go away, and a visit holds up every thread of the program for 50 to 120 ms: five
packets of voice. What a phone is made of is therefore put aside once it is there.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Final

LOOKED_EVERY: Final = 1.0
"""Seconds between two looks at whether much has outlived the younger collections."""
MUCH: Final = 8
"""Collections of the middle generation after which a full one is due, though no page was left."""
NEVER: Final = 1 << 30
"""Collections of the middle generation until a full one comes by itself."""


def settle() -> None:
    """Take what there is by now out of all later collections, which are for what calls leave behind.

    Nothing is collected for it, which would be the pause itself: the little garbage of a start stays.
    """
    gc.freeze()


def settle_screen(every: Callable[[float, Callable[[], object]], object]) -> Callable[[], object]:
    """As ``settle``; gives what sweeps up after a page that was left, which is most of what there is.

    By itself a full collection comes when much is new: in the middle of making a page, which takes its time
    already. A look ``every`` so many seconds sees to the garbage of a long call without a page.
    """
    settle()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    every(LOOKED_EVERY, partial(sweep, MUCH))
    return sweep


def sweep(least: int = 1) -> None:
    """Collect everything, if ``least`` collections of the middle generation have left something for it."""
    if gc.get_count()[2] >= least:
        gc.collect()
