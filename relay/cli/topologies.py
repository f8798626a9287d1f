"""The modelled networks, shown and checked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.config import RelayHome
from relay.errors import RelayError, UsageError

from .app import Json, app
from .completion import nodes
from .completion import presets as complete_presets
from .running import counted, print_json, run

if TYPE_CHECKING:
    from relay.network.report import HopRow, RouteReport
    from relay.network.topology import Topology

Pools = dict[frozenset[str], tuple[str, float]]
LINE, BAR = 12, 8
"""Characters of the longest hop, and of a full pool."""

topology_app = typer.Typer(help="The modelled networks.", no_args_is_help=True)
app.add_typer(topology_app, name="topology")


@topology_app.command("list")
def topology_list(as_json: Json = False) -> None:
    """The presets."""
    from rich.console import Console
    from rich.table import Table

    from relay.network.topology import load, presets

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
def topology_check(
    file: Annotated[str, typer.Argument(help="A TOML file, or a preset.", autocompletion=complete_presets)],
) -> None:
    """Whether a file describes a network; if not, where it goes wrong."""
    from relay.network.topology import load

    async def work(_: asyncio.Event) -> None:
        found = load(file)
        links = counted(len(found.links), "link")
        typer.echo(f"{found.name}: {len(found.nodes)} nodes, {links}, {found.km:.0f} km")

    run(work)


@topology_app.command("show")
def topology_show(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A preset's name, or a TOML file.", autocompletion=complete_presets)
    ] = "beijing-hefei",
    start: Annotated[
        str,
        typer.Option("--from", help="A node.", show_default="the first site", autocompletion=nodes),
    ] = "",
    end: Annotated[
        str, typer.Option("--to", help="A node.", show_default="the last site", autocompletion=nodes)
    ] = "",
    as_json: Json = False,
) -> None:
    """The shortest route between two nodes, hop by hop, and the pools of the relay of this home."""
    from relay.network.report import planned_route
    from relay.network.topology import load

    home: RelayHome = context.obj

    async def work(_: asyncio.Event) -> None:
        found = load(name)
        for node in filter(None, (start, end)):
            found.known(node)
        ends = start or found.sites[0], end or found.sites[-1]
        if ends[0] == ends[1]:
            raise UsageError(f"{ends[0]} is one node: within a site keys cross no link; name two")
        route = planned_route(found, *ends)
        pools = await running_pools(home, found)
        if as_json:
            rows = [hop_json(hop, pools) for hop in route.hops]
            print_json({"event": "route", "topology": found.name, "simulated": True, "hops": rows})
        else:
            draw(found, route, pools)

    run(work)


async def running_pools(home: RelayHome, found: Topology) -> Pools:
    """Condition, and pool as a share of its capacity, of every link of a running relay; else nothing."""
    from relay.control import ask

    try:
        status = await ask(home.control, "status")
    except RelayError:
        return {}
    if status["relay"]["topology"] != found.name:
        return {}
    return {
        frozenset((row["a"], row["b"])): (row["condition"], row["pool"] / row["capacity"])
        for row in status["links"]
        if row["capacity"]
    }


def hop_json(hop: HopRow, pools: Pools) -> dict[str, Any]:
    """One hop; rates in bit/s, losses in dB, ``pool`` from 0 to 1 where a relay runs."""
    row = {
        "link": f"{hop.a} - {hop.b}",
        "km": hop.km,
        "loss_db": hop.loss,
        "rate": hop.rate,
        "qber": hop.qber,
    }
    if (live := pools.get(frozenset((hop.a, hop.b)))) is not None:
        row |= {"condition": live[0], "pool": round(live[1], 4)}
    return row


def draw(found: Topology, route: RouteReport, pools: Pools) -> None:
    """The route as a line of nodes, each hop as long as its fibre."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    longest = max((hop.km for hop in route.hops), default=1.0)
    columns = ("route", "", "km", "dB", "kb/s", "QBER", "pool", "")
    table = Table(*columns, box=None, title=Text(found.description), title_justify="left")
    for hop in route.hops:
        condition, pool = pools.get(frozenset((hop.a, hop.b)), ("", None))
        table.add_row(
            f"● {hop.a}",
            "━" * max(1, round(LINE * hop.km / longest)),
            f"{hop.km:.0f}",
            f"{hop.loss:.1f}",
            f"{hop.rate / 1000:.1f}",
            f"{100 * hop.qber:.2f} %",
            "" if pool is None else "█" * round(BAR * pool) + "░" * (BAR - round(BAR * pool)),
            condition,
        )
    table.add_row(f"● {route.hops[-1].b}" if route.hops else "")
    Console().print(table)
    carried = f"{route.keys_per_second:.1f} end keys a second, {route.calls} calls that rekey every minute"
    typer.echo(f"{counted(len(route.hops), 'hop')}, {route.km:.0f} km, {carried}; links are simulated")
    if not pools:
        typer.echo("pools are shown where a relay runs with this home and topology")
