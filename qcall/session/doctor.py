"""Looks at what a call needs and says how to mend it: relay, key node, clock, audio, terminal."""

from __future__ import annotations

import asyncio
import locale
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp

from qcall.config import Account, Home
from qcall.crypto.identity import Identity
from qcall.errors import DeviceError, NotSetUp, QcallError, UsageError
from qcall.net.address import RelayAddress
from qcall.net.authority import KnownAuthority
from qcall.net.kme import KeyNode
from qcall.net.lane import http_url, reason
from qcall.net.signalling import SignallingClient

from .control import ask
from .enrolment import RelaySigner
from .suites import offered

CLOCK_TOLERANCE = 30.0
"""Seconds that this clock may differ from the relay's: beyond them other phones refuse calls as too old."""
LEAST_SIZE = (80, 24)
TIMEOUT = 5.0
KeyCheck: TypeAlias = Callable[[Mapping[str, str]], object]
"""Raises ``ConfigError`` for ``[keys]`` that the terminal interface cannot use."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``mend`` says what to do when it is not well."""

    what: str
    well: bool
    text: str
    mend: str = ""
    needed: bool = True
    """Whether a call cannot be without it."""


async def examine(
    home: Home, identity: Identity | QcallError | None, check_keys: KeyCheck
) -> AsyncIterator[Finding]:
    """Every finding, in the order in which one needs the other.

    ``identity`` is the phone's, or why it cannot be opened; ``None`` where there is none.
    """
    yield settings(home, os.environ, check_keys)
    account = None
    try:
        account = home.account()
    except NotSetUp as error:
        yield Finding("phone", False, str(error), "run qcall, which asks for all it needs")
    except QcallError as error:
        yield Finding("phone", False, str(error), "enrol again: qcall init, with a new invite")
    else:
        yield Finding("phone", True, f"{account.name} at {account.site}, home {home.directory}")
    if isinstance(identity, QcallError):
        yield unopened(home, identity)
        identity = None
    if account is not None:
        async for finding in network(home, account, identity):
            yield finding
    yield await asyncio.to_thread(audio)
    yield terminal(os.environ, sys.stdout.isatty())


def settings(home: Home, environment: Mapping[str, str], check_keys: KeyCheck) -> Finding:
    """Whether the phone would start with what ``config.toml`` and the environment say."""
    try:
        chosen = home.settings({}, environment)
        check_keys(chosen.keys)
        offered(chosen, environment, Path.home())
    except QcallError as error:
        what, _, mend = str(error).partition("; ")
        return Finding("settings", False, what, mend)
    written = home.config_file if home.config_file.exists() else "the defaults; there is no config.toml"
    return Finding("settings", True, str(written))


def unopened(home: Home, error: QcallError) -> Finding:
    """Why the identity cannot be used, and what opens it, or brings it back."""
    mend = "set QCALL_PASSPHRASE, or run this at a terminal, which asks"
    if not isinstance(error, UsageError):
        mend = f"put back {home.identity}, or qcall import a backup into another --home"
    return Finding("identity", False, str(error), f"{mend}; relay and key node are not asked without it")


async def network(home: Home, account: Account, identity: Identity | None) -> AsyncIterator[Finding]:
    """Relay, clock and key node."""
    try:
        yield await clock(account)
    except QcallError as error:
        yield Finding("relay", False, str(error), "enrol again: qcall init, with a new invite")
        return
    except (aiohttp.ClientResponseError, aiohttp.ClientSSLError, NoDate):
        mend = "look at what listens there; a relay runs elsewhere, or not at all (relay serve)"
        yield Finding("relay", False, f"what answers at {account.relay} is no relay", mend)
        return
    except (aiohttp.ClientError, OSError) as error:
        mend = "start it (relay serve), or look at the network between here and there"
        yield Finding("relay", False, f"{account.relay} cannot be reached: {reason(error)}", mend)
        return
    told = await asked_phone(home)
    if told is not None:
        yield running_phone(told)
        if told["key_node_url"]:
            authority = KnownAuthority(home.ca(), home.revocations)
            yield await key_node(home, account, told["key_node_url"], authority)
    if told is not None or identity is None:
        return
    try:
        client = await SignallingClient.connect(account.relay, account.name, RelaySigner(identity), home.ca())
    except QcallError as error:
        yield Finding("relay", False, str(error), "what the text says; else enrol again: qcall init")
        return
    try:
        yield Finding("relay", True, f"{account.relay} knows this phone")
        authority = KnownAuthority(home.ca(), home.revocations)
        await authority.follow(RelayAddress.parse(account.relay), client.welcome.crl)
        yield await key_node(home, account, client.welcome.kme_url, authority)
    finally:
        await client.close()


