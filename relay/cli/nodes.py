"""One trusted node as a process of its own."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from relay.config import RelayHome, host_port

from .app import Json, TopologyName, app
from .completion import nodes
from .running import Stop, announce, attachment, run


@app.command()
def kme(
    context: typer.Context,
    node: Annotated[
        str, typer.Option("--node", help="Which node of the topology this one is.", autocompletion=nodes)
    ],
    topology: TopologyName = "beijing-hefei",
    listen: Annotated[str, typer.Option(help="HOST:PORT towards other nodes.")] = "127.0.0.1:0",
    kme: Annotated[
        str, typer.Option(help="HOST:PORT of its ETSI GS QKD 014 interface, at an access site.")
    ] = "127.0.0.1:0",
    attached: Annotated[
        bool, typer.Option("--attached", help="End when standard input is closed.", hidden=True)
    ] = False,
    as_json: Json = False,
) -> None:
    """Run one key node as a process of its own; nodes with one home find each other.

    They are processes apart with one root of trust, the home's authority. A node without a certificate issues
    itself one, once, for which it has to find the authority's private key (ca/ca.key) in the home; afterwards
    the key need not be there. Each access site keeps an audit log (audit.log, mode 0600) beside its store.
    """
    from relay.network.topology import load
    from relay.processes import RunningNode

    home: RelayHome = context.obj

    async def work(stop: Stop) -> None:
        addresses = host_port(listen, "--listen"), host_port(kme, "--kme")
        running = await RunningNode.start(home, node, load(topology), *addresses)
        try:
            with attachment(stop) if attached else contextlib.nullcontext():
                announce(as_json)(running.ready())
                await stop.wait()
        finally:
            await running.close()

    run(work, attached=attached)
