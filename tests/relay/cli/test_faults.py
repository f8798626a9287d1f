"""What ``relay fault`` says it did."""

from __future__ import annotations

import pytest

from relay.cli.faults import spelt


@pytest.mark.parametrize(
    ("detours", "cut_off", "said"),
    [
        (0, [], ""),
        (1, [], "; 1 pair of sites talks over a detour"),
        (1980, [], "; 1980 pairs of sites talk over a detour"),
        (0, [["a", "b"]], "; no way is left for 1 pair of sites: a–b"),
        (2, [["a", "b"], ["a", "c"]],
         "; 2 pairs of sites talk over a detour; no way is left for 2 pairs of sites: a–b, a–c"),
        (0, [["a", str(n)] for n in range(9)],
         "; no way is left for 9 pairs of sites: a–0, a–1, a–2 and 6 more"),
    ],
)  # fmt: skip
def test_detours_and_sites_that_are_cut_off_are_told_in_words(
    detours: int, cut_off: list[list[str]], said: str
) -> None:
    assert spelt(detours, cut_off) == said
