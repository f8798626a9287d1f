"""A fault of Textual, mended here until it is mended there."""

from __future__ import annotations

from typing import Any

from textual._styles_cache import StylesCache

COLOURS = "get_inner_outer"


def let_go_of_pages(styles_cache: Any = StylesCache) -> None:
    """Have pages that were left freed.

    Textual caches 1,024 pairs of colours, for a widget's inside and outside, by a method that is written for
    the class but bound to the object (its issue 6665). So hundreds of widgets stay in memory with every line
    that was drawn of them, and each collection of garbage visits all of it.
    """
    colours = vars(styles_cache).get(COLOURS)
    if hasattr(colours, "cache_info"):
        setattr(styles_cache, COLOURS, classmethod(colours))
