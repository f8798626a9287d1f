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
from textual.binding import BindingType
from textual.command import Provider
from textual.screen import Screen
from textual.widgets import Input

from qcall.config import Settings
from qcall.errors import QcallError
from qcall.session.snapshot import Link, Snapshot

from .actions import Actions
from .alerts import Alerts
from .dialogs import Ask, Question
from .guard import GUARD
from .keys import bindings, keymap, written
from .link import LazySoundTest, PhoneLink, SoundTester
from .linked import NOTICE
from .main import MainScreen
from .pages import import_all
from .theme import PLAIN, THEMES
from .upstream import let_go_of_pages

log = logging.getLogger(__name__)

Enrol = Callable[[str, str, str], Awaitable[str]]
"""Enrols a name at a relay with an invite; returns where."""
LAST_MOMENT = 6.0
"""Seconds that a signal leaves to hang up and to tidy the screen."""
INTERRUPTED = 130
TRIES = 3
"""Times that a wrong passphrase may be typed."""
SOON = 0.1
"""Seconds from leaving a page until it is tidied up after: it is gone by then, and the main screen drawn."""
LEAVING = "leaving"
"""The question that is asked once."""
DEVICES = frozenset({"microphone", "speaker"})
"""Settings that change the devices of a call, too."""


def nothing_to_tidy() -> None:
    """Pages go by themselves."""


def palette() -> type[Provider]:
    """What Ctrl+P searches; imported when it is wanted."""
    from .palette import PhoneCommands

    return PhoneCommands


class QcallApp(Actions):
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
        super().__init__(link, first, guard)
        self.settings = settings or Settings()
        self.chosen_keys = dict(keymap(self.settings.keys))
        self.sound_test = sound_test or LazySoundTest()
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
        self.attention.after(snapshot)
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

    # Leaving

    async def action_quit_phone(self) -> None:
        """Leave; a call that is up is asked about."""
        live = self.snapshot.live
        if not live:
            await self.leave()
            return
        if any(isinstance(screen, Question) and screen.name == LEAVING for screen in self.screen_stack):
            return
        names = ", ".join(call.contact for call in live)
        question = Question(
            "Leave?",
            f"The call with {names} ends when you leave.",
            [("s", "Stay", False, "primary"), ("l", "Hang up and leave", True, "error")],
            name=LEAVING,
        )

        def answered(leaving: bool | None) -> None:
            if leaving:
                self.run_worker(self.leave(), exit_on_error=False)

        self.push_screen(question, answered)

    def action_help_quit(self) -> None:
        """Ctrl+C, which Textual takes for somebody who looks for the way out."""
        # Where letters are typed, or a dialog has the keys, only this key leaves.
        dialog = isinstance(self.focused, Input) or self.screen.is_modal
        key = "^q" if dialog else written(self.chosen_keys, "quit")
        self.notify(f"{key} quits, and asks first if a call is up; F1 lists every key", timeout=NOTICE)

    async def action_quit(self) -> None:
        """Textual's own way out is ours."""
        await self.action_quit_phone()

    async def leave(self) -> None:
        """Hang up and end."""
        self._pages_wanted = False
        self.show(replace(self.snapshot, trouble="leaving …"))
        await self.link.close()
        self.exit(0)

    async def on_unmount(self) -> None:
        """Whatever ends the screen ends the phone."""
        await asyncio.shield(self.link.close())
