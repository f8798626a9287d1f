"""The garbage collector, kept out of a call's way.

A full collection visits every object that can hold another. The libraries of a phone are more than a hundred
thousand of them that never go away, and a visit holds up every thread of the program for 50 to 120 ms: five
packets of voice. What a phone is made of is therefore put aside once it is there.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Final

SWEPT_EVERY: Final = 1.0
"""Seconds between two full collections, at least: what a page leaves behind is most of their time."""
NEVER: Final = 1 << 30
"""Collections of the middle generation until a full one comes by itself."""


def settle() -> None:
    """Take what there is by now out of all later collections, which are for what calls leave behind.

    Nothing is collected for it, which would be the pause itself: the little garbage of a start stays.
    """
    gc.freeze()


def settle_screen(every: Callable[[float, Callable[[], object]], object]) -> None:
    """As ``settle``; full collections come ``every`` so many seconds from now on, and never in between.

    By itself one comes when much is new: in the middle of making a page, which takes its time already.
    """
    settle()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    every(SWEPT_EVERY, sweep)


def sweep() -> None:
    """Collect everything, if there is much that outlived two collections: then a page was open."""
    if gc.get_count()[2]:
        gc.collect()
