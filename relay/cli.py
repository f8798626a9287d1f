"""The command line of the relay: arguments and exit codes, no logic.

Every failure that the program knows is one line on standard error and exit code 1, or 2 for wrong usage.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from relay.config import RelayHome, default_home, host_port
from relay.errors import RelayError, UsageError
from relay.network.topology import Topology, load, presets
from relay.pki import Authority
from relay.serve import Options
from relay.serve import serve as serve_all
from relay.signalling.accounts import Accounts
from relay.turn.credentials import StaticUsers
from relay.turn.udp import TurnServer
from relay.wiretap import Wiretap

app = typer.Typer(
    help="Signalling, media relay and (simulated) quantum key network between two phones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
topology_app = typer.Typer(help="The modelled networks.", no_args_is_help=True)
app.add_typer(topology_app, name="topology")

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
TopologyName = Annotated[str, typer.Option("--topology", help="A preset's name, or a TOML file.")]


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(envvar="RELAY_HOME", help="Directory of this relay's state.")
    ] = None,
) -> None:
    """Options of every command."""
    context.obj = RelayHome(home or default_home(os.environ))


@app.command()
def serve(
    context: typer.Context,
    topology: TopologyName = "beijing-hefei",
    listen: Annotated[str, typer.Option(help="HOST:PORT of signalling.")] = "127.0.0.1:7480",
    turn: Annotated[str, typer.Option(help="HOST:PORT of the media relay.")] = "127.0.0.1:3478",
    kme: Annotated[
        str | None, typer.Option(help="HOST:PORT of the first site's key node; the others follow.")
    ] = None,
    loss: Annotated[float, typer.Option(help="Probability that a packet is lost from site to site.")] = 0.0,
    jitter: Annotated[
        float | None, typer.Option(help="Milliseconds: standard deviation of the path's delay.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the modelled path; random if not given.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Record all that crosses the relay, as an attacker who owns it would.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run signalling, media relay and key nodes in one process."""

    async def work(stop: asyncio.Event) -> None:
        chosen = Options(
            topology=load(topology),
            listen=host_port(listen, "--listen"),
            turn=host_port(turn, "--turn"),
            kme=None if kme is None else host_port(kme, "--kme"),
            loss=loss,
            jitter=None if jitter is None else jitter / 1000,
            seed=seed,
            record=None if record is None else Wiretap(record),
        )
        try:
            await serve_all(context.obj, chosen, announce(as_json), stop)
        finally:
            if chosen.record is not None:
                chosen.record.close()

    run(work)


@app.command("turn")
def turn_alone(
    listen: Annotated[str, typer.Option(help="HOST:PORT.")] = "127.0.0.1:3478",
    realm: Annotated[str, typer.Option(help="Realm of the credentials.")] = "qcall",
    user: Annotated[list[str] | None, typer.Option(help="NAME:PASSWORD; may be given again.")] = None,
    allow_peer: Annotated[
        list[str] | None, typer.Option(help="CIDR of private peers that may be reached.", metavar="CIDR")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the TURN server alone, for any WebRTC client."""

    async def work(stop: asyncio.Event) -> None:
        if not user:
            raise UsageError("nobody could log in: give --user NAME:PASSWORD")
        server = await TurnServer.start(
            *host_port(listen, "--listen"),
            realm=realm,
            credentials=StaticUsers.parse(user),
            allow_peers=[network(text) for text in allow_peer or ()],
        )
        try:
            host, port = server.address
            announce(as_json)({"event": "ready", "turn": f"{host}:{port}", "realm": realm})
            await stop.wait()
        finally:
            await server.close()

    run(work)


@app.command()
def invite(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who is invited.")],
    site: Annotated[str, typer.Option("--site", "--node", help="The access site of the phone.")],
    topology: TopologyName = "beijing-hefei",
    renew: Annotated[
        bool, typer.Option("--renew", help="Remove the name's lost phone, so that a new one can enrol.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an invite that lets one phone enrol, once."""
    home: RelayHome = context.obj

    async def work(_: asyncio.Event) -> None:
        known = load(topology).sites
        if site not in known:
            raise UsageError(f"--site {site}: the access sites of {topology} are {', '.join(known)}")
        home.create()
        accounts = Accounts(home.accounts, Authority.open_or_create(home.authority).fingerprint)
        try:
            code = accounts.invite(name, site, time.time(), renew=renew)
        finally:
            accounts.close()
        if as_json:
            print_json({"event": "invite", "name": name, "site": site, "code": code})
        else:
            typer.echo(f"{code}\n\nqcall init {name} --relay URL --invite {code}")

    run(work)


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


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A CIDR from the command line."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise UsageError(f"--allow-peer {text}: give a network such as 127.0.0.0/8") from None


def announce(as_json: bool) -> Callable[[dict[str, Any]], None]:
    """How ``ready`` is said."""

    def say(ready: dict[str, Any]) -> None:
        if as_json:
            print_json(ready)
            return
        for name in ("signalling", "turn"):
            if name in ready:
                typer.echo(f"{name:12}{ready[name]}")
        for site, url in ready.get("kme", {}).items():
            typer.echo(f"{'key node':12}{url}  ({site}, simulated)")
        if "path" in ready:
            path = ready["path"]
            length = f"{len(path['nodes'])} nodes, {path['km']:.0f} km, {path['delay_ms']:.1f} ms one way"
            typer.echo(f"{'path':12}{length}")
        typer.echo("ready; Ctrl-C ends the relay")

    return say


def print_json(line: dict[str, Any]) -> None:
    """One JSON line, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def run(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run ``work`` on uvloop where it is available; the event is set by Ctrl-C or SIGTERM."""

    async def interruptible() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        task = asyncio.ensure_future(work(stop))

        def interrupt() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        await task

    code = 0
    try:
        try:
            import uvloop
        except ImportError:
            asyncio.run(interruptible())
        else:
            uvloop.run(interruptible())
    except RelayError as error:
        typer.echo(f"relay: {error}", err=True)
        code = error.exit_code
    except asyncio.CancelledError:
        code = 130
    raise typer.Exit(code)


def main() -> None:
    """Entry point of the console script ``relay``."""
    app(prog_name="relay")


if __name__ == "__main__":
    main()
