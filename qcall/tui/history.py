"""The history of calls: when, who, how long, why it ended, what protected it and how it sounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from qcall.errors import StorageError
from qcall.session import commands
from qcall.session.wording import reason_line

from . import draw
from .dialogs import Ask
from .draw import CROSS, FAIR, GOOD, MUTED, POOR, TICK
from .table import Column, TablePage

LIMIT = 1000
"""Calls that the screen shows; the export has all of them."""
MISSED = ("cancelled", "no-answer")


def layers(security: dict[str, Any]) -> tuple[str, str]:
    """What protected a call, and a colour."""
    if not security:
        return "–", MUTED
    present = (security.get("qkd") or {}).get("state") == "present"
    return (f"3 layers {TICK}", GOOD) if present else (f"QKD {CROSS}", FAIR)


def why(call: dict[str, Any]) -> str:
    """How a call ended."""
    return reason_line(call["reason"], outgoing=call["direction"] == "outgoing")


def direction(call: dict[str, Any]) -> tuple[str, str]:
    """Which way a call went."""
    if call["direction"] == "outgoing":
        return "→ out", ""
    return ("← missed", POOR) if call["reason"] in MISSED else ("← in", "")


class HistoryScreen(TablePage[dict[str, Any]]):
    """The latest calls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "back", "Back"),
        Binding("e", "export", "Export"),
    ]
    COLUMNS = (
        Column("when", 12),
        Column("", 8),
        Column("who", 8, share=1),
        Column("talk", 7, spare=1),
        Column("ended", 13),
        Column("security", 10, spare=2),
        Column("MOS", 4),
    )
    SEARCH = "search: a name, a reason, in, out, missed"
    KEYS = "Enter calls   / searches   e exports as JSON Lines   Esc goes back"

    async def on_mount(self) -> None:
        """Fetch the calls; the columns are there, since Textual asks every class."""
        self.work(self._fetch())

    async def _fetch(self) -> None:
        calls = await self.app.fetch(commands.History(limit=LIMIT))
        self.put(calls or [])
        if self.app.snapshot.missed:
            self.app.command("seen")

    def matches(self, each: dict[str, Any], wanted: str) -> bool:
        """By name, reason and direction, in any order of the words."""
        ended = f"{why(each)} {each['reason']}"
        text = f"{each['contact']} {ended} {direction(each)[0]}".casefold()
        return all(word in text for word in wanted.casefold().split())

    def cells(self, each: dict[str, Any]) -> Sequence[str | Content]:
        """When, who, how it ended, what protected it, how it sounded."""
        way, way_colour = direction(each)
        held, colour = layers(each["security"])
        mos = (each.get("quality") or {}).get("mos")
        return (
            time.strftime("%d %b %H:%M", time.localtime(each["began_at"])),
            Content.styled(way, way_colour),
            each["contact"],
            draw.clock(each["seconds"]) if each["seconds"] else "–",
            why(each),
            Content.styled(held, colour),
            "–" if mos is None else f"{mos:.2f}",
        )

    def account(self, each: dict[str, Any]) -> Content:
        """The security line, the words, the losses."""
        security, quality = each["security"], each.get("quality") or {}
        when = time.strftime("%A %d %B %Y, %H:%M:%S", time.localtime(each["began_at"]))
        ended = why(each)
        lines = [Content.assemble((each["contact"], "bold"), (f"  {when}  {ended}", MUTED))]
        if security:
            qkd = security.get("qkd") or {}
            lines.append(
                Content.styled(str(security.get("line", "")), GOOD if qkd.get("state") == "present" else FAIR)
            )
            lines.append(Content.assemble(("words ", MUTED), " ".join(security.get("words", ()))))
        if "mos" in quality:
            lost = f"{quality['packetsLost']} of {quality['packetsExpected']} packets lost"
            lines.append(Content.assemble(("sound ", MUTED), f"{lost}, MOS {quality['mos']}"))
        return Content("\n").join(lines)

    def contact(self, each: dict[str, Any]) -> str:
        """Who was called, or called."""
        return str(each["contact"])

    def nothing(self, wanted: str) -> str:
        """An empty history, or a search without success."""
        return "none found" if wanted else "no calls"

    def action_export(self) -> None:
        """Ask for a file."""

        def named(file: str | None) -> None:
            if file:
                self.work(self._export(commands.located(file)))

        self.app.push_screen(
            Ask("Export", "a new file for all calls, one JSON object a line", value="calls.jsonl"), named
        )

    async def _export(self, file: Path) -> None:
        calls = await self.app.fetch(commands.History(limit=commands.ALL_CALLS))
        if calls is None:
            return
        try:
            said = await asyncio.to_thread(written, file, calls)
        except StorageError as error:
            self.app.complain(error)
        else:
            self.notify(said, markup=False)


def written(file: Path, calls: list[dict[str, Any]]) -> str:
    """As ``write_calls``, which is imported when it is wanted. Raises ``StorageError``."""
    from qcall.session.books import write_calls

    return write_calls(file, calls)
