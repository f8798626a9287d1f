"""The command line of the relay: arguments and exit codes, no logic.

Every failure that the program knows is one line on standard error and exit code 1, or 2 for wrong usage.

- ``app``         the program, and what holds for every command
- ``running``     event loop, signals, errors, exit codes
- ``serving``     serve, turn
- ``enrolling``   invite
- ``topologies``  topology list, show, check
- ``status``      status
"""

from __future__ import annotations

from . import enrolling, serving, status, topologies
from .app import app

__all__ = ["app", "enrolling", "main", "serving", "status", "topologies"]


def main() -> None:
    """Entry point of the console script ``relay``."""
    app(prog_name="relay")
