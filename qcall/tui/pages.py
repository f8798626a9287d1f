"""The other screens. They are imported beside the phone when it has begun, or when they are wanted sooner."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from textual.screen import Screen

PAGES = {
    "contacts": "ContactsScreen",
    "history": "HistoryScreen",
    "trace": "TraceScreen",
    "settings": "SettingsScreen",
    "help": "HelpScreen",
    "commandline": "CommandLine",
    "palette": "Palette",
}
"""Module, and the screen in it."""


def page(name: str) -> type[Screen[Any]]:
    """The screen called ``name``."""
    kind: type[Screen[Any]] = getattr(importlib.import_module(f"qcall.tui.{name}"), PAGES[name])
    return kind


async def import_all() -> None:
    """Import every page on another thread: the first key that opens one shall not wait for that."""
    for name in PAGES:
        await asyncio.to_thread(importlib.import_module, f"qcall.tui.{name}")
