"""Turning a phone out."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from relay.config import RelayHome
from relay.errors import UsageError
from relay.pki import Authority
from relay.signalling.accounts import Accounts
from relay.signalling.admission import sae_id

from .app import Json, app
from .running import print_json, run


@app.command()
def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose phone, as it was enrolled.")],
    as_json: Json = False,
) -> None:
    """Turn a phone out: no more quantum keys, no more login.

    Key nodes that run refuse its certificate from the next request on. Its account is removed, so it cannot
    log in again; where it is online it stays so until it disconnects. An invite lets the name enrol anew.
    """
    home: RelayHome = context.obj

    async def work(_: asyncio.Event) -> None:
        if not home.accounts.exists():
            raise UsageError(f"{home.directory} is no relay's home: nobody is enrolled; name it with --home")
        authority = Authority.open_or_create(home.authority)
        certified = authority.home_of(sae_id(name)) is not None
        if certified:
            authority.revoke_sae(sae_id(name))
        with Accounts(home.accounts, authority.fingerprint) as accounts:
            enrolled = accounts.remove(name)
        if not certified and not enrolled:
            raise UsageError(f"no phone called {name} is enrolled; names are spelt as in its invite")
        if as_json:
            print_json({"event": "revoked", "name": name, "certificate": certified, "account": enrolled})
        else:
            typer.echo(f"{name} is revoked: its certificate and its account")

    run(work)
