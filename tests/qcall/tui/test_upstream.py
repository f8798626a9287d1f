"""A page that was left is freed, with every line that was drawn of it."""

from __future__ import annotations

import gc
import weakref
from functools import lru_cache
from typing import Any

from textual._styles_cache import StylesCache
from textual.color import Color

from qcall.tui.app import QcallApp
from qcall.tui.trace import TraceScreen
from qcall.tui.upstream import let_go_of_pages
from tests.qcall.tui.phones import IN_CALL, ToldLink


async def test_a_page_that_was_left_is_freed() -> None:
    app = QcallApp(ToldLink(IN_CALL), IN_CALL)
    async with app.run_test() as pilot:
        await pilot.press("l")
        await pilot.pause()
        assert isinstance(app.screen, TraceScreen)
        left = [weakref.ref(widget._styles_cache) for widget in app.screen.query("*")]
        assert len(left) > 5
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("c")
        await pilot.press("escape")
        await pilot.pause()
        gc.collect()
        assert [cache for each in left if (cache := each()) is not None] == []


def test_colours_are_still_kept() -> None:
    let_go_of_pages()
    let_go_of_pages()
    one, other = StylesCache(), StylesCache()
    colours = (Color(1, 2, 3), Color(4, 5, 6))
    assert one.get_inner_outer(*colours) is other.get_inner_outer(*colours)


def test_a_textual_without_the_fault_is_left_alone() -> None:
    class Mended:
        @classmethod
        def get_inner_outer(cls, outer: int, inner: int) -> tuple[int, int]:
            return outer, inner

    before = vars(Mended)["get_inner_outer"]
    let_go_of_pages(Mended)
    assert vars(Mended)["get_inner_outer"] is before


def test_what_the_object_was_bound_to_is_bound_to_the_class() -> None:
    class Faulty:
        @lru_cache(8)  # noqa: B019
        def get_inner_outer(cls: Any, outer: int, inner: int) -> tuple[Any, int]:
            return cls, outer + inner

    let_go_of_pages(Faulty)
    assert Faulty().get_inner_outer(1, 2) == (Faulty, 3)
