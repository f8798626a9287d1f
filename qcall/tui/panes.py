"""The parts of the main screen: each draws itself anew only when its part of the snapshot changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from qcall.session.snapshot import QUIET, Call, Link, LogLine, Person, Phase, Series, Snapshot, Trust
from qcall.session.snapshot import Message as TextLine

from . import draw
from .draw import FAIR, GOOD, MUTED, POOR

LINKS = {Link.ONLINE: GOOD, Link.STARTING: FAIR, Link.AWAY: FAIR, Link.FAILED: POOR}
PHASES = {
    Phase.TALKING: GOOD,
    Phase.INCOMING: f"bold {FAIR}",
    Phase.ENDED: MUTED,
}


WAITING = {
    Phase.DIALLING: "agreeing on keys; the far phone rings when all of them are verified",
    Phase.RINGING: "the far phone rings; keys are agreed, audio flows the moment it is answered",
    Phase.INVITED: "somebody calls; it rings when all signatures are verified",
    Phase.INCOMING: "a answers, x refuses",
    Phase.ANSWERING: "answered; confirming the keys",
}


class Pane(Widget):
    """A part that shows what ``part`` picks out of the snapshot."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._shown: Any = None
        self.snapshot = Snapshot()

    def part(self, snapshot: Snapshot) -> Any:
        """What the pane shows; equal parts look equal."""
        raise NotImplementedError

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot; draw if it matters here."""
        self.snapshot = snapshot
        part = self.part(snapshot)
        if part != self._shown:
            self._shown = part
            self.changed()

    def changed(self) -> None:
        """The part changed."""
        self.refresh()

    @property
    def room(self) -> int:
        """Cells of a line."""
        return max(10, self.content_size.width)


class TitleBar(Pane):
    """Who this phone is, and whether it can be called."""

    def part(self, snapshot: Snapshot) -> Any:
        who = (snapshot.name, snapshot.site, snapshot.link, snapshot.trouble)
        return (who, snapshot.missed, int(snapshot.unix // 60), snapshot.sound)

    def render(self) -> RenderResult:
        snapshot = self.snapshot
        who = f"{snapshot.name}@{snapshot.site}" if snapshot.name else "no phone yet"
        left: list[str | tuple[str, str]] = [(" qcall ", "bold $accent"), (f" {who}  ", "bold")]
        mark = "●" if snapshot.link is Link.ONLINE else "○"
        left.append((f"{mark} {snapshot.link}", LINKS[snapshot.link]))
        if snapshot.missed:
            left.append((f"  {snapshot.missed} missed (c)", FAIR))
        if snapshot.trouble:
            left.append((f"  {snapshot.trouble}", POOR))
        elif snapshot.sound:
            left.append(("  no sound", FAIR))
        clock = draw.time_of_day(snapshot.unix)[:5] if snapshot.unix else ""
        text = Content.assemble(*left).truncate(max(1, self.room - len(clock) - 1), ellipsis=True)
        gap = self.room - text.cell_length - len(clock)
        return Content.assemble(text, " " * max(1, gap), (clock, MUTED))


class SecurityStrip(Pane):
    """The one line that is always there: which layers protect the call, and with whom it is."""

    def part(self, snapshot: Snapshot) -> Any:
        call = snapshot.call
        return (
            snapshot.policy
            if call is None
            else (call.line, call.contact, call.phase, call.warning, call.silent)
        )

    def render(self) -> RenderResult:
        call = self.snapshot.call
        if call is None or not call.line:
            policy = {"require": "needs", "prefer": "wants", "off": "does without"}[self.snapshot.policy]
            word = "NO CALL" if call is None else "NOT SECURED YET"
            return Content.assemble(
                (f" {word} ", "bold" if call is None else f"bold {FAIR}"),
                (f"  this phone {policy} quantum keys; nothing is ever sent unencrypted", MUTED),
            )
        if call.phase is Phase.ENDED:
            return Content.styled(f" ENDED  {call.line.removeprefix('SECURED').strip()}", MUTED)
        warning = (f"  WARNING {call.warning}" if call.warning else "", f"bold {FAIR}")
        line = Content.assemble(" ", *self._words(call), warning)
        return line.truncate(self.room, ellipsis=True)

    @staticmethod
    def _words(call: Call) -> Sequence[tuple[str, str]]:
        parts = []
        for index, word in enumerate(call.line.split("  ")):
            colour = GOOD if index == 0 or draw.TICK in word else POOR if draw.CROSS in word else ""
            if word == "VERIFIED":
                colour = f"bold {GOOD}"
            elif word in ("NEW", "CHANGED"):
                colour = f"bold {FAIR}"
            parts.append((word, f"bold {colour}" if index == 0 else colour))
            parts.append(("  ", ""))
        return parts[:-1]


class CallPane(Pane):
    """Who, how long, and how loud."""

    BORDER_TITLE = "Call"

    def part(self, snapshot: Snapshot) -> Any:
        call = snapshot.call
        if call is None:
            return (snapshot.link, snapshot.last_dialled, snapshot.sound, snapshot.trouble)
        others = tuple((other.id, other.contact, other.phase, other.held) for other in snapshot.calls[1:])
        seconds = int(call.talked(snapshot.at))
        return (call.phase, call.contact, seconds, call.levels, call.muted, call.held, call.held_by_peer,
                call.silent, call.digits, call.failure, call.recording, call.words, others)  # fmt: skip

    def render(self) -> RenderResult:
        call = self.snapshot.call
        lines = self._idle() if call is None else self._lines(call)
        return Content("\n").join(lines)

    def _idle(self) -> Sequence[Content]:
        again = self.snapshot.last_dialled
        lines = [
            Content.assemble(("Ready.  ", "bold"), ("Enter", "bold $accent"), " calls whom you choose, ",
                             ("d", "bold $accent"), " dials a name"),
            Content.assemble(("r", "bold $accent"), f" calls {again} again") if again else Content(""),
            Content.styled(self.snapshot.sound, FAIR) if self.snapshot.sound else Content(""),
        ]  # fmt: skip
        if self.snapshot.link is not Link.ONLINE:
            why = self.snapshot.trouble or "connecting to the relay; calls are possible once it answers"
            lines[0] = Content.assemble((f"{self.snapshot.link}".capitalize() + ".  ", f"bold {FAIR}"), why)
        return lines

    def _lines(self, call: Call) -> Sequence[Content]:
        talked = draw.clock(call.talked(self.snapshot.at))
        head: list[str | tuple[str, str]] = [(f"{self._label(call)}  ", "bold")]
        head.append((str(call.phase).upper(), PHASES.get(call.phase, FAIR)))
        if call.talking_at is not None:
            head.append((f"  {talked}", "bold"))
        head += [(f"  {word}", FAIR) for word in self._conditions(call)]
        for other in self.snapshot.calls[1:]:
            if other.alive:
                head.append((f"   {other.contact} {'on hold' if other.held else other.phase} (w)", "$accent"))
        width = max(6, min(30, self.room - 20))
        lines = [Content.assemble(*head)]
        if call.phase is Phase.ENDED:
            why = call.failure or f"ended: {call.reason}"
            lines.append(Content.styled(why, POOR if call.failure else ""))
            lines.append(Content.styled("d dial   r redial   c calls", MUTED))
            return lines
        if call.phase is not Phase.TALKING:
            lines.append(Content.styled(WAITING.get(call.phase, ""), MUTED))
            return [*lines, self._more(call)]
        spoken = "muted" if call.muted else "on hold" if call.held else draw.loudness(call.levels.spoken)
        heard = "nothing comes" if call.silent else draw.loudness(call.levels.heard)
        levels = ((call.levels.spoken, spoken, "you"), (call.levels.heard, heard, "they"))
        for level, word, whose in levels:
            bar = draw.meter(QUIET if whose == "you" and call.muted else level, width)
            lines.append(Content.assemble((f"{whose:5}", MUTED), bar, f"  {word}"))
        if self.content_size.height > len(lines):
            lines.append(self._more(call))
        return lines

    def _label(self, call: Call) -> str:
        person = self.snapshot.person(call.contact)
        return call.contact if person is None else person.label

    @staticmethod
    def _conditions(call: Call) -> Sequence[str]:
        words = (
            ("MUTED", call.muted),
            ("ON HOLD", call.held),
            ("HELD BY THEM", call.held_by_peer),
            ("NOT HEARD", call.silent),
            ("RECORDING", bool(call.recording)),
        )
        return [word for word, holds in words if holds]

    def _more(self, call: Call) -> Content:
        if call.digits:
            return Content.assemble(("sent ", MUTED), call.digits)
        if call.words and call.security.get("trust") == "new":
            return Content.assemble(("words ", MUTED), " ".join(call.words), (" (v verifies)", MUTED))
        return Content("")


class RoutePane(Pane, can_focus=True):
    """The chain of trusted nodes with each hop's pool, rate and QBER."""

    BORDER_TITLE = "Route  (simulated quantum links)"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "choose(-1)", "Hop", show=False),
        Binding("right", "choose(1)", "Hop", show=False),
        Binding("escape", "weakest", "Weakest hop", show=False),
    ]
    chosen: reactive[int | None] = reactive(None)

    def part(self, snapshot: Snapshot) -> Any:
        call = snapshot.call
        return None if call is None else (call.route, call.security.get("qkd"))

    def render(self) -> RenderResult:
        call = self.snapshot.call
        if call is None or not call.route.nodes:
            return Content.styled(self._absent(call), MUTED)
        route, width = call.route, self.room
        chosen = None if self.chosen is None else min(self.chosen, len(route.hops) - 1)
        lines = draw.picture(route, width, chosen)
        index = draw.weakest(route) if chosen is None else chosen
        hops = len(route.hops)
        prefix = f"hop {index + 1}/{hops}  " if chosen is not None else "weakest  "
        lines.append(draw.hop_line(route, index, prefix=prefix))
        if route.keys_left is not None and self.content_size.height > len(lines):
            rate = "" if route.keys_per_second is None else f", {route.keys_per_second:.1f} more a second"
            lines.append(Content.styled(f"{hops} hops; {route.keys_left} end keys ready{rate}", MUTED))
        fitting = lines[: max(1, self.content_size.height)]
        return Content("\n").join([line.truncate(width, ellipsis=True) for line in fitting])

    @staticmethod
    def _absent(call: Call | None) -> str:
        if call is None or not call.security:
            return "no quantum key yet: the chain of trusted nodes appears with the first one"
        reason = (call.security.get("qkd") or {}).get("reason") or "not asked for"
        return f"no quantum key in this call ({reason}): classical and post-quantum keys protect it"

    def action_choose(self, step: int) -> None:
        """Go along the chain."""
        call = self.snapshot.call
        if call is not None and call.route.hops:
            last = len(call.route.hops) - 1
            self.chosen = (
                (0 if step > 0 else last) if self.chosen is None else min(last, max(0, self.chosen + step))
            )

    def action_weakest(self) -> None:
        """Choose none: the weakest is shown."""
        self.chosen = None


