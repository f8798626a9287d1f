"""``relay status`` as tables: all parts on one page, or every figure of a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from .figures import COLUMNS, NOTES, figure, short
from .overview import overview

WIDEST = 1000
"""Cells of a table that nothing is cut off from."""


def summarise(found: Mapping[str, Any], console: Console | None = None) -> None:
    """All parts on one page."""
    console = console or Console()
    table = Table.grid(padding=(0, 2))
    for label, text in overview(found):
        table.add_row(label, Text(text))
    console.print(table)
    console.print(Text("more: relay status --all, or one part: relay status links; for programs: --json"))


def show(section: str, figures: Any, console: Console | None = None) -> None:
    """One section as a table: names and figures, or one row for each of several things."""
    console = console or Console()
    note = f" ({NOTES[section]})" if section in NOTES else ""
    console.print(Text(f"{section}{note}", style="bold"))
    if isinstance(figures, Mapping):
        table = Table(box=None, show_header=False)
        for name, value in figures.items():
            table.add_row(name.replace("_", " "), Text(figure(section, name, value)))
    elif figures:
        figures = list(map(joined, figures))
        table = rows(figures)
        if Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum > console.width:
            table = records(figures)
    else:
        table = Table.grid()
        table.add_row(" none")
    console.print(table)


def joined(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The two ends of a link as one name; what it lost are bits, where a hop's are packets."""
    if not {"a", "b"} <= row.keys():
        return row
    named = {"lost_bits" if name == "lost" else name: row[name] for name in row if name not in ("a", "b")}
    return {"link": f"{row['a']}–{row['b']}", **named}


def heading(name: str) -> str:
    """What a column is called."""
    return COLUMNS[name][0] if name in COLUMNS else name.replace("_", " ")


def cell(name: str, value: Any) -> str:
    """What a column says of one thing."""
    return COLUMNS[name][1](value) if name in COLUMNS else short(value)


def rows(figures: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each thing, its figures short; a name of several words may take several lines."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name, value in figures[0].items():
        right = isinstance(value, int | float) and not isinstance(value, bool)
        table.add_column(heading(name), justify="right" if right else "left")
    for row in figures:
        cells = [cell(name, value) for name, value in row.items()]
        table.add_row(*(Text(each, no_wrap=True) for each in cells))
    return table


def records(figures: Sequence[Mapping[str, Any]]) -> Table:
    """Each thing by name and figure over several lines, where a terminal is too narrow for rows."""
    table = Table(box=None, show_header=False)
    table.add_column("", overflow="fold")
    for row in figures:
        said = ((heading(name), cell(name, value)) for name, value in row.items())
        table.add_row("  ".join(f"{name} {value}" for name, value in said if value))
    return table
