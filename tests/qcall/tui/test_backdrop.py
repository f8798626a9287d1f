"""What is behind a dialog looks as Textual dims it, at a fraction of the cost, and cannot be clicked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.segment import Segment
from textual.renderables.background_screen import BackgroundScreen

from qcall.tui.backdrop import Backdrop
from tests.qcall.tui.phones import IN_CALL, TALKING


def cells(line):
    """Each cell's character and what it looks like."""
    return [(letter, str(look)) for text, look, _ in line for letter in text]


async def test_it_looks_as_textual_dims_it(running):
    async with running(IN_CALL) as (app, _link, pilot):
        await pilot.press("d")
        await pilot.pause()
        below, tint, style = app.screen_stack[0], app.screen.styles.background, app.screen.visual_style
        slow = Segment.split_lines(app.console.render(BackgroundScreen(below, tint)))
        slow = ([Segment(text, style.rich_style + look) for text, look, _ in line] for line in slow)
        fast = Backdrop(below, tint).render_strips(app.size.width, app.size.height, style, None)
        assert [cells(line) for line in fast] == [cells(line) for line in slow]


async def test_nothing_in_it_can_be_clicked(running):
    async with running(IN_CALL) as (app, _link, pilot):
        await pilot.press("d")
        await pilot.pause()
        below, style = app.screen_stack[0], app.screen.visual_style
        shown = Backdrop(below, app.screen.styles.background).render_strips(120, 40, style, None)
        for lines, clickable in ((below._compositor.render_strips(), True), (shown, False)):
            assert any("@click" in look.meta for line in lines for _, look, _ in line) is clickable


@pytest.mark.parametrize("key", ["d", "colon", "q", "t"])
async def test_what_changes_below_changes_in_it(running, key, monkeypatch):
    monkeypatch.setattr(BackgroundScreen, "process_segments", None)  # the slow way
    async with running(IN_CALL) as (app, link, pilot):
        await pilot.press(key)
        await pilot.pause()
        assert "MUTED" not in text(app)
        link.show(replace(IN_CALL, calls=(replace(TALKING, muted=True),)))
        await pilot.pause()
        assert "MUTED" in text(app)


def text(app):
    """The whole screen."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
