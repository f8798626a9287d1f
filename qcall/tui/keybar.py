"""The last line: the keys of the moment, as many as there is room for; each can be clicked."""

from __future__ import annotations

from typing import Any

from textual.app import RenderResult
from textual.content import Content

from qcall.session.snapshot import Snapshot

from .draw import MUTED
from .keys import KEYS, Key, states
from .strips import Pane

SPECIAL = {"colon": ":", "ctrl+": "^", "escape": "Esc", "question_mark": "?", "slash": "/", "space": "Space"}


def shown(key: str) -> str:
    """A key as people write it."""
    for name, sign in SPECIAL.items():
        key = key.replace(name, sign)
    return key.upper() if key.startswith("f") and key[1:].isdigit() else key


class KeyBar(Pane):
    """Keys for the state of the phone first, the others as far as they fit."""

    def part(self, snapshot: Snapshot) -> Any:
        return states(snapshot)

    def render(self) -> RenderResult:
        now = states(self.snapshot)
        fitting = [key for key in KEYS if key.when in now]
        # What belongs to the moment comes first; help and quit are never pushed out.
        last = [key for key in fitting if key.id in ("help", "quit")]
        rest = sorted((key for key in fitting if key not in last), key=lambda key: key.when == "always")
        room = self.room - sum(self._width(key) for key in last)
        chosen = []
        for key in rest:
            if (room := room - self._width(key)) < 0:
                break
            chosen.append(key)
        parts: list[Content] = []
        for key in (*chosen, *last):
            text = Content.assemble((f" {self._key(key)}", "bold $accent"), (f" {key.label} ", MUTED))
            parts.append(text.stylize(f"@click=app.{key.action}"))
        return Content("").join(parts)

    def _key(self, key: Key) -> str:
        keymap = getattr(self.app, "chosen_keys", {})
        return (
            shown(keymap[key.id].split(",")[0])
            if key.id in keymap
            else key.shown or shown(key.key.split(",")[0])
        )

    def _width(self, key: Key) -> int:
        return len(self._key(key)) + len(key.label) + 3
