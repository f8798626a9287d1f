"""Turning a phone out, and taking back the certificates of a node."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from qcall.wire.local import NOT_RUNNING
from relay.config import RelayHome
from relay.errors import LocalFault, Refused, StorageError, UsageError

from .app import Json, app
from .completion import nodes, phones
from .running import counted, print_json, run


@app.command()
def revoke(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Whose phone, as it was enrolled.", autocompletion=phones)
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            "--node", help="Instead of a phone: the node whose certificates to revoke.", autocompletion=nodes
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a phone out, or revoke the certificates of a node, at once.

    A phone gets no more quantum keys, no login, no media. Key nodes that run refuse its certificate from the
    next request on. Its account is removed; where it is online the relay ends its login and what it relays,
    and takes its TURN credentials no more. An invite lets the name enrol anew.

    A node (--node) is for when its private key may be in other hands: every certificate that it was ever
    issued is revoked. Within seconds, phones take no more keys from it. Nodes that are processes of their own
    (relay serve --processes, relay kme) talk to it no more from the next request on, and keys go another way;
    nodes in one process use no certificates among each other and go on relaying over it. When it starts again
    it gets another certificate, for which the authority's private key (ca/ca.key) has to be in the home; to
    leave it out for good, take it out of the topology.
    """
    home: RelayHome = context.obj

    async def work(_: asyncio.Event) -> None:
        if (name is None) == (node is None):
            raise UsageError("name either a phone, or a node with --node")
        if node is not None:
            _take_back(home, node, as_json)
            return
        assert name is not None
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


def _take_back(home: RelayHome, node: str, as_json: bool) -> None:
    """Revoke the certificates of a node; nodes and the relay that run read the list by themselves."""
    from relay.network.topology import kme_id
    from relay.pki import Authority

    if not home.authority.exists():
        raise UsageError(f"{home.directory} is no relay's home: no node has run; name it with --home")
    kme = kme_id(node)
    try:
        number = Authority.open_or_create(home.authority).revoke_kme(kme, home.key_nodes / kme)
    except Refused:
        text = f"no node called {node} has a certificate in this home; see relay topology show, and --home"
        raise UsageError(text) from None
    if not number:
        raise UsageError(f"every certificate of node {node} is revoked already; it gets another at its start")
    if as_json:
        print_json({"event": "revoked", "node": node, "certificates": number})
        return
    what = f"its {counted(number, 'certificate')} {'is' if number == 1 else 'are'} revoked"
    until = "until it starts again and gets another"
    typer.echo(f"node {node}: {what}; phones, and nodes in other processes, do not talk to it {until}")


async def turn_out(home: RelayHome, name: str) -> dict[str, bool]:
    """Take from a phone all that it may do, also in a relay that runs; what there was to take."""
    from relay.control import ask
    from relay.pki import Authority
    from relay.signalling.accounts import Accounts
    from relay.signalling.admission import sae_id

    authority = Authority.open_or_create(home.authority)
    certified, damaged = False, None
    try:
        if certified := authority.home_of(sae_id(name)) is not None:
            authority.revoke_sae(sae_id(name))
    except StorageError as error:  # which is no reason to leave it the rest
        damaged = error
    with Accounts(home.accounts, authority.fingerprint) as accounts:
        enrolled = accounts.remove(name)
    home.renew_secret("turn")  # the credentials that it was given last are good for a day
    try:
        online = (await ask(home.control, "expel", name=name))["online"]
    except LocalFault as fault:
        if fault.code != NOT_RUNNING:
            raise  # A relay that does not answer has not put the phone out.
        online = False
    if damaged is not None:
        rest = "its account is removed" if enrolled else "it has no account"
        raise StorageError(f"{rest}, but its certificate is not revoked: {damaged}")
    return {"certificate": certified, "account": enrolled, "online": online}
