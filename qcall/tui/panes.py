"""The call on the main screen: itself, its route, its quality; each part is drawn when it changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive

from qcall.session.snapshot import QUIET, Call, Link, Phase, Route, Series, Snapshot
from qcall.session.wording import reason_line

from . import draw
from .draw import FAIR, GOOD, MUTED, POOR
from .strips import Pane

PHASES = {
    Phase.TALKING: GOOD,
    Phase.INCOMING: f"bold {FAIR}",
    Phase.ENDED: MUTED,
}
WAITING = {
    Phase.DIALLING: "agreeing on keys; the far phone rings when all of them are verified",
    Phase.RINGING: "the far phone rings; keys are agreed, audio flows the moment it is answered",
    Phase.INVITED: "somebody calls; it rings when all signatures are verified",
    Phase.ANSWERING: "answered; confirming the keys",
}
MISSED = "missed"
MISSING = {"cancelled": "they called, and gave up before anybody answered"}
"""How a call is missed, by its reason."""
AFTERWARDS = {"dial": "dial", "redial": "redial", "history": "calls"}
"""IDs of keys, and what they are for when a call has ended."""


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
        sound = draw.on_screen(self.snapshot.sound, self.snapshot.sound_code, self._sound())
        lines = [
            Content.assemble(("Ready.  ", "bold"), ("Enter", "bold $accent"), " calls whom you choose, ",
                             (self.key("dial"), "bold $accent"), " dials a name"),
            Content.assemble((self.key("redial"), "bold $accent"), f" calls {again} again")
            if again else Content(""),
            Content.styled(sound, FAIR),
        ]  # fmt: skip
        if self.snapshot.link is not Link.ONLINE:
            why = self.snapshot.trouble or "connecting to the relay; calls are possible once it answers"
            lines[0] = Content.assemble((f"{self.snapshot.link}".capitalize() + ".  ", f"bold {FAIR}"), why)
        return lines

    def _sound(self) -> str:
        return f"plug one in, or choose another: {self.key('settings')}"

    def _lines(self, call: Call) -> Sequence[Content]:
        talked = draw.clock(call.talked(self.snapshot.at))
        head: list[str | tuple[str, str]] = [(f"{self._label(call)}  ", "bold")]
        why = reason_line(call.reason, outgoing=call.outgoing) if call.phase is Phase.ENDED else ""
        word = MISSED if why == MISSED else str(call.phase)
        head.append((word.upper(), PHASES.get(call.phase, FAIR)))
        if call.talking_at is not None:
            head.append((f"  {talked}", "bold"))
        head += [(f"  {word}", FAIR) for word in self._conditions(call)]
        for other in self.snapshot.calls[1:]:
            if other.alive:
                head.append((f"   {self._other(other)}", "$accent"))
        width = max(6, min(30, self.room - 20))
        lines = [Content.assemble(*head)]
        if call.phase is Phase.ENDED:
            why = MISSING.get(call.reason, "nobody answered") if why == MISSED else f"ended: {why}"
            lines.append(Content.styled(self._failure(call) or why, POOR if call.failure else ""))
            keys = (f"{self.key(id)} {what}" for id, what in AFTERWARDS.items())
            lines.append(Content.styled("   ".join(keys), MUTED))
            return lines
        if call.phase is not Phase.TALKING:
            waiting = WAITING.get(call.phase) or f"{self.key('answer')} answers, {self.key('refuse')} refuses"
            lines.append(Content.styled(waiting, MUTED))
            return [*lines, self._more(call)]
        spoken = "muted" if call.muted else "on hold" if call.held else draw.loudness(call.levels.spoken)
        heard = "nothing comes" if call.silent else draw.loudness(call.levels.heard)
        heard = "on hold" if call.held_by_peer else heard
        levels = ((call.levels.spoken, spoken, "you"), (call.levels.heard, heard, "they"))
        for level, word, whose in levels:
            bar = draw.meter(QUIET if whose == "you" and call.muted else level, width)
            lines.append(Content.assemble((f"{whose:5}", MUTED), bar, f"  {word}"))
        if self.content_size.height > len(lines):
            lines.append(self._more(call))
        return lines

    def _failure(self, call: Call) -> str:
        """Why it failed; what lets the next call have less is named as it is typed here."""
        if not call.failure:
            return ""
        from qcall.agreement.insistence import allowing_less

        flag = allowing_less(call.contact, outgoing=call.outgoing)
        return call.failure.replace(flag, f"{self.key('command')}allow-less {call.contact}")

    def _other(self, call: Call) -> str:
        """The call that is not in front, with the key that turns to it."""
        key = self.key("answer" if call.phase is Phase.INCOMING else "swap")
        return f"{call.contact} {'on hold' if call.held else call.phase} ({key})"

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
        return [word for word, holds in words if holds and call.alive]

    def _more(self, call: Call) -> Content:
        if call.digits:
            return Content.assemble(("sent ", MUTED), call.digits)
        if call.words and call.security.get("trust") == "new":
            words, how = " ".join(call.words), f" ({self.key('verify')} verifies)"
            fits = len("words ") + len(words + how) <= self.room
            return Content.assemble(("words ", MUTED), words, (how if fits else "", MUTED))
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
        if call is None or not call.route.hops:
            return Content.styled(self._absent(call), MUTED)
        route, width = call.route, self.room
        chosen = None if self.chosen is None else min(self.chosen, len(route.hops) - 1)
        height = max(1, self.content_size.height)
        lines = draw.picture(route, width, chosen, height=height)
        worst = draw.by_worry(route)
        if chosen is not None:
            lines.append(draw.hop_line(route, chosen, width, prefix=f"hop {chosen + 1}/{len(worst)}  "))
        else:
            # What room there is besides is for the hops to worry about next.
            shown = worst if not route.now else worst[:1]
            lines += [
                draw.hop_line(route, index, width, prefix="weakest  " if index == worst[0] else "then     ")
                for index in shown[: max(1, height - len(lines))]
            ]
        if route.now:  # Keys have left the drawn way: with little room its figures give place.
            lines = [*lines[:-1][: max(1, height - 2)], lines[-1], draw.other_way(route, width)]
        fitting = lines[:height]
        return Content("\n").join([line.truncate(width, ellipsis=True) for line in fitting])

    def changed(self) -> None:
        """The keys that are left stand in the border."""
        self.border_subtitle = ready(None if self.snapshot.call is None else self.snapshot.call.route)
        super().changed()

    @staticmethod
    def _absent(call: Call | None) -> str:
        if call is not None and call.route.nodes:
            return f"both phones are at {call.route.nodes[0]}: their quantum keys cross no link"
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


def ready(route: Route | None) -> str:
    """How many end keys there are, and how many more come."""
    if route is None or route.keys_left is None:
        return ""
    rate = "" if route.keys_per_second is None else f", {route.keys_per_second:.1f} more a second"
    hops = f"{len(route.hops)} hops, " if route.hops else ""
    return f"{hops}{route.keys_left} end keys ready{rate}"


class QualityPane(Pane):
    """Delay, loss, jitter and the opinion score, now and over the last two minutes."""

    BORDER_TITLE = "Quality"

    def part(self, snapshot: Snapshot) -> Any:
        call = snapshot.call
        return None if call is None else (call.quality, call.alive)

    def render(self) -> RenderResult:
        call = self.snapshot.call
        if call is None or not call.quality.mos.samples:
            over = call is not None and not call.alive
            said = (
                "nothing was said that could be measured" if over else "measured once a second while you talk"
            )
            return Content.styled(said, MUTED)
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