class QualityPane(Pane):
    """Delay, loss, jitter and the opinion score, now and over the last two minutes."""

    BORDER_TITLE = "Quality"

    def part(self, snapshot: Snapshot) -> Any:
        return None if snapshot.call is None else snapshot.call.quality

    def render(self) -> RenderResult:
        call = self.snapshot.call
        if call is None or not call.quality.mos.samples:
            return Content.styled("measured once a second while you talk", MUTED)
        quality = call.quality
        lines = [
            self._line("delay", quality.delay, (0.0, 0.15), "{:.0f} ms", 1000, (0.15, 0.3)),
            self._line("loss", quality.loss, (0.0, 0.05), "{:.1f} %", 100, (0.01, 0.05)),
            self._line("jitter", quality.jitter, (0.0, 0.02), "{:.1f} ms", 1000, (0.01, 0.03)),
            self._line("MOS", quality.mos, (2.5, 4.5), "{:.2f}", 1, (4.0, 3.6)),
        ]
        return Content("\n").join(lines)

    def _line(
        self,
        name: str,
        series: Series,
        scale: tuple[float, float],
        form: str,
        factor: float,
        limits: tuple[float, float],
    ) -> Content:
        value = series.last or 0.0
        word, colour = draw.grade(value, *limits)
        spark = draw.sparkline(series.samples, max(8, self.room - 26), *scale)
        figure = form.format(factor * value)
        return Content.assemble(
            (f"{name:7}", MUTED), (spark, colour), f" {figure:>9} ", (f"{word:5}", colour)
        )


