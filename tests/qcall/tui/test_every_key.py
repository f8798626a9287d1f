"""Every key of every screen is pressed once and does what it is for; a key without a case is a failure."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from textual.binding import Binding
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.screen import Screen

import qcall.tui
from qcall.session import commands
from qcall.session.snapshot import Snapshot
from qcall.tui.commandline import CommandLine
from qcall.tui.contacts import ContactsScreen, EditScreen
from qcall.tui.dialogs import Ask, Question
from qcall.tui.help import HelpScreen
from qcall.tui.history import HistoryScreen
from qcall.tui.incoming import IncomingScreen
from qcall.tui.keys import DTMF
from qcall.tui.main import MainScreen
from qcall.tui.settings import SettingsScreen
from qcall.tui.trace import TraceScreen
from qcall.tui.verify import ChangedScreen, VerifyScreen
from tests.qcall.tui.phones import FINGERPRINT, IDLE, IN_CALL, OTHER, PEOPLE, RINGING, WAITING

CHANGED = replace(IDLE, people=(replace(PEOPLE[0], fingerprint=FINGERPRINT, offered=OTHER), *PEOPLE[1:]))
Effect = commands.Command | type[Screen[Any]] | Callable[[Any], bool]
"""What the phone was told, the screen that is on top, or what holds of the application."""


@dataclass(frozen=True)
class Case:
    """``key`` of the class ``owner``, pressed after ``before``."""

    owner: str
    key: str
    effect: Effect
    first: Snapshot = IDLE
    before: tuple[str, ...] = ()
    welcome: bool = field(default=False)

    def __str__(self) -> str:
        return f"{self.owner}-{self.key}"


def chosen(app: Any) -> int | None:
    hop: int | None = app.query_one("#route").chosen
    return hop


def left(app: Any) -> bool:
    return bool(app.return_value == 0 and app.link.closed)


def told_how_to_leave(app: Any) -> bool:
    return ["^q quits" in notice.message for notice in app._notifications] == [True]


def typed(app: Any) -> str:
    value: str = app.screen.query_one("Input").value
    return value


CASES = (
    Case("QcallApp", "a", commands.Answer(), RINGING, ("escape",)),
    Case("QcallApp", "x", IncomingScreen, RINGING, ("escape",)),
    Case("QcallApp", "b", commands.Hangup(), IN_CALL),
    Case("QcallApp", "d", Ask),
    Case("QcallApp", "m", commands.Mute(), IN_CALL),
    Case("QcallApp", "h", commands.Hold(), IN_CALL),
    Case("QcallApp", "w", commands.Swap(), WAITING, ("escape",)),
    Case("QcallApp", "v", VerifyScreen, IN_CALL),
    Case("QcallApp", "t", Ask, IN_CALL),
    Case("QcallApp", "R", Ask, IN_CALL),
    Case("QcallApp", "r", commands.Redial()),
    Case("QcallApp", "f", ContactsScreen),
    Case("QcallApp", "c", HistoryScreen),
    Case("QcallApp", "l", TraceScreen),
    Case("QcallApp", "s", SettingsScreen),
    Case("QcallApp", "colon", CommandLine),
    Case("QcallApp", "ctrl+p", CommandPalette),
    Case("QcallApp", "f1", HelpScreen),
    Case("QcallApp", "q", left),
    Case("QcallApp", "ctrl+q", left),
    *(Case("QcallApp", key, commands.Dtmf(digit), IN_CALL) for digit, key in DTMF.items()),
    Case("MainScreen", "tab", lambda app: app.focused.id == "route", IN_CALL),
    Case("MainScreen", "shift+tab", lambda app: app.focused.id == "log", IN_CALL),
    Case("PeoplePane", "enter", commands.Dial("bob")),
    Case("RoutePane", "right", lambda app: chosen(app) == 0, IN_CALL, ("tab",)),
    Case("RoutePane", "left", lambda app: chosen(app) == 14, IN_CALL, ("tab",)),
    Case("RoutePane", "escape", lambda app: chosen(app) is None, IN_CALL, ("tab", "right")),
    Case("IncomingScreen", "a", commands.Answer(), RINGING),
    Case("IncomingScreen", "x", commands.Refuse(), RINGING),
    Case("IncomingScreen", "b", commands.Refuse(), RINGING),
    Case("IncomingScreen", "t", lambda app: app.focused.id == "why", RINGING),
    Case("IncomingScreen", "escape", MainScreen, RINGING),
    Case("Over", "f1", HelpScreen, RINGING),
    Case("Over", "ctrl+q", Question, RINGING),
    Case("Over", "ctrl+c", told_how_to_leave, RINGING),
    Case("VerifyScreen", "f1", HelpScreen, IN_CALL, ("v",)),
    Case("VerifyScreen", "ctrl+q", Question, IN_CALL, ("v",)),
    Case("VerifyScreen", "ctrl+c", told_how_to_leave, IN_CALL, ("v",)),
    Case("VerifyScreen", "y", commands.Verify("bob", True), IN_CALL, ("v",)),
    Case("VerifyScreen", "n", commands.Verify("bob", False), IN_CALL, ("v",)),
    Case("VerifyScreen", "b", commands.Hangup(), IN_CALL, ("v", "n")),
    Case("VerifyScreen", "escape", MainScreen, IN_CALL, ("v",)),
    Case("ChangedScreen", "T", commands.Accept("bob"), CHANGED),
    Case("ChangedScreen", "escape", MainScreen, CHANGED),
    Case("Ask", "escape", MainScreen, IDLE, ("d",)),
    Case("Question", "escape", MainScreen, IN_CALL, ("q",)),
    Case("Choose", "escape", SettingsScreen, IDLE, ("s", "enter")),
    Case("CommandLine", "tab", lambda app: typed(app) == "redial ", IDLE, ("colon", "r", "e", "d")),
    Case("CommandLine", "up", lambda app: typed(app) == "redial",
         IDLE, ("colon", *"redial", "enter", "colon")),
    Case("CommandLine", "escape", MainScreen, IDLE, ("colon",)),
    Case("Palette", "f1", HelpScreen, IDLE, ("ctrl+p",)),
    Case("Palette", "ctrl+q", left, IDLE, ("ctrl+p",)),
    Case("Palette", "ctrl+c", told_how_to_leave, IDLE, ("ctrl+p",)),
    Case("HelpScreen", "escape", MainScreen, IDLE, ("f1",)),
    Case("HelpScreen", "ctrl+q", left, IDLE, ("f1",)),
    Case("HelpScreen", "ctrl+c", told_how_to_leave, IDLE, ("f1",)),
    Case("HelpScreen", "q", MainScreen, IDLE, ("f1",)),
    Case("HelpScreen", "f1", MainScreen, IDLE, ("f1",)),
    Case("HistoryScreen", "c", MainScreen, IDLE, ("c",)),
    Case("HistoryScreen", "e", Ask, IDLE, ("c",)),
    Case("TablePage", "escape", MainScreen, IDLE, ("c",)),
    Case("TablePage", "slash", lambda app: app.focused is app.screen.query_one("Input"), IDLE, ("f",)),
    Case("ContactsScreen", "f", MainScreen, IDLE, ("f",)),
    Case("ContactsScreen", "n", EditScreen, IDLE, ("f",)),
    Case("ContactsScreen", "e", EditScreen, IDLE, ("f",)),
    Case("ContactsScreen", "x", Question, IDLE, ("f",)),
    Case("ContactsScreen", "delete", Question, IDLE, ("f",)),
    Case("ContactsScreen", "i", Ask, IDLE, ("f",)),
    Case("ContactsScreen", "o", Ask, IDLE, ("f",)),
    Case("ContactsScreen", "k", ChangedScreen, CHANGED, ("escape", "f")),
    Case("EditScreen", "escape", ContactsScreen, IDLE, ("f", "n")),
    Case("TraceScreen", "escape", MainScreen, IDLE, ("l",)),
    Case("TraceScreen", "l", MainScreen, IDLE, ("l",)),
    Case("TraceScreen", "tab", lambda app: app.focused.id == "all", IDLE, ("l",)),
    Case("SettingsScreen", "escape", MainScreen, IDLE, ("s",)),
    Case("SettingsScreen", "s", MainScreen, IDLE, ("s",)),
    Case("SettingsScreen", "p", lambda app: "it works" in str(app.screen.query_one("#level").render()),
         IDLE, ("s",)),
    Case("SettingsScreen", "right", commands.Policy("off"), IDLE, ("s",)),
    Case("SettingsScreen", "left", commands.Policy("require"), IDLE, ("s",)),
    Case("WelcomeScreen", "f1", HelpScreen, welcome=True),
    Case("WelcomeScreen", "ctrl+c", told_how_to_leave, welcome=True),
    Case("WelcomeScreen", "escape", lambda app: app.focused.id == "who", before=("a", "enter"), welcome=True),
    Case("WelcomeScreen", "ctrl+q", left, welcome=True),
)  # fmt: skip
FROM_TEXTUAL = {("PeoplePane", "enter")}


def bound() -> Iterator[tuple[str, str]]:
    """Every key that a class of the interface binds, with the class."""
    for each in pkgutil.iter_modules(qcall.tui.__path__):
        module = importlib.import_module(f"qcall.tui.{each.name}")
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, DOMNode) and kind.__module__ == module.__name__:
                for binding in vars(kind).get("BINDINGS", ()):
                    assert isinstance(binding, Binding)
                    yield from ((name, key) for key in binding.key.split(","))


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_key_does_what_it_is_for(running, case):
    options = {"enrol": enrolled} if case.welcome else {}
    async with running(case.first, **options) as (app, link, pilot):
        for key in case.before:
            await pilot.press(key)
        await app.workers.wait_for_complete()
        await pilot.press(case.key)
        await app.workers.wait_for_complete()
        await pilot.pause()
        match case.effect:
            case commands.Command():
                assert link.told[-1:] == [case.effect]
            case type():
                assert isinstance(app.screen, case.effect)
            case holds:
                assert holds(app)


async def enrolled(name, relay, invite):
    return "beijing"


def test_no_key_is_without_a_case():
    pressed = {(case.owner, case.key) for case in CASES}
    assert pressed - FROM_TEXTUAL == set(bound())
