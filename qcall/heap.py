"""The garbage collector, kept out of a call's way.

A full collection visits every object that can hold another. The libraries of a phone are more than a hundred
thousand of them that never go away, and a visit holds up every thread of the program for 50 to 120 ms: five
packets of voice. What a phone is made of is therefore put aside once it is there.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Take what there is by now out of all later collections, which are for what calls leave behind.

    Nothing is collected for it, which would be the pause itself: the little garbage of a start stays.
    """
    gc.freeze()
