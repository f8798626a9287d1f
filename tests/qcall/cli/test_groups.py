"""A command's dataclass becomes options, in its place, and comes back as one object."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from qcall.cli import commands
from qcall.cli.groups import grouped
from qcall.cli.options import SETTINGS, OnOff, PhoneOptions, ScriptOptions
from qcall.session.sound import Wishes


@dataclass(frozen=True)
class Pair:
    size: Annotated[int, typer.Option("--size", min=1)] = 3
    name: Annotated[str | None, typer.Option("--name")] = None


@pytest.fixture
def ran() -> tuple[typer.Typer, list[Any]]:
    app, seen = typer.Typer(), []

    @app.command()
    @grouped
    def do(
        what: Annotated[str, typer.Argument()],
        pair: Pair,
        loud: Annotated[bool, typer.Option("--loud")] = False,
    ) -> None:
        """Do it."""
        seen.append((what, pair, loud))

    return app, seen


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["this"], ("this", Pair(), False)),
        (["this", "--loud", "--size", "7"], ("this", Pair(7), True)),
        (["--name", "n", "that"], ("that", Pair(name="n"), False)),
    ],
)
def test_fields_are_options(ran, words, what):
    app, seen = ran
    assert CliRunner().invoke(app, words).exit_code == 0
    assert seen == [what]


def test_a_field_keeps_what_its_option_demands(ran):
    app, seen = ran
    result = CliRunner().invoke(app, ["this", "--size", "0"])
    assert result.exit_code == 2
    assert "--size" in result.output
    assert seen == []


def test_the_help_has_them_in_their_place(ran):
    app, _ = ran
    text = CliRunner().invoke(app, ["--help"]).output
    assert re.findall(r"--(size|name|loud)", text) == ["size", "name", "loud"]
    assert "Do it." in text


def test_both_ways_into_a_call_have_every_option_of_a_call():
    ways = [
        CliRunner().invoke(commands(), [command, "--help"], env={"COLUMNS": "120"}).output
        for command in ("call", "listen")
    ]
    options = [re.findall(r"^│ --([a-z-]+)", text, re.MULTILINE) for text in ways]
    shared = len(fields(PhoneOptions)) + len(fields(ScriptOptions))
    assert options[0][:shared] == options[1][4 : 4 + shared]
    assert len(set(options[0][:shared])) == shared


def test_a_phone_with_a_screen_has_the_options_of_one_without():
    text = CliRunner().invoke(commands(), ["tui", "--help"], env={"COLUMNS": "120"}).output
    assert len(re.findall(r"^│ --([a-z-]+)", text, re.MULTILINE)) == len(fields(PhoneOptions)) + len(["help"])


def test_sound_is_as_a_phone_takes_it():
    options = PhoneOptions(input="tone", speaker="USB", processing=OnOff.ON)
    assert Wishes(**options.sound) == Wishes(spoken="tone", speaker="USB", processing="on")


def test_settings_are_options():
    assert set(SETTINGS) <= {field.name for field in fields(PhoneOptions)}
    options = PhoneOptions(bitrate=16_000)
    assert options.settings == {**dict.fromkeys(SETTINGS), "bitrate": 16_000}
