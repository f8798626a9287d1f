"""``relay topology``: what is drawn, whatever a file says of itself, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from relay.cli import commands

ODD = """name = "pair"
description = "[/red] in [bold]"
sites = ["a", "b"]
links = [{ a = "a", b = "b", km = 20 }]
"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    (tmp_path / "odd.toml").write_text(ODD)
    return tmp_path / "odd.toml"


def said(*words: str | Path) -> tuple[int, str]:
    """Exit code and output of a command."""
    done = CliRunner().invoke(commands(["topology"]), [str(word) for word in ("topology", *words)])
    return done.exit_code, done.output


def test_a_description_is_text_and_no_markup(odd: Path, tmp_path: Path) -> None:
    code, drawn = said("show", odd)
    assert (code, "[/red] in [bold]" in drawn, "1 hop, 20 km" in drawn) == (0, True, True)


def test_a_check_counts_what_is_there(odd: Path) -> None:
    assert said("check", odd) == (0, "pair: 2 nodes, 1 link, 20 km\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--from", "a", "--to", "a"), "a is one node"),
        (("--to", "c"), "there is no node c in pair; the nearest by name are"),
    ],
)
def test_a_route_that_is_none_is_one_line(odd: Path, words: tuple[str, ...], reason: str) -> None:
    code, told = said("show", odd, *words)
    assert (code, len(told.splitlines())) == (2, 1)
    assert told.startswith(f"relay: {reason}")


def test_what_a_file_says_does_not_reach_into_the_terminal(odd: Path) -> None:
    odd.write_text(ODD.replace("km = 20", '"\\u001b[31m" = 20'))
    code, told = said("check", odd)
    assert (code, "\x1b" in told, "unknown field `?[31m`" in told) == (2, False, True)