class NoDate(Exception):
    """An answer without the date that a relay sends."""


async def clock(account: Account) -> Finding:
    """The relay's clock against this one. Raises ``NoDate``, ``OSError``, ``aiohttp.ClientError``."""
    relay = RelayAddress.parse(account.relay)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    # Only the date is read: whether it is the right relay is checked when the phone logs in.
    connector = aiohttp.TCPConnector(ssl=False)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        session.get(http_url(relay, "/healthz")) as response,
    ):
        try:
            theirs = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, OverflowError):
            raise NoDate from None
    off = time.time() - theirs
    if abs(off) <= CLOCK_TOLERANCE:
        return Finding("clock", True, f"agrees with the relay's within {max(1.0, abs(off)):.0f} s")
    way = "ahead of" if off > 0 else "behind"
    return Finding("clock", False, f"{abs(off):.0f} s {way} the relay's", "set it: timedatectl set-ntp true")


async def asked_phone(home: Home) -> dict[str, Any] | None:
    """The status of the phone that runs with this home; ``None`` when there is none."""
    try:
        told: dict[str, Any] = await ask(home.control, {"command": "status"})
    except QcallError:
        return None
    return told


def running_phone(told: Mapping[str, Any]) -> Finding:
    """Whether a phone that runs is online: it is asked, since another login would throw it out."""
    well = told["state"] == "online"
    return Finding(
        "relay", well, f"a phone runs here: {told['state']} {told['trouble']}".strip(), "see its log"
    )


async def key_node(home: Home, account: Account, url: str, authority: KnownAuthority) -> Finding:
    """Whether quantum keys could come."""
    node = None
    try:
        node = KeyNode(
            url,
            kme_id=account.kme_id,
            certificate=home.sae_certificate,
            key=home.sae_key,
            authority=authority,
        )
        await node.connect()
    except QcallError as error:
        mend = "calls go on without quantum keys unless the policy requires them; tell the relay's operator"
        return Finding("key node", False, str(error), mend, needed=False)
    finally:
        if node is not None:
            await node.close()
    return Finding("key node", True, f"{account.kme_id} answers over mutual TLS (its links are simulated)")


def audio() -> Finding:
    """Microphone and loudspeaker."""
    from .soundtest import SoundTest

    try:
        microphones, speakers = SoundTest().cards()
    except DeviceError as error:
        return Finding(
            "audio", False, str(error), "calls work in silence, or with --input and --output", False
        )
    if not microphones or not speakers:
        lacking = "microphone" if not microphones else "loudspeaker"
        return Finding(
            "audio", False, f"there is no {lacking}", "plug one in; calls work without", needed=False
        )
    return Finding("audio", True, f"{len(microphones)} microphones, {len(speakers)} loudspeakers")


def terminal(environment: Mapping[str, str], is_terminal: bool) -> Finding:
    """Whether the interface can be drawn."""
    if not is_terminal:
        text = "not a terminal here; qcall listen, call and control work without one"
        return Finding("terminal", False, text, "run it in a terminal", needed=False)
    size = shutil.get_terminal_size()
    if size.columns < LEAST_SIZE[0] or size.lines < LEAST_SIZE[1]:
        text = f"{size.columns}x{size.lines} is small"
        return Finding("terminal", False, text, "enlarge it to 80x24 or more", needed=False)
    encoding = locale.getpreferredencoding(False)
    if encoding.upper().replace("-", "") != "UTF8":
        mend = "set a UTF-8 locale: export LANG=C.UTF-8"
        return Finding("terminal", False, f"its encoding is {encoding}", mend, needed=False)
    colours = environment.get("COLORTERM") or environment.get("TERM", "unknown")
    return Finding("terminal", True, f"{size.columns}x{size.lines}, {encoding}, {colours}")
