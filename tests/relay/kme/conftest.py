"""Key nodes over either make of network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.kme.service import Limits
from tests.relay.kme.three_sites import TOPOLOGY, ThreeSites
from tests.relay.worlds import World


@pytest.fixture
async def world(kind: type[World], tmp_path: Path) -> AsyncIterator[ThreeSites]:
    """Three key nodes with low limits."""
    network = await kind.start(tmp_path, TOPOLOGY)
    yield ThreeSites(
        network, Limits(max_key_count=100, max_slaves=3, max_key_per_request=10, max_key_size=1024)
    )
    network.close()
