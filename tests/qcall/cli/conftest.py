"""A phone in a directory, and its command line in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from qcall.cli import commands
from qcall.config import Account, Home, write_private
from qcall.crypto.identity import Identity
from qcall.crypto.identity_file import dump
from qcall.records.store import Records

Qcall = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "alice")
    made.create()
    write_private(made.identity, dump(Identity.create(os.urandom), None, os.urandom))
    made.save_account(
        Account(name="alice", relay="ws://127.0.0.1:1", site="beijing", sae_id="sae-a", kme_id="kme-b")
    )
    Records(made.records).close()
    return made


@pytest.fixture
def records(home: Home):
    opened = Records(home.records)
    yield opened
    opened.close()


@pytest.fixture
def qcall(home: Home) -> Qcall:
    """Runs a command in that home; ``code`` is the exit code that it must have."""

    def run(*arguments: str | Path, code: int = 0, environment: dict[str, str] | None = None) -> Result:
        command = ["--home", str(home.directory), *map(str, arguments)]
        result = CliRunner().invoke(commands(), command, env=environment)
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run
