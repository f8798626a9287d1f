"""Two phones in one terminal: where they stand, and what the last line says."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.demonstration.side_by_side import LOW, NARROW, ROOMY, Layout, hint, layout, window


@pytest.mark.parametrize(
    ("size", "chosen"),
    [
        ((80, 24), Layout.WINDOWS),
        ((100, 30), Layout.WINDOWS),
        ((80, 48), Layout.STACKED),
        ((120, 40), Layout.BESIDE),
        ((120, 50), Layout.STACKED),
        ((160, 44), Layout.BESIDE),
        ((160, 23), Layout.WINDOWS),
        ((200, 60), Layout.BESIDE),
        ((20, 5), Layout.WINDOWS),
    ],
)
def test_each_phone_has_room(size: tuple[int, int], chosen: Layout) -> None:
    assert layout(*size) is chosen


@pytest.mark.parametrize("width", range(20, 240, 7))
@pytest.mark.parametrize("height", range(8, 70, 5))
def test_no_pane_is_smaller_than_a_phone_needs(width: int, height: int) -> None:
    match layout(width, height):
        case Layout.BESIDE:
            assert (width - 1) // 2 >= NARROW
            assert height - 1 >= LOW
        case Layout.STACKED:
            assert width >= ROOMY
            assert (height - 2) // 2 >= LOW


@pytest.mark.parametrize("chosen", Layout)
def test_the_hint_is_as_long_as_there_is_room(chosen: Layout) -> None:
    assert "mouse works" in hint(chosen, 200)
    assert "F12 other phone  d bob Enter calls" in hint(chosen, 80)
    assert all(len(hint(chosen, width)) <= width for width in range(60, 200))


def test_both_phones_are_started_whatever_the_layout(tmp_path: Path) -> None:
    for size in ((80, 24), (80, 60), (200, 50)):
        commands = window(tmp_path / "tmux", [["first", "a b"], ["second"]], *size)
        assert [commands[0][-1], commands[2][-1]] == ["first 'a b'", "second"]
