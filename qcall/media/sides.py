"""The two sides of a conversation, for who asks for a recording without having to load what makes one."""

from __future__ import annotations

import enum


class Sides(enum.StrEnum):
    """Whose speech is recorded."""

    OWN = "own"
    BOTH = "both"
