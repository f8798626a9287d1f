"""The history of calls: when, who, how long, why it ended, what protected it and how it sounded."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from qcall.errors import StorageError
from qcall.session import commands
from qcall.session.snapshot import Snapshot

from . import draw
from .dialogs import Ask
from .draw import CROSS, FAIR, GOOD, MUTED, POOR, TICK
from .panes import SecurityStrip, TitleBar

LIMIT = 1000
"""Calls that the screen shows; the export has all of them."""
MISSED = ("cancelled", "no-answer")


def layers(security: dict[str, Any]) -> tuple[str, str]:
    """What protected a call, and a colour."""
    if not security:
        return "–", MUTED
    present = (security.get("qkd") or {}).get("state") == "present"
    return (f"3 layers {TICK}", GOOD) if present else (f"QKD {CROSS}", FAIR)


def direction(call: dict[str, Any]) -> tuple[str, str]:
    """Which way a call went."""
    if call["direction"] == "outgoing":
        return "→ out", ""
    return ("← missed", POOR) if call["reason"] in MISSED else ("← in", "")


def matches(call: dict[str, Any], wanted: str) -> bool:
    """Whether a call is one that the user looks for."""
    return all(word in f"{call['contact']} {call['reason']} {direction(call)[0]}".casefold()
               for word in wanted.casefold().split())  # fmt: skip


class HistoryScreen(Screen[None]):
    """A table, and what is known of the call that is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,c", "back", "Back"),
        Binding("slash", "search", "Search"),
        Binding("e", "export", "Export"),
    ]
    AUTO_FOCUS = "DataTable"

    def compose(self) -> ComposeResult:
        """Search, table, detail."""
        yield TitleBar(id="title")
        yield SecurityStrip(id="security")
        yield Input(placeholder="search: a name, a reason, in, out, missed", classes="search")
        yield DataTable(cursor_type="row", classes="page")
        yield Static("", id="detail", classes="detail")
        yield Static(
            Content.styled("Enter calls   / searches   e exports as JSON Lines   Esc goes back", MUTED),
            id="prompt",
        )

    def on_mount(self) -> None:
        """Fetch the calls."""
        self._calls: list[dict[str, Any]] = []
        self._listed: list[dict[str, Any]] = []
        table = self.query_one(DataTable)
        for label, width in (
            ("when", 12),
            ("", 8),
            ("who", 14),
            ("talk", 7),
            ("ended", 13),
            ("security", 10),
            ("MOS", 4),
        ):
            table.add_column(label, width=width)
        self.show(self.app.snapshot)  # type: ignore[attr-defined]
        self.run_worker(self._fetch(), exit_on_error=False)

    def show(self, snapshot: Snapshot) -> None:
        """The first two lines."""
        for pane in self.query("TitleBar, SecurityStrip, KeyBar"):
            pane.show(snapshot)  # type: ignore[attr-defined]

    async def _fetch(self) -> None:
        calls = await self.app.fetch(commands.History(limit=LIMIT))  # type: ignore[attr-defined]
        self._calls = calls or []
        self._list("")
        if self.app.snapshot.missed:  # type: ignore[attr-defined]
            self.app.command("seen")  # type: ignore[attr-defined]

    def _list(self, wanted: str) -> None:
        table = self.query_one(DataTable)
        table.clear()
        self._listed = [call for call in self._calls if matches(call, wanted)]
        for call in self._listed:
            way, way_colour = direction(call)
            held, colour = layers(call["security"])
            mos = (call.get("quality") or {}).get("mos")
            table.add_row(
                time.strftime("%d %b %H:%M", time.localtime(call["began_at"])),
                Content.styled(way, way_colour),
                call["contact"],
                draw.clock(call["seconds"]) if call["seconds"] else "–",
                call["reason"],
                Content.styled(held, colour),
                "–" if mos is None else f"{mos:.2f}",
            )
        if not self._listed:
            self.query_one("#detail", Static).update(
                Content.styled("no calls" if not wanted else "none found", MUTED)
            )

    @on(DataTable.RowHighlighted)
    def chosen(self, event: DataTable.RowHighlighted) -> None:
        """What is known of the call."""
        if 0 <= event.cursor_row < len(self._listed):
            self.query_one("#detail", Static).update(self._account(self._listed[event.cursor_row]))

    @staticmethod
    def _account(call: dict[str, Any]) -> Content:
        security, quality = call["security"], call.get("quality") or {}
        when = time.strftime("%A %d %B %Y, %H:%M:%S", time.localtime(call["began_at"]))
        lines = [Content.assemble((call["contact"], "bold"), (f"  {when}  {call['reason']}", MUTED))]
        if security:
            qkd = security.get("qkd") or {}
            lines.append(
                Content.styled(str(security.get("line", "")), GOOD if qkd.get("state") == "present" else FAIR)
            )
            lines.append(Content.assemble(("words ", MUTED), " ".join(security.get("words", ()))))
        if quality.get("packetsExpected"):
            lost = f"{quality['packetsLost']} of {quality['packetsExpected']} packets lost"
            lines.append(Content.assemble(("sound ", MUTED), f"{lost}, MOS {quality['mos']}"))
        return Content("\n").join(lines)

    @on(DataTable.RowSelected)
    def call(self, event: DataTable.RowSelected) -> None:
        """Enter calls."""
        event.stop()
        if 0 <= event.cursor_row < len(self._listed):
            self.app.pop_screen()
            self.app.dial(self._listed[event.cursor_row]["contact"])  # type: ignore[attr-defined]

    def action_search(self) -> None:
        """Open the search."""
        search = self.query_one(Input)
        search.add_class("-open")
        search.focus()

    @on(Input.Changed)
    def search(self, event: Input.Changed) -> None:
        """List what matches."""
        self._list(event.value)

    @on(Input.Submitted)
    def found(self, event: Input.Submitted) -> None:
        """Back to the table."""
        event.stop()
        self.query_one(DataTable).focus()

    def action_back(self) -> None:
        """Close the search, else the screen."""
        search = self.query_one(Input)
        if search.has_class("-open"):
            search.value = ""
            search.remove_class("-open")
            self.query_one(DataTable).focus()
        else:
            self.app.pop_screen()

    def action_export(self) -> None:
        """Ask for a file."""

        def named(file: str | None) -> None:
            if file:
                self.run_worker(self._export(Path(file).expanduser()), exit_on_error=False)

        self.app.push_screen(
            Ask("Export", "a file for all calls, one JSON object a line", value="calls.jsonl"), named
        )

    async def _export(self, file: Path) -> None:
        calls = await self.app.fetch(commands.History(limit=10_000))  # type: ignore[attr-defined]
        if calls is None:
            return
        try:
            await asyncio.to_thread(write_lines, file, calls)
        except OSError as error:
            self.app.complain(StorageError(f"cannot write {file}: {error.strerror}"))  # type: ignore[attr-defined]
        else:
            self.notify(f"{len(calls)} calls written to {file}", markup=False)


def write_lines(file: Path, calls: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    with file.open("w") as opened:
        opened.writelines(json.dumps(call) + "\n" for call in calls)
