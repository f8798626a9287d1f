"""What a shell is offered for the relay: networks, sites and nodes, and who is enrolled."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.config import RelayHome
from relay.network.topology import load, presets
from relay.signalling.accounts import Accounts
from relay.signalling.identity import PublicKeys
from tests.qcall.cli.test_completion import offered


@pytest.fixture
def home(tmp_path: Path) -> RelayHome:
    made = RelayHome(tmp_path / "relay")
    made.create()
    return made


def test_networks_are_offered(home: RelayHome) -> None:
    for words in (("serve", "--topology"), ("topology", "show"), ("topology", "check")):
        assert offered("relay", *words, "b", home=home.directory) == [
            name for name in presets() if name.startswith("b")
        ]


def test_sites_and_nodes_are_those_of_the_network_that_the_line_names(home: RelayHome) -> None:
    assert offered("relay", "invite", "x", "--site", "h", home=home.directory) == ["hefei"]
    metro = load("hefei-metro")
    line = ("invite", "x", "--topology", "hefei-metro", "--site", "")
    assert offered("relay", *line, home=home.directory) == sorted(metro.sites)
    assert offered("relay", "kme", "--node", "suz", home=home.directory) == ["suzhou-anhui"]
    assert offered("relay", "topology", "show", "hefei-metro", "--from", "", home=home.directory) == sorted(
        metro.nodes
    )


def test_without_a_relay_no_fault_can_be_done_and_nothing_is_offered(home: RelayHome) -> None:
    assert offered("relay", "fault", "cut", "b", home=home.directory) == []


def test_who_is_enrolled_is_offered(home: RelayHome) -> None:
    assert offered("relay", "revoke", "a", home=home.directory) == []
    accounts = Accounts(home.accounts, b"f" * 48)
    code = accounts.invite("alice", "hefei", 1.0)
    accounts.enrol(code, "alice", PublicKeys(b"e" * 32, b"m" * 2592), 2.0, certify=lambda site: site)
    assert offered("relay", "revoke", "a", home=home.directory) == ["alice"]
    accounts.close()
    before = sorted(home.directory.rglob("*"))
    assert offered("relay", "revoke", "a", home=home.directory) == ["alice"]
    assert sorted(home.directory.rglob("*")) == before
