"""What a relay says of itself to people."""

from __future__ import annotations

import json

import pytest

from relay.cli.running import announce

DRAINING = "draining: takes nothing new and ends after the last;"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            {"event": "draining", "allocations": 3, "calls": 2},
            f"{DRAINING} 2 calls (3 allocations) left; Ctrl-C ends it at once",
        ),
        (
            {"event": "draining", "allocations": 1},
            f"{DRAINING} 1 allocation left; Ctrl-C ends it at once",
        ),
        (
            {"event": "draining", "allocations": 2, "calls": 1},
            f"{DRAINING} 1 call (2 allocations) left; Ctrl-C ends it at once",
        ),
        ({"event": "draining", "allocations": 0, "calls": 0}, "draining: nothing is left"),
        ({"event": "drained"}, "drained; the relay ends"),
    ],
)  # fmt: skip
def test_draining_is_one_line(event, said, capsys) -> None:
    announce(False)(event)
    assert capsys.readouterr().out == f"{said}\n"
    announce(True)(event)
    assert json.loads(capsys.readouterr().out) == event
