"""Screens over another one, which stays in sight, dimmed.

Textual dims what is below through Rich, and blends the colours of every piece of text anew, each time that
anything below changes: eight times a second in a call, and most of what opening a dialog takes. A screen has
few styles, so each is blended once here, and lines go from one compositor to the other as they are.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.color import Color
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.visual import Visual

from .keys import DIALOG
from .strips import InTurns

T = TypeVar("T")
STYLES = 1024
"""Styles whose dimmed ones are kept."""


class Over(InTurns, ModalScreen[T]):
    """A dialog that gives a ``T``."""

    BINDINGS: ClassVar[list[BindingType]] = [*DIALOG]

    def render(self) -> Any:
        """The screen below, unless the background hides it."""
        below = super().render()
        return Backdrop(below.screen, below.color) if isinstance(below, BackgroundScreen) else below


class Backdrop(Visual):
    """What ``below`` shows, under a ``tint``; nothing in it can be clicked."""

    def __init__(self, below: Screen[Any], tint: Color) -> None:
        self._below = below
        self._tint = tint

    def render_strips(self, width: int, height: int | None, style: Any, options: Any) -> list[Strip]:
        """Line by line."""
        own, tint = style.rich_style, self._tint
        lines = self._below._compositor.render_strips()[:height]
        dark = (([Segment(text, dimmed(look, tint, own)) for text, look, _ in line], line) for line in lines)
        return [Strip(cells, line.cell_length).adjust_cell_length(width) for cells, line in dark]

    def get_optimal_width(self, rules: Any, container_width: int) -> int:
        """All of it."""
        return container_width

    def get_height(self, rules: Any, width: int) -> int:
        """As high as what is below."""
        return self._below.size.height


@functools.lru_cache(STYLES)
def dimmed(style: Style | None, tint: Color, own: Style) -> Style:
    """``style`` under a ``tint``; what it leaves open is as in the screen's ``own`` style."""
    plain = (style or Style()).clear_meta_and_links()

    def under(colour: Any) -> Any:
        return None if colour is None else (Color.from_rich_color(colour) + tint).rich_color

    return own + plain + Style.from_color(under(plain.color), under(plain.bgcolor))
