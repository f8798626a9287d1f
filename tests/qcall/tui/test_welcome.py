"""The first start: what is wrong is one line that says what to do, and is mended where it stands."""

from __future__ import annotations

import pytest

from qcall.errors import RelayRefused, Unavailable
from qcall.tui.welcome import problem_of_name


def problem(app):
    """The line below the step."""
    return str(app.screen.query_one("#problem").render())


async def accept(name, relay, invite):
    return "beijing"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "type a name first, such as alice"),
        ("   ", "type a name first, such as alice"),
        ("a" * 33, "that name has 33 characters; use at most 32"),
        ("Alice!", "Alice! cannot be a name; use a-z, 0-9 and . _ -: alice, perhaps"),
        ("Anna Maria", "Anna Maria cannot be a name; use a-z, 0-9 and . _ -: anna-maria, perhaps"),
        ("-", "- cannot be a name; use a-z, 0-9 and . _ -"),
        ("张", "张 cannot be a name; use a-z, 0-9 and . _ -"),
        ("a\x1b[31m", r"a\x1b[31m cannot be a name; use a-z, 0-9 and . _ -: a31m, perhaps"),
    ],
)
async def test_a_name_that_cannot_be_one_is_a_line_and_the_focus_stays(running, name, said):
    async with running(enrol=accept) as (app, _link, pilot):
        app.screen.query_one("#who").value = name
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert problem(app) == said
        assert app.focused.id == "who"


def test_a_name_is_one():
    assert problem_of_name("alice.b-2_c") == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "the address comes first"),
        ("relay", "'relay' is no relay; write it as wss://HOST:PORT"),
        ("http://relay.example:7480", "is no relay; write it as wss://HOST:PORT"),
        ("ws://relay.example:7480", "would not be encrypted; use wss://relay.example:7480"),
    ],
)
async def test_an_address_that_is_none_is_told_before_the_invite(running, url, said):
    async with running(enrol=accept) as (app, _link, pilot):
        await pilot.press(*"alice", "enter")
        app.screen.query_one("#url").value = url
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert said in problem(app)
        assert app.focused.id == "url"


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (Unavailable("the relay ws://127.0.0.1:1 does not answer; is it running?"), "url"),
        (RelayRefused("another relay", code="wrong-relay"), "url"),
        (RelayRefused("this invite is not valid", code="invite"), "invite"),
        (RelayRefused("alice is taken", code="name-taken"), "who"),
    ],
)
async def test_what_the_relay_refuses_is_mended_in_its_field(running, error, field):
    async def refuse(name, relay, invite):
        raise error

    async with running(enrol=refuse) as (app, _link, pilot):
        await pilot.press(*"alice", "enter", *"127.0.0.1:1", "enter", *"code", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert problem(app) == str(error)
        assert app.focused.id == field


async def test_no_key_of_a_phone_works_before_there_is_one(running):
    async with running(enrol=accept) as (app, link, pilot):
        await pilot.press(*"alice", "enter", *"127.0.0.1:1", "enter", *"code", "enter")
        await app.workers.wait_for_complete()
        for key in ("d", "q", "s", "c", "f", "colon", "ctrl+p", "r"):
            await pilot.press(key)
            await pilot.pause()
            assert len(app.screen_stack) == 2
        assert link.told == []
        assert not link.closed
