"""What ``relay fault`` says it did."""

from __future__ import annotations

import pytest

from relay.cli.faults import spelt


@pytest.mark.parametrize(
    ("detours", "said"),
    [
        (0, ""),
        (1, "; 1 pair of sites talks over a detour"),
        (1980, "; 1980 pairs of sites talk over a detour"),
    ],
)
def test_detours_are_counted_in_words(detours: int, said: str) -> None:
    assert spelt(detours) == said
