"""The page with a table that the contacts and the history are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import DataTable, Static

from qcall.session import commands
from qcall.session.snapshot import Person
from tests.qcall.tui.phones import IDLE, PEOPLE


@pytest.mark.parametrize("key", ["c", "f"])
async def test_every_column_is_there_once_and_search_leaves_what_matches(running, key):
    async with running(IDLE) as (app, _link, pilot):
        await pilot.press(key)
        await app.workers.wait_for_complete()
        table = app.screen.query_one(DataTable)
        assert [str(column.label) for column in table.ordered_columns] == [
            column.label for column in app.screen.COLUMNS
        ]
        await pilot.press("slash", *"carol")
        await pilot.pause()
        assert table.row_count == 1


@pytest.mark.parametrize(("key", "said"), [("c", "none found"), ("f", "nobody; n adds somebody")])
async def test_a_search_without_success_says_so_and_calls_nobody(running, key, said):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press(key)
        await app.workers.wait_for_complete()
        await pilot.press("slash", *"zz", "enter", "enter")
        await pilot.pause()
        assert str(app.screen.query_one("#detail", Static).render()) == said
        assert not any(isinstance(told, commands.Dial) for told in link.told)


@pytest.mark.parametrize("key", ["c", "f"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_no_column_is_cut_and_none_of_the_room_is_left(running, key, size):
    async with running(IDLE, size=size) as (app, _link, pilot):
        await pilot.press(key)
        await app.workers.wait_for_complete()
        await pilot.pause()
        table = app.screen.query_one(DataTable)
        assert size[0] - 5 < table.virtual_size.width + 3 <= size[0]
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert 95 < table.virtual_size.width + 3 <= 100
        assert table.row_count == len(app.screen._all)


async def test_what_does_not_fit_says_so_and_nothing_is_markup(running):
    people = (Person("abe", shown="[/b] a name that is much too long", note="[red"), *PEOPLE)
    async with running(replace(IDLE, people=people), size=(80, 24)) as (app, _link, pilot):
        await pilot.press("f")
        await pilot.pause()
        row = app.screen.query_one(DataTable).get_row_at(0)
        assert str(row[0]) == "[/b] a name tha…"
        assert str(row[-1]) == "[red"


async def test_the_cursor_stays_in_its_row_when_somebody_comes_online(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("f", "down", "down")
        link.show(replace(IDLE, people=tuple(replace(each, note="here") for each in PEOPLE)))
        await pilot.pause()
        assert app.screen.chosen == replace(PEOPLE[2], note="here")
