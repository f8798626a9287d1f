"""The order of a whole run: at any time some workers wait in end-to-end tests, others compute.

With ``--dist worksteal`` each worker begins with a stretch of the list, and takes from others' when done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.real_time import is_real_time

HERE = Path(__file__).parent
LONG = ("test_faults.py", "test_qkd_loss.py", "test_rekey.py", "test_lost_relay.py", "test_wrong_layer.py")
"""Files of tests that wait for longest; begun last they would be waited for by all."""


def mixed(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The same tests for four workers: two begin with end-to-end tests, two end with them.

    What is heard in real time comes one after the other, so that no two of those disturb each other.
    """
    real_time = [item for item in items if is_real_time(item)]
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if HERE in item.path.parents and not is_real_time(item):
            files.setdefault(item.path, []).append(item)
    quarters: list[list[pytest.Item]] = [[], [], [], []]
    long = [files.pop(HERE / name) for name in LONG if HERE / name in files]
    for place, tests in enumerate(long):
        quarters[place % 2] += tests
    for place, tests in enumerate(files.values()):
        quarters[place % 4] += tests
    quarters[0] += real_time
    alone = iter([item for item in items if HERE not in item.path.parents])
    return list(stretches(quarters, alone, len(items) // 4))


def stretches(
    quarters: Sequence[Sequence[pytest.Item]], alone: Iterator[pytest.Item], length: int
) -> Iterator[pytest.Item]:
    """Each quarter filled up to ``length``; the first two in front of what fills them, the others behind."""
    for place, quarter in enumerate(quarters):
        filling = [item for _, item in zip(range(length - len(quarter)), alone, strict=False)]
        yield from (*quarter, *filling) if place < 2 else (*filling, *quarter)
    yield from alone
