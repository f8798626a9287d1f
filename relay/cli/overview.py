"""The running relay on one page: what it does, what is wrong, in words with units. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay.network.link import BLOCK_BITS

from .figures import octets
from .running import counted

Row = Mapping[str, Any]
MOST = 4
"""Things of a kind that are named one by one."""
LOW = 0.1
"""Share of a pool below which its link is worth a look."""


def overview(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What each part of the relay does: a label and a line of text."""
    relay, turn = found["relay"], found["turn"]
    state = [relay["topology"], f"{100 * relay['busy']:.0f} % busy"]
    state += ["DRAINING, takes nothing new"] if relay["draining"] else []
    state += ["FULL, refuses what is new"] if relay["full"] else []
    yield "relay", ", ".join(state)
    yield "phones", signalling(found["signalling"])
    yield "media", media(turn, relay["flows"])
    refused = sum(turn["auth_failures"].values()) + sum(turn["errors"].values())
    if turn["drops"] or refused:
        yield "", f"dropped: {several(turn['drops'])}; requests refused: {refused:,}"
    for worker in found.get("workers", ()):
        busy = f"{100 * worker['busy']:.0f} % busy{', FULL' if worker['full'] else ''}"
        yield (
            "worker",
            f"{worker['turn']} {worker['state']}, {counted(worker['allocations'], 'allocation')}, {busy}",
        )
    yield from named("path", [path(row) for row in found["paths"]], "paths")
    yield "keys", keys(found["keys"])
    yield "links", links(found["links"])
    yield from named("", [trouble(row) for row in found["links"] if is_troubled(row)], "links")


def named(label: str, lines: Sequence[str], section: str) -> Iterator[tuple[str, str]]:
    """The first of ``lines``, and how many more there are."""
    for place, line in enumerate(lines[:MOST]):
        yield label if place == 0 else "", line
    if len(lines) > MOST:
        yield "", f"and {len(lines) - MOST} more: relay status {section}"


def signalling(counts: Mapping[str, int]) -> str:
    """Who is there, and how their messages fared."""
    failed = sum(count for name, count in counts.items() if name.startswith("envelopes-failed"))
    delivered = counts.get("envelopes-delivered", 0)
    said = f"{counts['phones']} online; {counted(delivered, 'message')} delivered"
    return said + (f", {failed} not" if failed else "")


def media(turn: Mapping[str, Any], flows: int) -> str:
    """What is relayed."""
    packets = turn["client_packets_in"] + turn["peer_packets_in"]
    volume = octets(turn["client_bytes_in"] + turn["peer_bytes_in"])
    live = f"{counted(turn['allocations'], 'allocation')}, {counted(flows, 'flow')}"
    return f"{live}; {packets:,} packets, {volume} since the start"


def several(counts: Mapping[str, int]) -> str:
    """How many of what, the most first."""
    first = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(f"{count:,} {name}" for name, count in first) or "none"


def path(row: Row) -> str:
    """A modelled direction that was used."""
    runs = {int(length): count for length, count in row["loss_runs"].items()}
    lost = sum(length * count for length, count in runs.items())
    losses = f"{lost:,} packets lost, at most {max(runs)} in a row" if lost else "no packet lost"
    return f"{row['from']} → {row['to']}: {row['km']:,.0f} km, {row['delay_ms']:.1f} ms one way; {losses}"


def keys(section: Row) -> str:
    """How end keys fare."""
    said = [f"{section['keys_relayed']:,} relayed"]
    if section.get("relays_rejected"):
        said.append(f"{section['relays_rejected']:,} rejected")
    said += [f"{node} READS KEYS ({count:,})" for node, count in section["compromised"].items()]
    said += [f"{node} is DOWN" for node in section.get("down", ())]
    return f"{', '.join(said)} (simulated)"


def links(rows: Sequence[Row]) -> str:
    """All links in a line."""
    wrong = [row for row in rows if row["condition"] != "up"]
    states = f"{len(wrong)} not up" if wrong else "all up"
    pools = [row["pool"] / row["capacity"] for row in rows if row["capacity"]]
    emptiest, fullest = (f"{100 * bound(pools, default=0):.0f}" for bound in (min, max))
    spread = fullest if emptiest == fullest else f"{emptiest} to {fullest}"
    full = f"; pools {spread} % full" if pools else ""
    rates = [row["rate"] for row in rows if row["rate"]]
    slowest = (
        f", the slowest makes {min(rates) / 1000:.1f} kb/s, {min(rates) / BLOCK_BITS:.1f} keys/s"
        if rates
        else ""
    )
    return f"{len(rows)}, {states}{full}{slowest}"


def is_troubled(row: Row) -> bool:
    """Whether a link is not as it should be."""
    low = row["capacity"] and row["pool"] < LOW * row["capacity"]
    return bool(row["condition"] != "up" or row["eve"] or low)


def trouble(row: Row) -> str:
    """What is wrong with a link."""
    said = [row["condition"]]
    if row["eve"]:
        said.append(f"an eavesdropper on {100 * row['eve']:.0f} % of the pulses")
    said.append(f"QBER {100 * row['qber']:.1f} %")
    if row["capacity"]:
        pool = row["pool"] // BLOCK_BITS
        said.append(f"{counted(pool, 'key')} left, {100 * row['pool'] / row['capacity']:.0f} %")
    return f"{row['a']}–{row['b']}: {', '.join(said)}"