class PeoplePane(OptionList):
    """Everyone who can be called."""

    BORDER_TITLE = "Contacts"

    class Called(Message):
        """Somebody was chosen to be called."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._people: tuple[Person, ...] = ()
        self._width = 0

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        if snapshot.people != self._people or not self.option_count:
            self._people = snapshot.people
            self._fill()

    def on_resize(self, event: events.Resize) -> None:
        """Names get the room that there is."""
        if self.content_size.width != self._width:
            self._width = self.content_size.width
            self._fill()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click."""
        event.stop()
        if event.option_id:
            self.post_message(self.Called(event.option_id))

    def _fill(self) -> None:
        before = self.highlighted
        self.clear_options()
        self.add_options([Option(self._line(person), id=person.name) for person in self._people])
        if not self._people:
            self.add_option(Option(Content.styled("nobody yet\nd dials a name", MUTED), disabled=True))
        elif self._people:
            self.highlighted = min(before or 0, len(self._people) - 1)

    def _line(self, person: Person) -> Content:
        mark, colour = draw.PRESENCE[person.presence]
        width = max(10, (self.content_size.width or 20) - 2)
        word = str(person.trust) if person.trust is Trust.CHANGED else str(person.presence)
        if width >= 24 and person.trust is not Trust.CHANGED:
            word = f"{person.trust}  {person.presence:7}"
        name = person.label[: max(4, width - len(word) - 4)]
        gap = " " * max(1, width - len(name) - len(word) - 2)
        style = draw.TRUST[Trust.CHANGED] if person.trust is Trust.CHANGED else MUTED
        return Content.assemble((f"{mark} ", colour), name, gap, (word, style))


