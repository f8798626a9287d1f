"""Inviting phones."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from relay.config import RelayHome
from relay.errors import UsageError
from relay.network.topology import load
from relay.pki import Authority
from relay.signalling.accounts import Accounts

from .app import Json, TopologyName, app
from .running import print_json, run


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
