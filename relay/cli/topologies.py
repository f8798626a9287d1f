"""The modelled networks, shown and checked."""

from __future__ import annotations

import asyncio
import itertools
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from relay.network.topology import Topology, load, presets

from .app import Json, app
from .running import print_json, run

topology_app = typer.Typer(help="The modelled networks.", no_args_is_help=True)
app.add_typer(topology_app, name="topology")


@topology_app.command("list")
def topology_list(as_json: Json = False) -> None:
    """The presets."""

    async def work(_: asyncio.Event) -> None:
        table = Table("name", "nodes", "links", "km", "what", box=None)
        for name in presets():
            each = load(name)
            if as_json:
                print_json({"event": "topology", "name": name, "nodes": len(each.nodes), "km": each.km})
            table.add_row(
                name, str(len(each.nodes)), str(len(each.links)), f"{each.km:.0f}", each.description
            )
        if not as_json:
            Console().print(table)

    run(work)


@topology_app.command("check")
def topology_check(file: Annotated[str, typer.Argument(help="A TOML file, or a preset.")]) -> None:
    """Whether a file describes a network; if not, where it goes wrong."""

    async def work(_: asyncio.Event) -> None:
        found = load(file)
        typer.echo(f"{found.name}: {len(found.nodes)} nodes, {len(found.links)} links, {found.km:.0f} km")

    run(work)


@topology_app.command("show")
def topology_show(
    name: Annotated[str, typer.Argument(help="A preset's name, or a TOML file.")] = "beijing-hefei",
    as_json: Json = False,
) -> None:
    """The route between the first and the last site, hop by hop."""

    async def work(_: asyncio.Event) -> None:
        found = load(name)
        rows = route(found)
        if as_json:
            print_json({"event": "route", "topology": found.name, "simulated": True, "hops": rows})
            return
        table = Table("hop", "km", "dB", "kb/s", "QBER", box=None, title=found.description)
        for row in rows:
            table.add_row(
                row["link"],
                f"{row['km']:.0f}",
                f"{row['loss_db']:.1f}",
                f"{row['rate'] / 1000:.1f}",
                f"{100 * row['qber']:.2f} %",
            )
        Console().print(table)
        typer.echo(f"{len(rows)} hops, {sum(row['km'] for row in rows):.0f} km; links are simulated")

    run(work)


def route(found: Topology) -> list[dict[str, Any]]:
    """The hops from the first to the last site; rates in bit/s, losses in dB."""
    path = found.path(found.sites[0], found.sites[-1])
    rows = []
    for a, b in itertools.pairwise(path):
        link = found.link(a, b)
        made = link.quality()
        rows.append(
            {"link": f"{a} - {b}", "km": link.km, "loss_db": made.loss, "rate": made.rate, "qber": made.qber}
        )
    return rows
