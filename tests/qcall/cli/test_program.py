"""Wrong usage is one line that says where to look, whichever of both programs it is."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
import typer

from qcall.cli import commands as qcall
from qcall.cli.running import report
from qcall.records.addressbook import AddressBook
from qcall.records.vcard import Entry
from qcall.wire.program import run_program
from relay.cli import commands as relay
from scripts.demonstration.stage import BIN

RUN = {
    "qcall": lambda line: run_program(qcall(), line, "qcall"),
    "relay": lambda line: run_program(relay(), line, "relay"),
}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("qcall frob", "no such command 'frob'; see: qcall --help"),
        ("qcall call", "missing argument 'contact'; see: qcall call --help"),
        ("qcall call bob --nosuch", "no such option: --nosuch; see: qcall call --help"),
        (
            "qcall call bob --qkd maybe",
            "--qkd: 'maybe' is not one of 'require', 'prefer', 'off'; see: ",
        ),
        (
            "qcall history --limit 0",
            "--limit: input should be greater than or equal to 1; see: ",
        ),
        ("qcall contacts add", "missing argument 'name'; see: qcall contacts add --help"),
        ("relay fault cut a", "missing argument 'b'; see: relay fault cut --help"),
        ("relay serve --loss x", "--loss: input should be a valid number"),
    ],
)
def test_wrong_usage_is_one_line(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = line.split()
    assert RUN[program](words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{program}: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("line", ["qcall control", "relay", "relay fault"])
def test_nothing_named_is_answered_with_the_help(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = line.split()
    assert RUN[program](words) == 2
    out, err = capsys.readouterr()
    assert "Usage: " in out + err
    assert "see: " not in out + err


@pytest.mark.parametrize("line", ["qcall --help", "relay topology --help", "qcall --version"])
def test_help_is_no_fault(line: str) -> None:
    program, *words = line.split()
    assert RUN[program](words) == 0


@pytest.mark.parametrize("command", ["{qcall} --home {home} contacts --json", "{relay} topology list"])
@pytest.mark.parametrize(("closed", "said"), [(">&-", ""), ("> /dev/full", "No space left on device")])
def test_an_output_that_takes_nothing_is_no_traceback(home, command: str, closed: str, said: str) -> None:
    AddressBook(home.address_book).save(Entry("bob"))
    line = command.format(qcall=BIN / "qcall", relay=BIN / "relay", home=home.directory)
    done = subprocess.run(["sh", "-c", f"{line} {closed}"], capture_output=True, text=True)
    assert done.returncode == (1 if said else 0)
    assert said in done.stderr
    assert done.stderr.count("\n") == (1 if said else 0)


@pytest.mark.parametrize("words", [("history",), ("doctor", "--json")])
def test_a_reader_that_has_had_enough_is_no_fault(home, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    line = [BIN / "qcall", "--home", home.directory, *words]
    done = subprocess.run(line, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_long_output_that_is_not_taken_is_told_of_as_one(home, unbuffered: str) -> None:
    AddressBook(home.address_book).save(*(Entry(f"bob{number}", "B" * 100) for number in range(300)))
    line = f"{BIN / 'qcall'} --home {home.directory} contacts search > /dev/full"
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "qcall: cannot write the output: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (OSError(errno.ENETDOWN, "Network is down"), "qcall: Network is down\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/etc/key"),
            "qcall: /etc/key: Permission denied\n",
        ),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "qcall: Broken pipe\n"),
    ],
)
def test_what_else_the_system_refuses_is_not_called_output(
    fault: OSError, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()

    @app.command()
    def work() -> None:
        def fail() -> int:
            raise fault

        report(fail)

    assert run_program(app, [], "qcall") == 1
    assert capsys.readouterr().err == said
