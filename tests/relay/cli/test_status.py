"""``relay status``: one page with units; the figures of a part fit 80 columns, or are written another way."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from relay.cli.figures import buckets, figure, keys, octets, short
from relay.cli.overview import MOST, overview
from relay.cli.tables import show, summarise

LINK: dict[str, Any] = {
    "a": "shijiazhuang", "b": "suzhou", "km": 62, "loss_db": 12.4, "rate": 10841.93, "qber": 0.015673,
    "condition": "up", "eve": 0.0, "pool": 752_200, "capacity": 1_048_576, "spent": 12_800, "lost": 0,
}  # fmt: skip
PATH = {"from": "beijing", "to": "hefei", "km": 1026.4, "delay_ms": 5.832, "loss_runs": {"1": 5, "3": 1}}
FOUND: dict[str, Any] = {
    "relay": {
        "topology": "beijing-hefei", "draining": False, "full": False, "busy": 0.134, "flows": 2,
        "simulated": True,
    },
    "turn": {
        "allocations": 2, "client_packets_in": 4_000, "client_bytes_in": 600_000, "peer_packets_in": 100,
        "peer_bytes_in": 50_000, "drops": {}, "auth_failures": {}, "errors": {},
    },
    "workers": [],
    "signalling": {"phones": 2, "logins": 3, "envelopes-delivered": 14},
    "paths": [PATH],
    "hops": [],
    "keys": {"simulated": True, "keys_relayed": 412, "relays_rejected": 0, "compromised": {}},
    "links": [LINK, {**LINK, "a": "hefei", "pool": 1_048_576}],
}  # fmt: skip


def written(show: Callable[..., None], *what: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(*what, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def changed(section: str, **changes: Any) -> dict[str, Any]:
    """The status with a section that is another."""
    return {**FOUND, section: {**FOUND[section], **changes}}


def lines(found: dict[str, Any]) -> dict[str, str]:
    """The last line of each label; what belongs to no label belongs to the one before."""
    said: dict[str, str] = {}
    last = ""
    for label, text in overview(found):
        last = label or last
        said[last] = f"{said.get(last, '')} | {text}" if not label else text
    return said


def test_a_relay_that_is_well_is_one_page_with_units() -> None:
    assert lines(FOUND) == {
        "relay": "beijing-hefei, 13 % busy",
        "phones": "2 online; 14 messages delivered",
        "media": "2 allocations, 2 flows; 4,100 packets, 650 kB since the start",
        "path": "beijing → hefei: 1,026 km, 5.8 ms one way; 8 packets lost, at most 3 in a row",
        "keys": "412 relayed (simulated)",
        "links": "2, all up; pools 72 to 100 % full, the slowest makes 10.8 kb/s, 21.2 keys/s",
    }
    assert len(written(summarise, FOUND).splitlines()) <= 10


@pytest.mark.parametrize(
    ("found", "label", "said"),
    [
        (changed("relay", full=True, draining=True), "relay", "13 % busy, DRAINING, takes nothing new, FULL"),
        (changed("turn", drops={"no-peer": 3}), "media", "| dropped: 3 no-peer; requests refused: 0"),
        (changed("turn", errors={"403": 2}), "media", "| dropped: none; requests refused: 2"),
        (changed("signalling", **{"envelopes-failed-offline": 2}), "phones", "14 messages delivered, 2 not"),
        (changed("keys", compromised={"xuzhou": 12}), "keys", "412 relayed, xuzhou READS KEYS (12)"),
        (changed("keys", down=["jinan"], relays_rejected=1), "keys", "1 rejected, jinan is DOWN"),
        ({**FOUND, "links": [{**LINK, "condition": "cut"}]}, "links", "1, 1 not up; pools 72 % full, "),
        ({**FOUND, "links": [{**LINK, "condition": "cut", "rate": 0.0}]}, "links", "suzhou: cut, QBER"),
        ({**FOUND, "links": [{**LINK, "eve": 0.5}]}, "links", "an eavesdropper on 50 % of the pulses"),
        ({**FOUND, "links": [{**LINK, "pool": 5_120}]}, "links", "up, QBER 1.6 %, 10 keys left, 0 %"),
        ({**FOUND, "paths": [PATH] * (MOST + 2)}, "path", "| and 2 more: relay status paths"),
        ({**FOUND, "workers": [{"turn": "127.0.0.1:1", "state": "up", "allocations": 1, "busy": 0.5,
                                "full": True}]}, "worker", "127.0.0.1:1 up, 1 allocation, 50 % busy, FULL"),
    ],
)  # fmt: skip
def test_what_is_not_well_is_said(found: dict[str, Any], label: str, said: str) -> None:
    assert said in lines(found)[label]


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_the_page_fits_its_terminal_and_loses_nothing(width: int) -> None:
    text = written(summarise, FOUND, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "relay status --all" in " ".join(text.split())


def test_links_are_rows_with_units_at_80_columns() -> None:
    text = written(show, "links", [LINK, {**LINK, "a": "hefei", "condition": "cut"}])
    title, head, first, second = text.splitlines()
    assert title.startswith("links (simulated; pool, spent and lost in end keys, 512 bits each")
    assert head.split() == ["link", "km", "dB", "kb/s", "QBER", "state", "Eve", "pool", "of", "spent", "lost"]
    assert first.split() == [
        "shijiazhuang–suzhou", "62", "12.4", "10.8", "1.57", "%", "up", "1469", "2048", "25", "0",
    ]  # fmt: skip
    assert second.split()[6] == "cut"
    assert "…" not in text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_nothing_is_cut_off_however_narrow(width: int) -> None:
    text = written(show, "links", [LINK] * 3, width=width)
    assert "…" not in text
    assert text.count("1469") == 3


def test_a_section_of_names_and_figures_is_a_table() -> None:
    text = written(
        show, "relay", {"draining": False, "busy": 0.134, "drops": {}, "batches": {"1": 2, "2": 0}}
    )
    assert [line.strip().split(maxsplit=1) for line in text.splitlines()] == [
        ["relay"], ["draining", "no"], ["busy", "13 %"], ["drops", "-"], ["batches", "≤ 1: 2"],
    ]  # fmt: skip


def test_a_section_of_nothing_says_so() -> None:
    assert written(show, "workers", []).split() == ["workers", "none"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(9999, "9999"), (10_000, "10k"), (1_048_576, "1.05M"), (999_999, "1M"), (2.5e9, "2.5G"),
     (1.234e12, "1,234G"), (0.015673, "0.0157"), (12.4, "12.4"), (0, "0"), (0.0, "0"), (True, "yes"),
     ("up", "up")],
)  # fmt: skip
def test_figures_are_short(value: Any, said: str) -> None:
    assert short(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (212_992, "213 kB"),
        (1_900_000, "1.9 MB"),
        (1_230_000_000_000, "1.23 TB"),
        (999_600_000_000, "1 TB"),
        (1_234_000_000_000_000, "1,234 TB"),
    ],
)
def test_bytes_have_their_unit(value: int, said: str) -> None:
    assert octets(value) == said


def test_every_figure_of_the_media_relay_has_its_unit() -> None:
    assert figure("turn", "client_bytes_in", 1_500_000) == "1.5 MB"
    assert figure("turn", "receive_buffer", 212_992) == "213 kB"
    assert figure("turn", "error_seconds", 0.0123456) == "0.01235 s"
    assert figure("turn", "release_errors", {"0.1": 3, "50": 0, "more": 1}) == "≤ 0.1 ms: 3  more: 1"
    assert buckets({"1": 0}, "") == "-"
    assert keys(1024.0) == "2"
