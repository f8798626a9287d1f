"""What a shell offers in the place of a name, a call, or a device; of a fault it is told nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from qcall.config import Home, default_home

SHORTEST = 8
"""Digits of a call's ID, as ``qcall history`` lists it."""
Offers = list[tuple[str, str]]
"""What may stand there, and a word about it, which some shells show."""


def home_of(context: typer.Context) -> Home:
    """The home that the line names, else the usual one."""
    given = context.find_root().params.get("home")
    # A shell hands its words on as they stand, with their tildes.
    return Home(Path(given).expanduser()) if given else Home(default_home(os.environ))


def contacts(context: typer.Context, incomplete: str) -> list[str]:
    """Everyone in the address book and everyone with a pin."""
    from qcall.records.names import contacts

    home = home_of(context)
    return beginning(contacts(home.records, home.address_book), incomplete)


def entries(context: typer.Context, incomplete: str) -> list[str]:
    """Everyone in the address book."""
    from qcall.records.names import entries

    return beginning(entries(home_of(context).address_book), incomplete)


def blocked(context: typer.Context, incomplete: str) -> list[str]:
    """Contacts whose identity changed."""
    from qcall.records.names import blocked

    return beginning(blocked(home_of(context).records), incomplete)


def calls(context: typer.Context, incomplete: str) -> Offers:
    """The latest calls, with whom they were."""
    from qcall.records.names import calls

    wanted = incomplete.lower()
    found = calls(home_of(context).records)
    return [
        (call_id[: max(SHORTEST, len(wanted))], name) for call_id, name in found if call_id.startswith(wanted)
    ]


def beginning(names: Sequence[str], incomplete: str) -> list[str]:
    """Those that may become what is being typed."""
    return [name for name in names if name.startswith(incomplete)]
