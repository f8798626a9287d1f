"""A quantum network made in both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.relay.worlds import WORLDS, World


@pytest.fixture(params=WORLDS)
def kind(request: pytest.FixtureRequest) -> type[World]:
    """Where the nodes run."""
    return WORLDS[request.param]


@pytest.fixture
async def world(kind: type[World], tmp_path: Path) -> AsyncIterator[World]:
    """Two sites with two ways between them."""
    made = await kind.start(tmp_path)
    yield made
    made.close()
