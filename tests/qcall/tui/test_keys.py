"""Keys together: what several of them do, and that each can be another key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.command import CommandPalette

from qcall.config import Settings
from qcall.errors import ConfigError, UsageError
from qcall.session import commands
from qcall.session.snapshot import Phase
from qcall.tui.incoming import IncomingScreen
from qcall.tui.keys import DTMF, KEYS, keymap
from qcall.tui.palette import PhoneCommands
from qcall.tui.verify import ChangedScreen
from tests.qcall.tui.phones import FINGERPRINT, IDLE, IN_CALL, OTHER, PEOPLE, RINGING, TALKING, WAITING


async def test_the_palette_offers_what_can_be_done_now(running):
    async with running(IN_CALL) as (app, link, pilot):
        await pilot.press("ctrl+p")
        assert isinstance(app.screen, CommandPalette)
        provider = PhoneCommands(app.screen)
        offered = [hit async for hit in provider.search("mute")]
        await offered[0].command()
        await pilot.pause()
        assert link.told == [commands.Mute()]
        assert "Answer" not in [hit.prompt async for hit in provider.discover()]


async def test_digits_do_nothing_without_a_call(running):
    async with running(IDLE) as (_, link, pilot):
        await pilot.press("5")
        assert link.told == []


async def test_tab_goes_round_the_panes(running):
    async with running(IN_CALL) as (app, _, pilot):
        seen = []
        for _ in range(4):
            seen.append(app.focused.id)
            await pilot.press("tab")
        assert seen == ["people", "route", "talk", "log"]
        assert app.focused.id == "people"


async def test_q_leaves_at_once_without_a_call(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("q")
        await pilot.pause()
        assert link.closed
        assert app.return_value == 0


async def test_q_asks_while_a_call_is_up(running):
    async with running(IN_CALL) as (app, link, pilot):
        await pilot.press("q", "s")
        await pilot.pause()
        assert not link.closed
        await pilot.press("q", "l")
        await pilot.pause()
        assert link.closed
        assert app.return_value == 0


async def test_dialling_takes_the_suggestion(running):
    async with running(IDLE) as (_, link, pilot):
        await pilot.press("d", "l", "a", "right", "enter")
        await pilot.pause()
        assert link.told == [commands.Dial("lab-hefei")]


async def test_text_goes_into_the_call(running):
    async with running(IN_CALL) as (_, link, pilot):
        await pilot.press("t", *"on my way", "enter")
        await pilot.pause()
        assert link.told == [commands.Text("on my way")]


async def test_enter_alone_verifies_nobody(running):
    async with running(IN_CALL) as (app, link, pilot):
        await pilot.press("v", "enter")
        await pilot.pause()
        assert link.told == []
        assert len(app.screen_stack) == 1


async def test_a_changed_identity_blocks_and_enter_does_not_continue(running):
    changed = replace(IDLE, people=(replace(PEOPLE[0], fingerprint=FINGERPRINT, offered=OTHER),))
    async with running(changed) as (app, link, pilot):
        assert isinstance(app.screen, ChangedScreen)
        await pilot.press("enter")
        await pilot.pause()
        assert link.told == []
        app.dial("bob")
        await pilot.pause()
        assert isinstance(app.screen, ChangedScreen)
        await pilot.press("T")
        await pilot.pause()
        assert link.told == [commands.Accept("bob")]


async def test_refusing_with_a_text(running):
    async with running(RINGING) as (_, link, pilot):
        await pilot.press("t", *"later", "enter")
        await pilot.pause()
        assert link.told == [commands.Refuse("later")]


async def test_the_dialog_goes_when_the_caller_gives_up(running):
    async with running(RINGING) as (app, link, pilot):
        assert isinstance(app.screen, IncomingScreen)
        link.show(IDLE)
        await pilot.pause()
        assert len(app.screen_stack) == 1


async def test_whoever_is_typing_does_not_answer_by_accident(running):
    async with running(IDLE) as (app, link, pilot):
        app.guard = 60.0
        await pilot.press("d", "b")
        link.show(RINGING)
        await pilot.pause()
        await pilot.press("a", "x", "enter")
        await pilot.pause()
        assert link.told == []


async def test_a_second_call_can_be_answered_and_swapped(running):
    async with running(WAITING) as (app, link, pilot):
        await pilot.press("a")
        await pilot.pause()
        talking = replace(WAITING.calls[1], phase=Phase.TALKING, talking_at=90.0)
        link.show(replace(WAITING, calls=(talking, replace(TALKING, held=True))))
        await pilot.pause()
        await pilot.press("w")
        await pilot.pause()
        assert link.told == [commands.Answer(), commands.Swap()]
        assert len(app.screen_stack) == 1


async def test_a_refusal_of_the_phone_is_shown(running):
    async with running(IN_CALL) as (app, link, pilot):
        link.refusal = UsageError("there is no other call to talk to")
        await pilot.press("w")
        await pilot.pause()
        assert [notice.message for notice in app._notifications] == ["there is no other call to talk to"]


async def test_keys_can_be_remapped_and_the_footer_shows_them(running):
    settings = Settings(keys={"mute": "ctrl+t"}, reduced_motion=True)
    async with running(IN_CALL, settings=settings) as (app, link, pilot):
        await pilot.press("m")
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert link.told == [commands.Mute()]
        assert "^t Mute" in str(app.query_one("#keys").render())


async def test_hints_name_the_keys_of_the_user(running):
    settings = Settings(keys={"dial": "ctrl+d", "redial": "f5", "history": "ctrl+h"}, reduced_motion=True)
    idle = replace(IDLE, people=(), missed=1, last_dialled="bob")
    async with running(idle, settings=settings) as (app, _link, _pilot):
        assert "^d dials a name" in str(app.query_one("#call").render())
        assert "F5 calls bob again" in str(app.query_one("#call").render())
        assert "1 missed (^h)" in str(app.query_one("#title").render())


@pytest.mark.parametrize(
    "keys", [{"explode": "e"}, {"mute": "d"}, {"mute": ""}, {"mute": "ctrl+t", "hold": "ctrl+t"}]
)
def test_keys_that_cannot_be_are_refused(keys):
    with pytest.raises(ConfigError, match=r"\[keys\]"):
        keymap(keys)


def test_every_key_is_bound_once():
    names = [name for key in KEYS for name in key.key.split(",")] + list(DTMF.values())
    assert len(names) == len(set(names))
