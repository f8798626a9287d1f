"""Inviting phones."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from relay.config import RelayHome
from relay.errors import RelayError, UsageError

from .app import Json, app
from .completion import phones, presets, sites
from .running import print_json, run

ANYWHERE = "HOST"
"""In the place of an address that means every address of this machine."""


async def running(home: RelayHome) -> dict[str, Any] | None:
    """What the relay that runs with this home says of itself, if one does; see ``RunningRelay.ready``."""
    from relay.control import ask

    try:
        ready: dict[str, Any] = await ask(home.control, "ready")
    except RelayError:
        return None
    return ready


def where(ready: Mapping[str, Any]) -> str:
    """Where phones reach a relay that runs."""
    url = urlsplit(ready["signalling"])
    if ipaddress.ip_address(url.hostname or "").is_unspecified:
        url = url._replace(netloc=f"{ANYWHERE}:{url.port}")
    return str(url.geturl())


@app.command()
def invite(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who is invited.", autocompletion=phones)],
    site: Annotated[
        str, typer.Option("--site", "--node", help="The access site of the phone.", autocompletion=sites)
    ],
    topology: Annotated[
        str,
        typer.Option(
            "--topology",
            help="A preset's name, or a TOML file; while a relay runs with this home its topology counts.",
            autocompletion=presets,
        ),
    ] = "beijing-hefei",
    renew: Annotated[
        bool, typer.Option("--renew", help="Remove the name's lost phone, so that a new one can enrol.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an invite that lets one phone enrol, once."""
    from relay.network.topology import load
    from relay.pki import Authority
    from relay.signalling.accounts import Accounts

    from .revoking import turn_out

    home: RelayHome = context.obj

    async def work(_: asyncio.Event) -> None:
        ready = await running(home)
        known = load(topology).sites if ready is None else ready["sites"]
        if site not in known:
            which = topology if ready is None else f"{ready['topology']}, which the relay serves now,"
            raise UsageError(f"--site {site}: the access sites of {which} are {', '.join(known)}")
        home.create()
        if renew:
            await turn_out(home, name)
        accounts = Accounts(home.accounts, Authority.open_or_create(home.authority).fingerprint)
        try:
            code = accounts.invite(name, site, time.time(), renew=renew)
        finally:
            accounts.close()
        url = None if ready is None else where(ready)
        if as_json:
            known_url = {} if url is None else {"relay": url}
            print_json({"event": "invite", "name": name, "site": site, "code": code, **known_url})
            return
        typer.echo(f"{code}\n\nqcall init {name} --relay {url or 'URL'} --invite {code}")
        if url is None:
            typer.echo("\nURL is what relay serve calls signalling; it does not run with this home now")
        elif ANYWHERE in url:
            typer.echo(f"\n{ANYWHERE} is the address by which {name} reaches this machine")

    run(work)
