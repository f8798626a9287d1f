"""What a running relay is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from relay.config import RelayHome
from relay.control import ask

from .app import Json, app
from .running import print_json, run


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Calls, media relay, signalling and key pools of the relay that runs with this home."""
    home: RelayHome = context.obj

    async def work(_: asyncio.Event) -> None:
        found = await ask(home.control, "status")
        if as_json:
            print_json({"event": "status", **found})
            return
        for section, figures in found.items():
            show(section, figures)

    run(work)


def show(section: str, figures: Any) -> None:
    """One section as a table: names and figures, or one row for each of several things."""
    if isinstance(figures, Mapping):
        table = Table(section, "", box=None, title_justify="left")
        for name, value in figures.items():
            table.add_row(str(name), shown(value))
    elif isinstance(figures, list) and figures:
        table = Table(*figures[0], box=None, title=section, title_justify="left")
        for row in figures:
            table.add_row(*map(shown, row.values()))
    else:
        table = Table(section, shown(figures), box=None)
    Console().print(table)


def shown(value: Any) -> str:
    """A cell: numbers short, groups as name=value."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "  ".join(f"{name}={shown(each)}" for name, each in value.items()) or "-"
    if isinstance(value, list):
        return "  ".join(map(shown, value)) or "-"
    return str(value)
