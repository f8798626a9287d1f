"""Passphrases and backups from the command line: asked for at a terminal, taken from the environment else."""

from __future__ import annotations

import os
import pty
import select
import sys
import termios
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qcall.cli import commands
from qcall.config import Home
from qcall.session.identity import is_protected, open_identity


def test_the_environment_answers_where_nobody_sits(qcall, home: Home) -> None:
    assert "set QCALL_NEW_PASSPHRASE" in qcall("passphrase", code=2).stderr
    qcall("passphrase", environment={"QCALL_NEW_PASSPHRASE": "passphrase one"})
    assert is_protected(home)
    assert "set QCALL_PASSPHRASE" in qcall("passphrase", "--remove", code=2).stderr
    wrong = {"QCALL_PASSPHRASE": "passphrase two"}
    assert "does not open" in qcall("passphrase", "--remove", environment=wrong, code=2).stderr
    qcall("passphrase", "--remove", environment={"QCALL_PASSPHRASE": "passphrase one"})
    assert not is_protected(home)


def test_a_backup_goes_out_and_comes_back(qcall, home: Home, records, tmp_path: Path) -> None:
    secret = {"QCALL_BACKUP_PASSPHRASE": "passphrase three"}
    assert "set QCALL_BACKUP_PASSPHRASE" in qcall("export", tmp_path / "backup", code=2).stderr
    qcall("export", tmp_path / "backup", environment=secret)
    wrong = {"QCALL_BACKUP_PASSPHRASE": "passphrase four"}
    there = ("--home", tmp_path / "a new", "import", tmp_path / "backup")
    assert "passphrase" in qcall(*there, environment=wrong, code=2).stderr
    said = qcall(*there, environment=secret).output
    named = f"qcall --home '{tmp_path / 'a new'}'"
    assert f"phone of alice again; now run: {named} listen, or {named} call NAME" in said
    restored = open_identity(Home(tmp_path / "a new"), None)
    assert restored.fingerprint == open_identity(home, None).fingerprint


def test_a_home_of_the_environment_needs_no_naming(qcall, records, tmp_path: Path) -> None:
    secret = {"QCALL_BACKUP_PASSPHRASE": "passphrase three", "QCALL_HOME": str(tmp_path / "new")}
    qcall("export", tmp_path / "backup", environment=secret)
    result = CliRunner().invoke(commands(), ["import", str(tmp_path / "backup")], env=secret)
    assert "now run: qcall listen, or qcall call NAME" in result.output


LIMIT = 20.0
"""Seconds that a program may take to ask."""


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, *command: str | Path) -> None:
        self.said = ""
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.execv(sys.executable, [sys.executable, "-m", "qcall.cli", *map(str, command)])

    def answer(self, question: str, typed: str | bytes) -> None:
        """Wait until it has asked and shows nothing any more, then type."""
        self._read_until(lambda: question in self.said)
        deadline = time.monotonic() + LIMIT
        while termios.tcgetattr(self._terminal)[3] & termios.ECHO:
            assert time.monotonic() < deadline, self.said
            select.select([], [], [], 0.01)
        self.said = ""
        os.write(self._terminal, (typed.encode() if isinstance(typed, str) else typed) + b"\n")

    def ended(self) -> int:
        """The exit code."""
        self._read_until(lambda: False)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])

    def _read_until(self, enough) -> None:
        deadline = time.monotonic() + LIMIT
        while not enough():
            ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, self.said
            try:
                self.said += os.read(self._terminal, 4096).decode()
            except OSError:  # its end of the terminal is closed
                return


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_a_terminal_is_asked_and_shows_nothing(home: Home, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("QCALL_PASSPHRASE", raising=False)
    program = Terminal("--home", home.directory, "passphrase")
    program.answer("New passphrase", "open sesame")
    program.answer("Repeat", "open sesame")
    assert program.ended() == 0
    assert "open sesame" not in program.said
    assert is_protected(home)

    program = Terminal("--home", home.directory, "passphrase", "--remove")
    program.answer("Passphrase of the phone", "simsim")
    program.answer("does not open", "open sesame")
    assert program.ended() == 0
    assert not is_protected(home)


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_a_terminal_of_another_encoding_is_told_so(home: Home) -> None:
    program = Terminal("--home", home.directory, "passphrase")
    program.answer("New passphrase", "pässphrase".encode("latin-1"))
    assert program.ended() == 2
    assert "no UTF-8" in program.said
    assert "Traceback" not in program.said
    assert not is_protected(home)


def test_a_passphrase_that_could_be_guessed_is_refused(qcall, tmp_path) -> None:
    short = {"QCALL_NEW_PASSPHRASE": "seven77", "QCALL_BACKUP_PASSPHRASE": "seven77"}
    for command in (("passphrase",), ("export", tmp_path / "backup")):
        assert "at least 8 characters" in qcall(*command, environment=short, code=2).stderr
    assert not (tmp_path / "backup").exists()
    new = ("--home", tmp_path / "new", "init", "bob", "--relay", "ws://127.0.0.1:1", "--invite", "code")
    said = qcall(*new, environment={"QCALL_PASSPHRASE": "seven77"}, code=2).stderr
    assert "at least 8 characters" in said
    assert not (tmp_path / "new").exists()
