"""The page with a table that the contacts and the history are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import DataTable, Static

from qcall.session import commands
from tests.qcall.tui.phones import IDLE, PEOPLE


@pytest.mark.parametrize("key", ["c", "f"])
async def test_every_column_is_there_once_and_search_leaves_what_matches(running, key):
    async with running(IDLE) as (app, _link, pilot):
        await pilot.press(key)
        await app.workers.wait_for_complete()
        table = app.screen.query_one(DataTable)
        assert [str(column.label) for column in table.ordered_columns] == [
            label for label, _ in app.screen.COLUMNS
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


async def test_the_cursor_stays_in_its_row_when_somebody_comes_online(running):
    async with running(IDLE) as (app, link, pilot):
        await pilot.press("f", "down", "down")
        link.show(replace(IDLE, people=tuple(replace(each, note="here") for each in PEOPLE)))
        await pilot.pause()
        assert app.screen.chosen == replace(PEOPLE[2], note="here")
