"""Where a relay keeps its state, and how its addresses are written.

A home is a directory of mode 0700: the certificate authority, the key nodes' certificates and stores,
the accounts, and the secret that TURN credentials are minted under.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import platformdirs

from .errors import AddressInUse, AddressUnusable, StorageError, UsageError

SECRET_BYTES = 32


class RelayHome:
    """The files of one relay."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.accounts = directory / "accounts.db"
        self.authority = directory / "ca"
        self.key_nodes = directory / "kme"
        self.audit = directory / "audit.log"
        self.control = directory / "control.sock"

    def create(self) -> None:
        """Make the directories, for their owner only."""
        for directory in (self.directory, self.authority, self.key_nodes):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(
                    f"cannot make {directory}: {error.strerror}; choose another with --home"
                ) from None

    def secret(self, name: str) -> bytes:
        """The 32 random bytes called ``name``, made on first use, mode 0600."""
        path = self.directory / f"{name}.secret"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            stored = path.read_bytes()
            if len(stored) != SECRET_BYTES:
                raise StorageError(f"{path} is damaged; remove it to make a new secret") from None
            return stored
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from None
        fresh = secrets.token_bytes(SECRET_BYTES)
        with os.fdopen(descriptor, "wb") as file:
            file.write(fresh)
        return fresh

    def renew_secret(self, name: str) -> None:
        """Let the secret called ``name`` be another from the next start on."""
        (self.directory / f"{name}.secret").unlink(missing_ok=True)


def default_home(environment: Mapping[str, str]) -> Path:
    """``RELAY_HOME``, else the platform's data directory."""
    return Path(environment.get("RELAY_HOME") or platformdirs.user_data_dir("qcall-relay")).expanduser()


def host_port(text: str, flag: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPv6]:PORT``; port 0 asks the system for a free one."""
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        number = int(port)
    except ValueError:
        number = -1
    if not separator or not 0 <= number <= 65_535:
        raise UsageError(f"{flag} {text}: give an IP address and a port, such as 127.0.0.1:7480")
    return ("127.0.0.1" if host == "localhost" else host), number


def spelt(address: tuple[str, int]) -> str:
    """``HOST:PORT`` or ``[IPv6]:PORT``."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether nothing outside this machine can reach ``host``."""
    return ipaddress.ip_address(host).is_loopback


def cannot_listen(error: OSError, host: str, port: int, kind: str = "TCP") -> AddressInUse | AddressUnusable:
    """Why nothing can listen there; ``chosen_by`` adds what to do."""
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(f"{kind} port {port} of {host} is in use")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return AddressUnusable(f"cannot listen on {kind} port {port} of {host}: {reason}")


@contextlib.contextmanager
def chosen_by(option: str) -> Iterator[None]:
    """Say by which ``option`` another address is chosen than one where nothing can listen."""
    try:
        yield
    except (AddressInUse, AddressUnusable) as error:
        raise type(error)(f"{error}; choose another with {option}") from None
