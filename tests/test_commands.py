"""Every command that a help text, an error or the README names is one that the programs have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from qcall.cli import commands as qcall
from relay.cli import commands as relay

ROOT = Path(__file__).parent.parent
PROGRAMS: dict[str, Any] = {"qcall": get_command(qcall()), "relay": get_command(relay())}
NAMED = re.compile(r"(?<![\w.@/-])(qcall|relay)((?: [a-z][a-z0-9-]*)+)")
PROSE = {"itself", "that", "or", "does"}
"""What follows the program's name in a sentence about it."""
LABELS = ("qcall backup 1", "qcall identity 1", "qcall relay authority")
"""Not commands but words of file formats and certificates."""
README = (ROOT / "README.md").read_text()
MARKED = re.compile(r"(?:[`'\"(]|\b(?:run|see|start|needed|by|use):? )$")
"""What stands before a command; ``relay`` alone is an ordinary word."""


def texts() -> Iterator[tuple[str, str]]:
    """Every piece of text in the programs, and where it is."""
    for top in ("qcall", "relay"):
        for file in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value, f"{file.relative_to(ROOT)}:{node.lineno}"


def named(text: str) -> Iterator[tuple[str, list[str]]]:
    """Program and words of every command in a text."""
    for match in NAMED.finditer(text):
        program, words = match[1], match[2].split()
        marked = MARKED.search(text[: match.start()]) is not None
        if text.startswith(LABELS, match.start()) or words[0] in PROSE or (program == "relay" and not marked):
            continue
        yield program, words


def resolve(program: str, words: list[str]) -> Any:
    """The command that ``words`` name; what follows it is its own. Raises ``LookupError`` for none."""
    command = PROGRAMS[program]
    for place, word in enumerate(words):
        if not hasattr(command, "commands"):
            break  # Not a group: what follows is its arguments.
        if word not in command.commands:
            raise LookupError(f"there is no {' '.join((program, *words[: place + 1]))}")
        command = command.commands[word]
    return command


def options(command: Any) -> set[str]:
    """Its long options."""
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


def test_commands_in_texts_exist() -> None:
    found = [(program, words, where) for text, where in texts() for program, words in named(text)]
    assert {program for program, _, _ in found} == PROGRAMS.keys()
    for program, words, where in found:
        try:
            resolve(program, words)
        except LookupError as error:
            pytest.fail(f"{where}: {error}")


def test_commands_in_the_readme_exist() -> None:
    spans = re.findall(r"`([^`\n]+)`", README) + re.findall(r"^ *(?:\$ )?((?:qcall|relay) .*)$", README, re.M)
    found = [(program, words) for span in spans for program, words in named(f"`{span}")]
    assert len(found) > 20
    for program, words in found:
        resolve(program, words)


def table() -> list[str]:
    """The first cells of the README's table of commands."""
    return re.findall(r"^\| (`(?:qcall|relay)\b[^|]*) \|", README, re.M)


@pytest.mark.parametrize("cell", table())
def test_every_word_in_the_table_of_commands_is_one(cell: str) -> None:
    """`qcall contacts add`, `edit`: siblings of the first; `--verify`: an option of it."""
    first, *others = re.findall(r"`([^`]+)`", cell)
    if first == "qcall":
        return
    ((program, words),) = named(f"`{first}")
    command = resolve(program, words)
    for other in others:
        if other.startswith("--"):
            assert other.split()[0] in options(command)
        elif other.startswith((program, words[0])):
            resolve(program, re.findall(r"[a-z-]+", other.removeprefix(program)))
        else:
            resolve(program, [*words[:-1], other.split()[0]])


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert list(named("it is gone; see: qcall gadgets")) == [("qcall", ["gadgets"])]
    for words in (["gadgets"], ["control", "explode"]):
        with pytest.raises(LookupError):
            resolve("qcall", words)
    assert list(named("the relay serves nobody")) == []
