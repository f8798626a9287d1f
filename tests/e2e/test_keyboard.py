"""A phone without the terminal interface, answered by somebody at the keyboard."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Iterator

import pytest

from scripts.demonstration.stage import PATIENCE, Program, Stage

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


def shown(terminal: int, wanted: bytes) -> bytes:
    """What the terminal shows until ``wanted`` is among it; blocks."""
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], PATIENCE)
        assert ready, seen
        seen += os.read(terminal, 4096)
    return seen


async def test_the_keys_are_told_at_the_start(phones: Stage, keyboard: tuple[int, int]) -> None:
    typing, reading = keyboard
    command = phones.phone("bob", "listen", "--json", *SOUND)
    bob = await phones.start("bob: qcall listen", *command, stdin=reading)
    await bob.event("registered")
    await asyncio.to_thread(shown, typing, b"a answer, d decline, h hang up")
    os.write(typing, b"perhaps\n")
    await asyncio.to_thread(shown, typing, b"'perhaps' is none of the keys")
    bob.interrupt()
    assert await bob.ended() == 0, bob.account()
