"""A table of ``relay status`` fits 80 columns, or is written in another way: nothing is cut off."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from relay.cli.status import short, show

LINK: dict[str, Any] = {
    "a": "shijiazhuang", "b": "suzhou", "km": 62, "loss_db": 12.4, "rate": 10841.93, "qber": 0.015673,
    "condition": "up", "eve": 0.0, "pool": 752_200, "capacity": 1_048_576, "spent": 12_800, "lost": 0,
}  # fmt: skip


def written(section: str, figures: Any, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(section, figures, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_links_are_rows_at_80_columns() -> None:
    text = written("links", [LINK, {**LINK, "a": "hefei", "condition": "cut"}], 80)
    title, head, first, second = text.splitlines()
    assert title.strip() == "links"
    assert head.split() == [
        "link", "km", "loss", "db", "rate", "qber", "state", "eve", "pool", "full", "spent", "lost",
    ]  # fmt: skip
    assert first.split()[:4] == ["shijiazhuang–suzhou", "62", "12.4", "10.8k"]
    assert second.split()[5] == "cut"
    assert "…" not in text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_nothing_is_cut_off_however_narrow(width: int) -> None:
    text = written("links", [LINK] * 3, width)
    assert "…" not in text
    assert text.count("752k") == 3
    assert max(map(len, text.splitlines())) <= width


def test_a_section_of_names_and_figures_is_a_table() -> None:
    text = written("relay", {"draining": False, "busy": 0.00213456, "drops": {}, "batches": {"1": 2}}, 80)
    assert [line.split() for line in text.splitlines()] == [
        ["relay"], ["draining", "no"], ["busy", "0.002135"], ["drops", "-"], ["batches", "1=2"],
    ]  # fmt: skip


def test_a_section_of_nothing_says_so() -> None:
    assert written("paths", [], 80).split() == ["paths", "-"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(9999, "9999"), (10_000, "10k"), (1_048_576, "1.05M"), (999_999, "1M"), (2.5e9, "2.5G"),
     (0.015673, "0.0157"), (12.4, "12.4"), (0, "0"), (0.0, "0"), (True, "yes"), ("up", "up")],
)  # fmt: skip
def test_figures_are_short(value: Any, said: str) -> None:
    assert short(value) == said
