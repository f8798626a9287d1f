"""Turning a phone out."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from qcall.wire.local import NOT_RUNNING
from relay.config import RelayHome
from relay.control import ask
from relay.errors import LocalFault, UsageError
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
    """Turn a phone out, at once: no more quantum keys, no login, no media.

    Key nodes that run refuse its certificate from the next request on. Its account is removed; where it is
    online the relay ends its login and what it relays, and takes its TURN credentials no more. An invite lets
    the name enrol anew.
    """
    home: RelayHome = context.obj

    async def work(_: asyncio.Event) -> None:
        if not home.accounts.exists():
            raise UsageError(f"{home.directory} is no relay's home: nobody is enrolled; name it with --home")
        had = await turn_out(home, name)
        if not had["certificate"] and not had["account"]:
            raise UsageError(f"no phone called {name} is enrolled; names are spelt as in its invite")
        if as_json:
            print_json({"event": "revoked", "name": name, **had})
        else:
            online = "; it was online and is so no more" if had["online"] else ""
            typer.echo(f"{name} is revoked: its certificate and its account{online}")

    run(work)


async def turn_out(home: RelayHome, name: str) -> dict[str, bool]:
    """Take from a phone all that it may do, also in a relay that runs; what there was to take."""
    authority = Authority.open_or_create(home.authority)
    certified = authority.home_of(sae_id(name)) is not None
    if certified:
        authority.revoke_sae(sae_id(name))
    with Accounts(home.accounts, authority.fingerprint) as accounts:
        enrolled = accounts.remove(name)
    home.renew_secret("turn")  # the credentials that it was given last are good for a day
    try:
        online = (await ask(home.control, "expel", name=name))["online"]
    except LocalFault as fault:
        if fault.code != NOT_RUNNING:
            raise  # A relay that does not answer has not put the phone out.
        online = False
    return {"certificate": certified, "account": enrolled, "online": online}
