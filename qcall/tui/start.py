"""Makes the application of a home and runs it. Imports only what the first frame needs."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from qcall.config import Account, Home, cannot_write
from qcall.errors import LocalFault, NotSetUp
from qcall.heap import settle_screen

from .app import QcallApp
from .link import PhoneThread, starting

LOG_FILE = "qcall.log"
SWITCH_INTERVAL = 0.001
"""Seconds until one thread makes way for the other: how long a packet may wait for the screen, at most."""
PASSPHRASE = "QCALL_PASSPHRASE"  # noqa: S105


def run(
    home: Home,
    flags: Mapping[str, Any],
    sound: Mapping[str, Any],
    kme: str | None,
    environment: Mapping[str, str],
) -> int:
    """Run the interface until the user leaves; the exit code. Raises ``QcallError``."""
    settings = home.settings(flags, environment)
    try:
        account: Account | None = home.account()
    except NotSetUp:
        account = None
    home.create()
    keep_log(home)
    passphrase = environment.get(PASSPHRASE) or None

    async def enrol(name: str, relay: str, invite: str) -> str:
        enrolment = await asyncio.to_thread(importlib.import_module, "qcall.session.enrolment")
        account: Account = await enrolment.enrol(home, name, relay, invite, passphrase)
        return account.site

    first = starting("", "", "", settings.qkd)
    if account is not None:
        first = starting(account.name, account.site, account.relay, settings.qkd)
    app = QcallApp(
        PhoneThread(home, flags, sound, kme, passphrase, environment),
        first,
        settings=settings,
        save=home.save_settings,
        enrol=enrol if account is None else None,
        signals=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        settle=settle_screen,
    )
    sys.setswitchinterval(SWITCH_INTERVAL)
    code = app.run()
    if app.fault is not None:
        raise app.fault
    if code is None:
        raise LocalFault(f"a fault of qcall itself ended the screen; {home.directory / LOG_FILE} says more")
    return code


def keep_log(home: Home) -> None:
    """Faults go into a file of the home: on the terminal they would tear the screen.

    Raises ``StorageError``.
    """
    file = home.directory / LOG_FILE
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise cannot_write(file, error) from None
    handler = logging.StreamHandler(os.fdopen(descriptor, "a", buffering=1))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
