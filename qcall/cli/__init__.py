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

from . import calling, enrolling, history, people, safekeeping
from .app import app

__all__ = ["app", "calling", "enrolling", "history", "main", "people", "safekeeping"]


def main() -> None:
    """Entry point of the console script ``qcall``."""
    app(prog_name="qcall")