class Lines(VerticalScroll, can_focus=True):
    """A pane of lines that stays at its end unless the user looks back."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lines: tuple[Content, ...] = ()

    def compose(self) -> ComposeResult:
        """The text."""
        yield Static()

    def put(self, lines: Sequence[Content]) -> None:
        """Show ``lines``."""
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self.query_one(Static).update(Content("\n").join(lines))
            self._to_end()

    def on_resize(self) -> None:
        """The end stays in sight."""
        self._to_end()

    def _to_end(self) -> None:
        """Follow what comes, unless somebody reads here."""
        if not self.has_focus:
            self.scroll_end(animate=False, immediate=False)


class LogPane(Lines):
    """What happened."""

    BORDER_TITLE = "Log"

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        self.put([self._line(each) for each in snapshot.log[-100:]])

    @staticmethod
    def _line(each: LogLine) -> Content:
        at = (f"{draw.time_of_day(each.unix)} ", MUTED)
        return Content.assemble(at, (each.text, FAIR if each.grave else ""))


class TalkPane(Lines):
    """Text in the call."""

    BORDER_TITLE = "Text"

    def show(self, snapshot: Snapshot) -> None:
        """Take the snapshot."""
        call = snapshot.call
        if call is None or not call.messages:
            self.put([Content.styled("t sends a line of text, encrypted like the call", MUTED)])
            return
        self.put([self._line(each) for each in call.messages[-100:]])

    @staticmethod
    def _line(each: TextLine) -> Content:
        sender = (f"{each.sender}: ", "bold $accent" if each.own else "bold $secondary")
        return Content.assemble((f"{draw.time_of_day(each.unix)[:5]} ", MUTED), sender, each.text)
