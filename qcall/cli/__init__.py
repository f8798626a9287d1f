"""The command line of the phone: arguments and exit codes, no logic.

Every failure that the program knows is one line on standard error and exit code 1, or 2 for wrong usage.

- ``app``        the program, and what holds for every command
- ``options``    options that several commands share
- ``running``    event loop, Ctrl-C, errors, exit codes
- ``enrolling``  init
- ``calling``    call, listen
- ``people``     contacts, verify; ``fingerprint`` draws them
- ``history``    the calls and their receipts
- ``safekeeping``  passphrase, export, import; ``passphrases`` asks for them
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Entry point of the console script ``qcall``."""
    # Reading the commands in takes most of a second; a Ctrl-C meanwhile has nothing to give back.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    commands()(prog_name="qcall")


def commands() -> typer.Typer:
    """The program with all its commands."""
    from . import calling, enrolling, history, people, safekeeping  # noqa: F401 - they add themselves
    from .app import app

    return app
