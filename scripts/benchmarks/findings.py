"""What a benchmark found: rows for people, JSON for programs, a plot, and whether the promises held."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Promise:
    """A figure that has to hold: ``found`` against ``limit``; ``at_most`` says which side is good."""

    what: str
    found: float
    limit: float
    at_most: bool = True

    @property
    def held(self) -> bool:
        """Whether the figure is on the good side of its limit."""
        return self.found <= self.limit if self.at_most else self.found >= self.limit

    def __str__(self) -> str:
        return f"{self.bounded} {'held' if self.held else 'NOT HELD'}"

    @property
    def bounded(self) -> str:
        """The figure and its limit, without a verdict."""
        return f"{self.what}: {self.found:.4g} ({'at most' if self.at_most else 'at least'} {self.limit:g})"


@dataclass
class Findings:
    """One run of one benchmark. ``rows`` share the keys of the first; ``details`` go into the JSON only."""

    title: str
    rows: Sequence[dict[str, Any]]
    promises: Sequence[Promise] = ()
    versions: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    """What has no place in the table, by what it is."""
    unmeasured: Sequence[str] = ()
    """Promises that could not be judged here, each with the reason; they are not held."""
    spoiled: Sequence[str] = ()
    """Why this run did not measure what it set out to; then no promise is held, and none is broken."""
    plot: Callable[[Any], None] | None = None
    """Draws onto a matplotlib figure; ``None`` where a plot would say nothing."""

    @property
    def exit_code(self) -> int:
        """0: every promise held; 1: one did not; 3: the run is spoiled; 4: not all could be measured here."""
        if self.spoiled:
            return 3
        if not all(promise.held for promise in self.promises):
            return 1
        return 4 if self.unmeasured else 0

    def as_json(self) -> dict[str, Any]:
        """Everything that was found, with the machine it was found on."""
        machine = {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.system()}
        promises = [
            {**vars(promise), "held": None if self.spoiled else promise.held} for promise in self.promises
        ]
        return {
            "title": self.title,
            "machine": machine,
            "versions": self.versions,
            "rows": list(self.rows),
            "figures": self.figures,
            "promises": promises,
            "not_measured": list(self.unmeasured),
            "spoiled": list(self.spoiled),
            **self.details,
        }

    def show(self, console: Console) -> None:
        """Print the table and the promises."""
        table = Table(title=self.title, title_justify="left")
        for column in self.rows[0] if self.rows else ():
            table.add_column(column, justify="left" if isinstance(self.rows[0][column], str) else "right")
        for row in self.rows:
            table.add_row(*(shown(value) for value in row.values()))
        console.print(table)
        for name, figure in self.figures.items():
            console.print(f"{name}: {shown(figure)}", markup=False)
        for name, version in self.versions.items():
            console.print(f"[dim]{name}: {version}[/]")
        for reason in self.spoiled:
            console.print(f"spoiled: {reason}", style="bold yellow", markup=False)
        for promise in self.promises:
            if self.spoiled:
                console.print(f"{promise.bounded} not judged: spoiled", style="yellow", markup=False)
                continue
            console.print(str(promise), style="green" if promise.held else "bold red", markup=False)
        for what in self.unmeasured:
            console.print(f"not measured: {what}", style="yellow", markup=False)

    def keep(self, directory: Path, name: str) -> None:
        """Write ``NAME.json``, and ``NAME.png`` where there is a plot."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.json").write_text(json.dumps(self.as_json(), indent=1) + "\n")
        if self.plot is None:
            return
        try:
            from matplotlib.figure import Figure
        except ImportError:
            print("bench: no plot without matplotlib: pip install -e '.[bench]'", file=sys.stderr)
            return
        figure = Figure(figsize=(9, 6), layout="constrained")
        self.plot(figure)
        figure.savefig(directory / f"{name}.png", dpi=120)


def shown(value: Any) -> str:
    """A table's cell: four digits of a number are enough."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
