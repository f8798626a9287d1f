"""Figures of ``relay status`` with their units, short enough for a cell of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from relay.network.link import BLOCK_BITS

ROUNDED_UP = 999.5
"""From here on three digits read 1,000."""
Cell = Callable[[Any], str]


def short(value: Any) -> str:
    """A figure to three digits: 0.0157, 10.8k, 1.05M."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shown(value)
    if abs(value) < 10_000:
        return shown(value) if isinstance(value, int) or abs(value) >= 1 else f"{value:.3g}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if abs(value) < ROUNDED_UP:
            return f"{value:.3g}{unit}"
    return f"{value:,.0f}G"


def shown(value: Any) -> str:
    """What has no unit; groups as name=value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "  ".join(f"{name}={shown(each)}" for name, each in value.items() if each) or "-"
    if isinstance(value, list):
        return "  ".join(map(shown, value)) or "-"
    return str(value)


def octets(value: int) -> str:
    """Bytes: 208 kB, 1.9 MB."""
    figure = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if figure < ROUNDED_UP:
            return f"{figure:.3g} {unit}"
        figure /= 1000
    return f"{figure:.3g} TB" if figure < ROUNDED_UP else f"{figure:,.0f} TB"


def share(value: float) -> str:
    """0 to 1 in per cent; nothing for none."""
    return f"{100 * value:.0f} %" if value else ""


def keys(bits: float) -> str:
    """Bits of a link's pool as end keys, of which each costs a link `BLOCK_BITS`."""
    return short(int(bits / BLOCK_BITS))


COLUMNS: Mapping[str, tuple[str, Cell]] = {
    "km": ("km", lambda value: f"{value:,.0f}"),
    "loss_db": ("dB", lambda value: f"{value:.1f}"),
    "rate": ("kb/s", lambda value: f"{value / 1000:.1f}"),
    "qber": ("QBER", lambda value: f"{100 * value:.2f} %"),
    "condition": ("state", str),
    "eve": ("Eve", share),
    "pool": ("pool", keys),
    "capacity": ("of", keys),
    "spent": ("spent", keys),
    "lost_bits": ("lost", keys),
    "delay_ms": ("ms", lambda value: f"{value:.1f}"),
    "busy": ("busy", lambda value: f"{100 * value:.0f} %"),
}
"""What a column or a figure is called and how its cells are written; what is not here has no unit."""
NOTES = {
    "links": "simulated; pool, spent and lost in end keys, 512 bits each",
    "paths": "modelled; of packets lost one after the other, how many times",
    "hops": "packets over each hop of the modelled paths",
    "turn": "since the start, but for allocations",
    "signalling": "since the start, but for phones",
    "keys": "simulated",
}
"""What has to be known about a section."""


def figure(section: str, name: str, value: Any) -> str:
    """One figure of a section that is names and figures."""
    if "bytes" in name or name == "receive_buffer":
        return octets(value)
    if name == "error_seconds":
        return f"{value:.4g} s"
    if name == "release_errors":
        return buckets(value, " ms")
    if name == "batches":
        return buckets(value, "")
    _, cell = COLUMNS.get(name, (name, shown))
    return cell(value) if section == "relay" else shown(value)


def buckets(counts: Mapping[str, int], unit: str) -> str:
    """A histogram: how many up to each bound, those that have any."""
    found = [
        f"{'more' if bound == 'more' else f'≤ {bound}{unit}'}: {count:,}"
        for bound, count in counts.items()
        if count
    ]
    return "  ".join(found) or "-"
