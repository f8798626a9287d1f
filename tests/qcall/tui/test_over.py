"""What comes over what: a call, a changed identity, the words, help; none loses or hides another's answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.timer import Timer

from qcall.config import Settings
from qcall.session import commands
from qcall.session.snapshot import Phase
from qcall.tui.dialogs import Ask, Question
from qcall.tui.help import HelpScreen
from qcall.tui.incoming import IncomingScreen
from qcall.tui.verify import ChangedScreen, VerifyScreen, large
from tests.qcall.tui.phones import IDLE, IN_CALL, INCOMING, OTHER, PEOPLE, RINGING, TALKING

CHANGED = replace(IDLE, people=(replace(PEOPLE[0], offered=OTHER), *PEOPLE[1:]))
SECOND = replace(INCOMING, id="33" * 16, contact="dave")


def said(app):
    """What help says."""
    return str(app.screen.query_one(".dialog Static").render())


async def test_help_over_a_call_that_rings_is_about_it_and_goes_with_it(running):
    async with running(RINGING) as (app, link, pilot):
        await pilot.press("f1")
        await pilot.pause()
        assert "Somebody calls" in said(app)
        link.show(IDLE)
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen_stack) == 1


async def test_help_for_a_call_that_comes_while_help_is_read(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("f1")
        link.show(RINGING)
        await pilot.pause()
        assert isinstance(app.screen, IncomingScreen)
        await pilot.press("f1")
        await pilot.pause()
        assert "Somebody calls" in said(app)
        await pilot.press("f1", "a")
        await pilot.pause()
        assert link.told == [commands.Answer()]


@pytest.mark.parametrize(
    ("first", "before", "about"),
    [
        (CHANGED, [], "A changed identity"),
        (IN_CALL, ["v"], "The words"),
        (IN_CALL, ["q"], "A question"),
        (IDLE, ["d"], "A line of text"),
        (IDLE, ["colon"], "The command line"),
        (IDLE, ["ctrl+p"], "The palette"),
        (IDLE, ["c"], "Calls"),
        (IDLE, ["f"], "The address book"),
        (IDLE, ["f", "n"], "An entry"),
        (IDLE, ["l"], "The handshake"),
        (IDLE, ["s"], "Settings"),
        (IDLE, ["s", "enter"], "A choice"),
    ],
)
async def test_help_is_about_the_screen_it_was_asked_on(running, first, before, about):
    async with running(first) as (app, _link, pilot):
        await pilot.press(*before, "f1")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert said(app).startswith(about)


@pytest.mark.parametrize(
    ("first", "before", "kind"),
    [(RINGING, [], IncomingScreen), (CHANGED, [], ChangedScreen), (IN_CALL, ["v"], VerifyScreen)],
)
async def test_no_key_of_the_main_screen_works_over_what_has_to_be_answered(running, first, before, kind):
    async with running(first) as (app, link, pilot):
        await pilot.press(*before)
        for key in ("s", "c", "f", "l", "d", "r", "q", "m", "h", "R", "colon", "ctrl+p", "5"):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, kind)
        assert link.told == []
        assert not link.closed


async def test_a_second_call_that_rings_is_shown_when_the_first_is_over(running):
    async with running(RINGING) as (app, link, pilot):
        link.show(replace(IDLE, calls=(INCOMING, SECOND)))
        await pilot.pause()
        assert [screen.call.contact for screen in app.screen_stack[1:]] == ["carol"]
        link.show(replace(IDLE, calls=(SECOND,)))
        await pilot.pause()
        assert [screen.call.contact for screen in app.screen_stack[1:]] == ["dave"]


async def test_a_call_that_was_let_ring_is_not_shown_again(running):
    async with running(RINGING) as (app, link, pilot):
        await pilot.press("escape")
        link.show(replace(RINGING, missed=1))
        await pilot.pause()
        assert len(app.screen_stack) == 1
        link.show(replace(IDLE, calls=(INCOMING, SECOND)))
        await pilot.pause()
        assert app.screen.call.contact == "dave"


@pytest.mark.parametrize(("shown", "meant"), [(RINGING, "a"), (CHANGED, "T")])
async def test_who_types_on_puts_the_moment_off_from_which_keys_count(running, monkeypatch, shown, meant):
    put_off = []
    monkeypatch.setattr(Timer, "reset", lambda timer: put_off.append(timer))
    async with running(IDLE) as (app, link, pilot):
        app.guard = 60.0
        link.show(shown)
        await pilot.pause()
        await pilot.press(meant, "enter")
        assert put_off == []
        await pilot.press("z")
        assert put_off == [app.screen._arming]
        assert link.told == []


async def test_who_is_typing_trusts_nobody_by_accident(running):
    async with running(IDLE) as (app, link, pilot):
        app.guard = 60.0
        await pilot.press("d", "b")
        link.show(CHANGED)
        await pilot.pause()
        await pilot.press("T", "enter", "escape")
        await pilot.pause()
        assert link.told == []
        assert isinstance(app.screen, ChangedScreen)


async def test_every_changed_identity_is_asked_about_in_its_turn(running):
    people = tuple(replace(person, offered=OTHER) for person in PEOPLE[:2])
    async with running(replace(IDLE, people=people)) as (app, link, pilot):
        assert app.screen._person.name == "bob"
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen._person.name == "carol"
        await pilot.press("T")
        await pilot.pause()
        assert link.told == [commands.Accept("carol")]
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize("key", ["escape", "n", "y", "f1"])
async def test_words_that_were_said_to_differ_stay_different(running, key):
    async with running(IN_CALL) as (_app, link, pilot):
        await pilot.press("v", "n", key, "escape")
        await pilot.pause()
        assert link.told == [commands.Verify("bob", False)]


async def test_after_words_that_differ_enter_hangs_up(running):
    async with running(IN_CALL) as (app, link, pilot):
        await pilot.press("v", "n", "enter")
        await pilot.pause()
        assert link.told == [commands.Verify("bob", False), commands.Hangup()]
        assert len(app.screen_stack) == 1


async def test_only_the_call_whose_words_differ_is_hung_up(running):
    async with running(IN_CALL) as (_app, link, pilot):
        await pilot.press("v", "n")
        other = replace(INCOMING, phase=Phase.TALKING)
        link.show(replace(IN_CALL, calls=(other, replace(TALKING, held=True))))
        await pilot.press("b")
        await pilot.pause()
        assert link.told == [commands.Verify("bob", False)]


@pytest.mark.parametrize("width", [74, 66, 60, 49, 30, 16])
def test_no_word_is_cut(width):
    words = ("stagnate", "hemisphere", "adroitness", "blackjack")
    lines = str(large(words, width)).splitlines()
    assert all(len(line) <= width for line in lines)
    assert [word for word in words if word.upper() not in "".join(lines).replace(" ", "")] == []


async def test_whether_to_leave_is_asked_once(running):
    async with running(IN_CALL) as (app, _link, pilot):
        await pilot.press("ctrl+q", "ctrl+q")
        await pilot.pause()
        assert [type(screen) for screen in app.screen_stack[1:]] == [Question]


async def test_in_a_dialog_ctrl_c_names_the_key_that_leaves_from_there(running):
    async with running(RINGING) as (app, _link, pilot):
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert [notice.message[:8] for notice in app._notifications] == ["^q quits"]


async def test_keys_of_the_user_work_in_the_dialog_and_are_written_on_its_buttons(running):
    settings = Settings(keys={"answer": "ctrl+y", "hangup": "f10"}, reduced_motion=True)
    async with running(RINGING, settings=settings) as (app, link, pilot):
        assert str(app.screen.query_one("#answer").label) == "^y  Answer"
        await pilot.press("a", "b")
        assert link.told == []
        await pilot.press("ctrl+y", "f10")
        await pilot.pause()
        assert link.told == [commands.Answer(), commands.Refuse()]


async def test_the_words_are_over_when_another_call_rings_and_come_back(running):
    async with running(IN_CALL) as (app, link, pilot):
        await pilot.press("v")
        link.show(replace(IN_CALL, calls=(TALKING, INCOMING)))
        await pilot.pause()
        await pilot.press("x")
        link.show(IN_CALL)
        await pilot.pause()
        assert isinstance(app.screen, VerifyScreen)
        await pilot.press("y")
        await pilot.pause()
        assert link.told == [commands.Refuse(), commands.Verify("bob", True)]


async def test_a_line_that_is_being_typed_is_there_after_a_call_that_was_refused(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("d", "b", "o")
        link.show(RINGING)
        await pilot.pause()
        await pilot.press("x")
        link.show(IDLE)
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        assert app.screen.query_one("Input").value == "bo"
