"""A phone without the terminal interface, answered by somebody at the keyboard."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from scripts.demonstration.stage import Program, Stage

SOUND = ("--input", "tone", "--output", "null")


@pytest.fixture
def keyboard() -> Iterator[tuple[int, int]]:
    """Where the user types, and what the phone reads: a pseudo-terminal."""
    typing, reading = os.openpty()
    yield typing, reading
    os.close(typing)
    os.close(reading)


async def ringing(phones: Stage, reading: int) -> tuple[Program, Program]:
    """Alice calls; bob's phone rings."""
    command = phones.phone("bob", "listen", "--once", "--json", *SOUND)
    bob = await phones.start("bob: qcall listen", *command, stdin=reading)
    await bob.event("registered")
    alice = await phones.call("alice", "bob", "--duration", "0.5", *SOUND)
    await bob.event("incoming")
    return alice, bob


async def test_a_answers(phones: Stage, keyboard: tuple[int, int]) -> None:
    typing, reading = keyboard
    alice, bob = await ringing(phones, reading)
    os.write(typing, b"a\n")
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
    await bob.event("answered")


async def test_d_declines(phones: Stage, keyboard: tuple[int, int]) -> None:
    typing, reading = keyboard
    alice, bob = await ringing(phones, reading)
    os.write(typing, b"d\n")
    assert (await alice.ended(), await bob.ended()) == (1, 1)
    assert "declined" in alice.stderr


async def test_what_is_no_command_does_nothing(phones: Stage, keyboard: tuple[int, int]) -> None:
    typing, reading = keyboard
    alice, bob = await ringing(phones, reading)
    os.write(typing, b"\nperhaps\na\n")
    assert (await alice.ended(), await bob.ended()) == (0, 0), alice.account() + bob.account()
