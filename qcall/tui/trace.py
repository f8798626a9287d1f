"""Log, and the handshake as a call flow: message by message, with sizes and times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from qcall.session.snapshot import Snapshot, TraceLine

from .draw import FAIR, GOOD, MUTED
from .keybar import KeyBar
from .lists import LogPane
from .strips import Page, SecurityStrip, TitleBar

LANE, LEAST_LANE = 26, 16
"""Cells between two lanes of the flow, where there is room and at least."""
BESIDE_LANES = 16
"""Cells of a line that are in no lane: the time, the lanes' own, and the bar beside more than fits."""
MEANING = {
    "m1": "The caller opens: suites, policy, fresh X25519 and ML-KEM shares, and a commitment to who it is.",
    "m2": "The callee answers: its shares, the ML-KEM ciphertext, its identity with both signatures, sealed.",
    "m3": "The caller shows itself: identity and signatures, which quantum key to use, the SDP offer.",
    "m4": "The callee acknowledges the same quantum key and sends its SDP answer; after this it may ring.",
    "confirm": "Key confirmation on the media path: whoever sends it holds all three layers.",
    "answered": "The callee's user answered; audio flows from here on.",
    "enc_keys": "This phone's key node gave a fresh quantum key (ETSI GS QKD 014), sealed to this phone.",
    "dec_keys": "This phone's key node gave the quantum key that the caller named.",
    "no quantum key": "The key node gave none; the policy decides whether the call goes on.",
    "rk1": "Rekey: the caller's fresh shares, and the next quantum key.",
    "rk2": "Rekey: the callee's shares, signed every tenth time; it can receive the new epoch.",
    "rk3": "Rekey: the caller can receive the new epoch too; media switches.",
    "again": "Rekey: the callee's key node gave no key.",
    "hangup": "The end, with a signature over the receipt of the call.",
    "farewell": "The same receipt, signed by the other phone.",
    "hold": "The call was put on hold, or taken back.",
    "text": "A line of text.",
    "refuse": "A refusal in clear, which anybody on the way could have sent.",
    "sealed-refuse": "A refusal under the keys of the handshake.",
}


def lane_in(width: int) -> int:
    """Cells between two lanes on a screen of ``width``."""
    return max(LEAST_LANE, min(LANE, (width - BESIDE_LANES) // 2))


def arrow(line: TraceLine, lane: int = LANE) -> Content:
    """One message between the lanes, ``lane`` cells apart, of this phone, the other one, and the key node."""
    size = f" {line.size:,} B" if line.size else ""
    label = f" {line.what}{size} ".center(lane - 2, "─")[: lane - 2]
    at = (f"{line.after:9.3f} s  ", MUTED)
    if line.sent is None:
        note = f" {line.what}: {line.note} ".center(2 * lane - 1, "─")[: 2 * lane - 1]
        return Content.assemble(at, ("│", MUTED), (f"{note}▶", FAIR), ("│", MUTED))
    text = f"{label}─▶" if line.sent else f"◀─{label}"
    return Content.assemble(at, ("│", MUTED), (text, GOOD if line.sent else "$accent"), ("│", MUTED),
                            " " * (lane - 1), ("│", MUTED))  # fmt: skip


def lanes(mine: str, theirs: str, lane: int = LANE) -> Content:
    """The heads of the lanes."""
    heads = ((name[: lane - 1].ljust(lane), "bold") for name in (mine, theirs))
    return Content.assemble(" " * 13, *heads, ("key node", "bold"))


def tabs(handshake: bool) -> Content:
    """The names of both tabs, the open one in brackets; either can be clicked."""
    parts = [
        Content.styled(f"[{name}]" if opened else f" {name} ", "bold $accent" if opened else MUTED).stylize(
            "" if opened else "@click=screen.other"
        )
        for name, opened in (("Handshake", handshake), ("Log", not handshake))
    ]
    return Content.assemble(" ", *parts, ("   Tab turns", MUTED))


class TraceScreen(Page):
    """Two tabs: the flow of the call in front, and the whole log."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,l", "app.pop_screen", "Back"),
        Binding("tab", "other", "Other tab", show=False),
    ]
    AUTO_FOCUS = "#flow"

    def __init__(self) -> None:
        super().__init__()
        self._shown: Sequence[TraceLine] = ()
        self._lane = LANE
        self._drawn = False

    def compose(self) -> ComposeResult:
        """Flow and log."""
        yield TitleBar(id="title")
        yield SecurityStrip(id="security")
        yield Static(id="tabs")
        yield Static(id="lanes", classes="flow")
        yield OptionList(id="flow", classes="box flow")
        yield Static(id="meaning", classes="detail flow")
        yield LogPane(id="all", classes="box")
        yield KeyBar(id="keys")

    async def on_mount(self) -> None:
        """The first tab, the lines of which are drawn in turns of their own."""
        self._turn(handshake=True)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self._drawn = True
        self.show(self.app.snapshot)

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        if not self._drawn:
            for head in (TitleBar, SecurityStrip, KeyBar):
                self.query_one(head).show(snapshot)
            return
        super().show(snapshot)
        self.query_one(LogPane).show(snapshot)
        call = snapshot.call
        lines = () if call is None else call.trace
        lane = lane_in(self.app.size.width)
        if lines and (lines, lane) == (self._shown, self._lane):
            return
        flow = self.query_one("#flow", OptionList)
        chosen = flow.highlighted
        if chosen is None or chosen >= len(self._shown) - 1:
            chosen = len(lines) - 1  # Who looks at the last message follows what comes.
        self._shown, self._lane = lines, lane
        who = "the other phone" if call is None else call.contact
        self.query_one("#lanes", Static).update(lanes(snapshot.name or "this phone", who, lane))
        flow.clear_options()
        flow.add_options([Option(arrow(line, lane)) for line in lines])
        if lines:
            flow.highlighted = min(chosen, len(lines) - 1)
        else:
            flow.add_option(
                Option(Content.styled("no call yet: its messages appear here", MUTED), disabled=True)
            )

    async def on_resize(self) -> None:
        """The lanes get the room that there is."""
        self.show(self.app.snapshot)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Explain the message that is chosen."""
        if event.option_index is None or event.option_index >= len(self._shown):
            return
        line = self._shown[event.option_index]
        before = self._shown[event.option_index - 1].after if event.option_index else 0.0
        gap = line.after - before
        since = f"{f'{1000 * gap:.1f} ms' if gap < 1 else f'{gap:.1f} s'} after the one before"
        meaning = MEANING.get(line.what, "A message of the call.")
        parts = [
            part
            for part in (line.what.upper(), f"{line.size:,} bytes" if line.size else "", line.note, since)
            if part
        ]
        self.query_one("#meaning", Static).update(
            Content("\n").join([Content.styled("  ".join(parts), "bold"), Content(meaning)])
        )

    def action_other(self) -> None:
        """The other tab."""
        self._turn(handshake=not self.query_one("#flow").display)

    def _turn(self, *, handshake: bool) -> None:
        for widget in self.query(".flow"):
            widget.display = handshake
        everything = self.query_one("#all")
        everything.display = not handshake
        self.query_one("#tabs", Static).update(tabs(handshake))
        (self.query_one("#flow") if handshake else everything).focus()
