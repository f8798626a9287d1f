"""What a program says of faults that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qcall.cli.running import tell_fault


@pytest.mark.parametrize(
    ("context", "told"),
    [
        (
            {"message": "Fatal error on SSL protocol", "exception": RuntimeError("handler is closed")},
            False,
        ),
        ({"message": "Fatal error on SSL protocol", "exception": ValueError("a bug")}, True),
        ({"message": "Task exception was never retrieved", "exception": RuntimeError("a bug")}, True),
        ({"message": "no exception"}, True),
    ],
)
def test_a_handshake_that_was_given_up_is_no_fault(
    context: dict[str, Any], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(loop, "default_exception_handler", heard.append)
    loop.set_exception_handler(tell_fault)
    loop.call_exception_handler(context)
    loop.close()
    assert (context in heard) is told
