"""Where passphrases come from: the environment, else a question at the terminal, else nowhere."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from qcall.config import Home
from qcall.crypto.identity import Identity
from qcall.errors import UsageError
from qcall.session.identity import is_protected, open_identity

CURRENT, NEW, BACKUP = "QCALL_PASSPHRASE", "QCALL_NEW_PASSPHRASE", "QCALL_BACKUP_PASSPHRASE"
SHORTEST = 8
"""Characters of a new passphrase: what protects keys on a disk can be tried without end."""
TRIES = 3
"""Times that a wrong passphrase may be typed."""


def unlock(home: Home) -> Identity:
    """The identity of the phone in ``home``; its passphrase is asked for when it has one."""
    return open_identity(home, current(home))


def current(home: Home) -> str | None:
    """The passphrase of the phone in ``home``; ``None`` when it has none. UsageError after `TRIES`."""
    given = os.environ.get(CURRENT) or None
    if given is not None or not is_protected(home):
        return given
    question = f"Passphrase of the phone in {home.directory}"
    for last in range(TRIES):
        typed = ask(question, CURRENT)
        try:
            open_identity(home, typed)
        except UsageError as error:
            if last == TRIES - 1:
                raise
            typer.echo(str(error), err=True)
        else:
            break
    return typed


def first(home: Home) -> str | None:
    """The passphrase of a phone that is being set up: of the keys it has already, or one for new keys."""
    if home.identity.exists():
        return current(home)
    given = os.environ.get(CURRENT)
    if not given and at_terminal():
        given = ask_twice("Passphrase for this phone's identity (empty: none)", optional=True)
    return long_enough(given) if given else None


def chosen(variable: str, question: str) -> str:
    """A new passphrase: from ``variable`` of the environment, else asked for twice. UsageError: too short."""
    return long_enough(os.environ.get(variable) or ask_twice(question, variable))


def long_enough(passphrase: str) -> str:
    """A new passphrase as it is. UsageError when it could be guessed."""
    if len(passphrase) < SHORTEST:
        raise UsageError(f"a passphrase has at least {SHORTEST} characters; choose a longer one")
    return passphrase


def existing(variable: str, question: str) -> str:
    """A passphrase that something has already: from ``variable``, else asked for once."""
    return os.environ.get(variable) or ask(question, variable)


def ask(question: str, variable: str) -> str:
    """One answer, which is not shown while it is typed. UsageError without a terminal."""
    return _prompt(question, variable)


def ask_twice(question: str, variable: str = CURRENT, *, optional: bool = False) -> str:
    """One answer that was typed twice."""
    default = "" if optional else None
    return _prompt(question, variable, confirmation_prompt=True, default=default, show_default=False)


def _prompt(question: str, variable: str, **how: Any) -> str:
    if not at_terminal():
        raise UsageError(f"a passphrase is needed and there is no terminal to ask at; set {variable}")
    try:
        return str(typer.prompt(question, hide_input=True, err=True, **how))
    except UnicodeDecodeError:
        raise UsageError(f"what was typed is no UTF-8; set the terminal to that, or set {variable}") from None


def at_terminal() -> bool:
    """Whether somebody sits at the terminal who could answer."""
    return sys.stdin is not None and sys.stdin.isatty()
