"""What a running relay is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from relay.config import RelayHome
from relay.control import ask

from .app import Json, app
from .running import print_json, run

HEADINGS = {"condition": "state", "capacity": "full"}
"""Of columns: what is not here is called as in JSON."""
ROUNDED_UP = 999.5
"""From here on three digits read 1,000."""
WIDEST = 1000
"""Cells of a table that nothing is cut off from."""


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


def show(section: str, figures: Any, console: Console | None = None) -> None:
    """One section as a table: names and figures, or one row for each of several things."""
    console = console or Console()
    if isinstance(figures, Mapping):
        table = Table(section, "", box=None, title_justify="left")
        for name, value in figures.items():
            table.add_row(str(name), shown(value))
    elif isinstance(figures, list) and figures:
        figures = list(map(joined, figures))
        table = rows(section, figures)
        if Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum > console.width:
            table = records(section, figures)
    else:
        table = Table(section, shown(figures), box=None)
    console.print(table)


def joined(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The two ends of a link as one name."""
    if not {"a", "b"} <= row.keys():
        return row
    return {"link": f"{row['a']}–{row['b']}", **{name: row[name] for name in row if name not in ("a", "b")}}


def rows(section: str, figures: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each thing, its figures short; a name of several words may take several lines."""
    table = Table(box=None, title=section, title_justify="left", padding=(0, 1, 0, 0))
    for name, value in figures[0].items():
        right = isinstance(value, int | float) and not isinstance(value, bool)
        table.add_column(HEADINGS.get(name, name.replace("_", " ")), justify="right" if right else "left")
    for row in figures:
        cells = [short(value) for value in row.values()]
        table.add_row(*(Text(cell, no_wrap=True) for cell in cells))
    return table


def records(section: str, figures: Sequence[Mapping[str, Any]]) -> Table:
    """Each thing by name=value over several lines, where a terminal is too narrow for rows."""
    table = Table(box=None)
    table.add_column(section, overflow="fold")
    for row in figures:
        table.add_row("  ".join(f"{name}={short(value)}" for name, value in row.items()))
    return table


def short(value: Any) -> str:
    """A figure of a row, to three digits: 0.0157, 10.8k, 1.05M."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shown(value)
    if abs(value) < 10_000:
        return shown(value) if isinstance(value, int) or abs(value) >= 1 else f"{value:.3g}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if abs(value) < ROUNDED_UP or unit == "G":
            return f"{value:.3g}{unit}"
    return shown(value)


def shown(value: Any) -> str:
    """A cell: numbers short, groups as name=value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "  ".join(f"{name}={shown(each)}" for name, each in value.items()) or "-"
    if isinstance(value, list):
        return "  ".join(map(shown, value)) or "-"
    return str(value)
