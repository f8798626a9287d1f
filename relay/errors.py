"""The error tree of the relay.

    RelayError
    ├── LocalFault            ours, or the operator's input
    │   ├── UsageError        wrong command line, topology file or value; exit code 2
    │   │   └── AddressUnusable   nothing can listen there on this machine
    │   ├── AddressInUse      a port that another program holds
    │   └── StorageError      the home directory or a database cannot be read or written
    └── PeerFault             what came over the network
        ├── Refused           a client may not do that (invite, credentials, quota)
        └── NoKeyMaterial     the pools are empty or no path is left

The text of every error is one line that says what happened and what to do next.
"""

from __future__ import annotations

from typing import Any


class RelayError(Exception):
    """Root of every error that the relay raises on purpose; ``code`` is stable and machine-readable."""

    code = "error"
    exit_code = 1

    def __init__(self, text: str, *, code: str | None = None) -> None:
        super().__init__(text)
        if code is not None:
            self.code = code

    def as_event(self) -> dict[str, Any]:
        """A line for the relay that started this program as a part of itself; see ``failure``."""
        return {"event": "failed", "code": self.code, "exit_code": self.exit_code, "text": str(self)}


class LocalFault(RelayError):
    """Ours, or the operator's input."""

    code = "local-fault"


class UsageError(LocalFault):
    """Wrong command line, topology file or value."""

    code = "usage"
    exit_code = 2


class AddressUnusable(UsageError):
    """An address where nothing can listen on this machine."""


class AddressInUse(LocalFault):
    """A port that another program holds."""

    code = "address-in-use"


class StorageError(LocalFault):
    """The home directory or a database cannot be read or written."""

    code = "storage"


class PeerFault(RelayError):
    """What came over the network."""

    code = "peer-fault"


class Refused(PeerFault):
    """A client may not do that."""

    code = "refused"


class NoKeyMaterial(PeerFault):
    """The pools are empty, or no path is left."""

    code = "no-key-material"


def failure(event: dict[str, Any]) -> LocalFault | None:
    """Why a program that was started says it did not: what ``as_event`` made, or ``None``."""
    if event.get("event") != "failed":
        return None
    found = LocalFault(event["text"], code=event["code"])
    found.exit_code = event["exit_code"]
    return found
