"""The application: what every screen shares. It shows the phone's snapshots and sends it commands."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.screen import Screen

from qcall.config import Settings
from qcall.errors import QcallError
from qcall.session import commands
from qcall.session.snapshot import OWN_RECORDING, Call, Link, Snapshot

from .alerts import Alerts
from .attention import Attention
from .dialogs import Ask, Question, recording_of
from .incoming import GUARD, IncomingScreen
from .keybar import shown
from .keys import bindings, keymap
from .link import LazySoundTest, PhoneLink, SoundTester
from .lists import PeoplePane
from .main import MainScreen
from .pages import import_all, page
from .theme import PLAIN, THEMES
from .upstream import let_go_of_pages
from .verify import VerifyScreen

log = logging.getLogger(__name__)

Enrol = Callable[[str, str, str], Awaitable[str]]
"""Enrols a name at a relay with an invite; returns where."""
NOTICE = 6.0
"""Seconds that a notice stays."""
LAST_MOMENT = 6.0
"""Seconds that a signal leaves to hang up and to tidy the screen."""
INTERRUPTED = 130
TRIES = 3
"""Times that a wrong passphrase may be typed."""
SOON = 0.1
"""Seconds from leaving a page until it is tidied up after: it is gone by then, and the main screen drawn."""
DEVICES = frozenset({"microphone", "speaker"})
"""Settings that change the devices of a call, too."""


def nothing_to_tidy() -> None:
    """Pages go by themselves."""


def palette() -> type[Provider]:
    """What Ctrl+P searches; imported when it is wanted."""
    from .palette import PhoneCommands

    return PhoneCommands


class QcallApp(App[int]):
    """The softphone. ``link`` is the phone; ``first`` is shown until it says something.

    ``settle`` is called when everything is imported and the phone has begun, with what repeats work; it
    gives what tidies up after a page.
    """

    CSS_PATH = Path(__file__).with_name("qcall.tcss")
    TITLE = "qcall"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]
    COMMANDS: ClassVar[set[Any]] = {palette}

    def __init__(
        self,
        link: PhoneLink,
        first: Snapshot,
        *,
        settings: Settings | None = None,
        save: Callable[[Mapping[str, Any]], None] = lambda changes: None,
        enrol: Enrol | None = None,
        sound_test: SoundTester | None = None,
        guard: float = GUARD,
        signals: Sequence[signal.Signals] = (),
        settle: Callable[[Callable[..., object]], Callable[[], object]] = lambda every: nothing_to_tidy,
    ) -> None:
        let_go_of_pages()
        super().__init__()
        self.link = link
        self.snapshot = first
        self.settings = settings or Settings()
        self.chosen_keys = dict(keymap(self.settings.keys))
        self.guard = guard
        self.sound_test = sound_test or LazySoundTest()
        self.attention = Attention(self)
        self.alerts = Alerts(bell=self._ring_bell, desktop=self._shows_notifications)
        self._save = save
        self._enrol = enrol
        self._signals = signals
        self._settle = settle
        self._tidy: Callable[[], object] = nothing_to_tidy
        self.fault: QcallError | None = None
        """Why the phone ended by itself."""
        self._pages_wanted = True
        self._passphrases = 0
        for each in THEMES:
            self.register_theme(each)
        self.theme = PLAIN.name if self.no_color else self.settings.theme
        if self.settings.reduced_motion or self.no_color:
            self.animation_level = "none"

    def get_default_screen(self) -> Screen[Any]:
        """The main screen."""
        return MainScreen()

    def on_mount(self) -> None:
        """Begin."""
        self.set_keymap(self.chosen_keys)
        for number in self._signals:
            # Whatever ends the program hangs up and gives the terminal back as it was.
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_leave)
        if self._enrol is None:
            # After the first frame: what the phone imports would hold it up.
            self.call_after_refresh(self.link.start, self.show, self.failed)
        else:
            self._welcome(self._enrol)

    def _told_to_leave(self) -> None:
        self.link.stop()
        # A terminal that is gone (SIGHUP) holds up whoever writes to it, for ever: not this program.
        last = threading.Timer(LAST_MOMENT, os._exit, (INTERRUPTED,))
        last.daemon = True
        last.start()
        self.run_worker(self.leave(), exit_on_error=False)

    def _welcome(self, enrol: Enrol) -> None:
        """Set the phone up, then begin."""
        from .welcome import WelcomeScreen

        def done(enrolled: bool | None) -> None:
            if enrolled:
                self.link.start(self.show, self.failed)
            else:
                self.exit(1)

        self.push_screen(WelcomeScreen(enrol, self.sound_test), done)

    # Settings

    def choose(self, name: str, value: Any) -> None:
        """The user has chosen another ``value`` for the setting ``name``."""
        if getattr(self.settings, name) == value:
            return
        try:
            self._save({name: value})
        except QcallError as error:
            self.complain(error)
            return
        self.settings = msgspec.structs.replace(self.settings, **{name: value})
        if name == "theme" and not self.no_color:
            self.theme = value
        if name == "reduced_motion":
            self.animation_level = "none" if value or self.no_color else "full"
        if name == "qkd":
            self.command("policy", qkd=value)
        if name == "presence":
            self.command("presence", state="on" if value else "off")
        if name in DEVICES:
            self.command("device", kind=name, name=value)

    def _ring_bell(self) -> None:
        if self.settings.bell:
            self.bell()

    def _shows_notifications(self) -> bool:
        return self.settings.notify

    def _fatal_error(self) -> None:
        """In place of a page-long account with the values of variables: the log has it, without them."""
        log.error("a fault of the screen", exc_info=True)
        self._close_messages_no_wait()

    # Snapshots in

    def show(self, snapshot: Snapshot) -> None:
        """The phone looks like this now."""
        before, self.snapshot = self.snapshot, snapshot
        for screen in tuple(self.screen_stack):
            if screen.is_mounted and (show := getattr(screen, "show", None)) is not None:
                show(snapshot)
        self.attention.after(before, snapshot)
        self.alerts.after(before, snapshot)
        if self._pages_wanted and snapshot.link is not Link.STARTING:
            # Not sooner: the phone's own imports come first.
            self._pages_wanted = False
            self.run_worker(self._import_pages(), group="imports", exit_on_error=False)

    async def _import_pages(self) -> None:
        await import_all()
        self._tidy = self._settle(self.set_interval)

    def page_left(self) -> None:
        """The main screen is on top again."""
        self.set_timer(SOON, self._tidy)

    def failed(self, error: QcallError) -> None:
        """The phone has ended by itself; say why, and end. A missing passphrase is asked for."""
        if error.code == "passphrase" and self._passphrases < TRIES:
            self._passphrases += 1
            self._ask_passphrase(str(error))
            return
        self.fault = error
        self.exit(error.exit_code)

    def _ask_passphrase(self, why: str) -> None:
        def typed(passphrase: str | None) -> None:
            if passphrase:
                self.link.unlock(passphrase)
            else:
                self.exit(1)

        self.push_screen(Ask("Passphrase", why, secret=True), typed)

    def ask_about(self, name: str) -> None:
        """Show what changed about a contact's identity, if anything did."""
        person = self.snapshot.person(name)
        if person is not None and person.offered:
            self.attention.ask_about(person)

    def has(self, kind: type[Screen[Any]]) -> bool:
        """Whether a screen of that kind is open."""
        return any(isinstance(screen, kind) for screen in self.screen_stack)

    # Commands out

    def command(self, name: str, /, **fields: Any) -> None:
        """Have the phone carry out a command; what it refuses is shown."""
        self.send(commands.make(name, **fields))

    def send(self, command: commands.Any) -> None:
        """Have the phone carry out a command; what it refuses is shown."""
        self.run_worker(self._ask(command), group="commands", exit_on_error=False)

    async def _ask(self, command: commands.Any) -> None:
        try:
            await self.link.ask(command)
        except QcallError as error:
            self.complain(error)

    async def fetch(self, command: commands.Any) -> Any:
        """The answer to a command; ``None`` when it was refused, which is shown."""
        try:
            return await self.link.ask(command)
        except QcallError as error:
            self.complain(error)
            return None

    def complain(self, error: Exception) -> None:
        """Show why something was not done."""
        self.notify(str(error), severity="warning", timeout=NOTICE, markup=False)

    @property
    def talk(self) -> Call | None:
        """The call in front, if it lives."""
        call = self.snapshot.call
        return call if call is not None and call.alive else None

    # Keys

    def action_command_palette(self) -> None:
        """Textual's, opened like the other pages."""
        self.action_page("palette")

    def action_answer(self) -> None:
        """Answer."""
        self.command("answer")

    def action_refuse(self) -> None:
        """Refuse the call that rings, asking for a text."""
        if (call := self.snapshot.incoming) is None:
            self.command("refuse")
        elif not self.has(IncomingScreen):
            self.push_screen(IncomingScreen(self.snapshot, call, guard=0))

    def action_hangup(self) -> None:
        """Hang up; with a call that has ended, put it away."""
        self.command("hangup" if self.snapshot.live else "seen")

    def action_dial(self, contact: str = "") -> None:
        """Ask whom to call."""
        names = [person.name for person in self.snapshot.people]

        def chosen(name: str | None) -> None:
            if name:
                self.dial(name)

        self.push_screen(
            Ask("Dial", "a name as the relay knows it", value=contact, suggestions=names, longest=64), chosen
        )

    def dial(self, name: str) -> None:
        """Call ``name``; by the name the user gave them, too."""
        shown = {person.label.casefold(): person.name for person in self.snapshot.people}
        wanted = shown.get(name.casefold(), name)
        person = self.snapshot.person(wanted)
        if person is not None and person.offered:
            self.ask_about(wanted)
        else:
            self.command("dial", contact=wanted)

    def action_redial(self) -> None:
        """Call again."""
        self.command("redial")

    def action_hold(self) -> None:
        """Hold, or take back."""
        self.command("hold")

    def action_swap(self) -> None:
        """The other call."""
        self.command("swap")

    def action_mute(self) -> None:
        """Mute, or not."""
        self.command("mute")

    def action_digit(self, digit: str) -> None:
        """A key of the keypad."""
        if self.talk is not None:
            self.command("dtmf", digits=digit)

    def action_text(self) -> None:
        """Ask for a line to send."""
        if self.talk is None:
            self.complain(QcallError("text needs a call; dial somebody"))
            return

        def written(text: str | None) -> None:
            if text:
                self.command("text", text=text)

        self.push_screen(Ask("Text", "goes into this call, encrypted like it"), written)

    def action_record(self) -> None:
        """End the recording that this phone makes, or ask for a file to begin one."""
        if (call := self.talk) is None:
            self.complain(QcallError("there is no call to record; dial somebody"))
        elif call.recording.startswith(OWN_RECORDING):
            self.command("record", state="off")
        else:
            self.push_screen(recording_of(call, self.snapshot.unix), self._record_into)

    def _record_into(self, file: str | None) -> None:
        if file:
            self.command("record", state="on", file=str(Path(file).expanduser().absolute()))

    def action_verify(self) -> None:
        """The four words."""
        call = self.snapshot.call
        if call is None or not call.words:
            self.complain(QcallError("there are no words before a call is secured; call first"))
            return
        person = self.snapshot.person(call.contact)
        who = call.contact if person is None else person.label

        def answered(same: bool | None) -> None:
            if same is not None:
                self.command("verify", contact=call.contact, same=same)

        self.push_screen(VerifyScreen(call, who), answered)

    def on_people_pane_called(self, event: PeoplePane.Called) -> None:
        """Enter on a contact."""
        self.dial(event.name)

    def action_page(self, name: str) -> None:
        """Show one of the other screens; again, it is put away."""
        kind = page(name)
        if isinstance(self.screen, kind):
            self.pop_screen()
        elif not self.has(kind):
            self.push_screen(kind())

    async def action_quit_phone(self) -> None:
        """Leave; a call that is up is asked about."""
        live = self.snapshot.live
        if not live:
            await self.leave()
            return
        names = ", ".join(call.contact for call in live)
        question = Question(
            "Leave?",
            f"The call with {names} ends when you leave.",
            [("s", "Stay", False, "primary"), ("l", "Hang up and leave", True, "error")],
        )

        def answered(leaving: bool | None) -> None:
            if leaving:
                self.run_worker(self.leave(), exit_on_error=False)

        self.push_screen(question, answered)

    def action_help_quit(self) -> None:
        """Ctrl+C, which Textual takes for somebody who looks for the way out."""
        key = shown(self.chosen_keys.get("quit", "q").split(",")[0])
        self.notify(f"{key} quits, and asks first if a call is up; F1 lists every key", timeout=NOTICE)

    async def action_quit(self) -> None:
        """Textual's own way out is ours."""
        await self.action_quit_phone()

    async def leave(self) -> None:
        """Hang up and end."""
        self.show(replace(self.snapshot, trouble="leaving …"))
        await self.link.close()
        self.exit(0)

    async def on_unmount(self) -> None:
        """Whatever ends the screen ends the phone."""
        await asyncio.shield(self.link.close())
