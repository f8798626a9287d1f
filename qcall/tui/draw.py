"""Meters, sparklines and the chain of nodes as text. Pure: values and a width in, text out.

Every figure comes with a word, so that nothing depends on colour or on the height of a block.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from textual.content import Content

from qcall import errors
from qcall.session.snapshot import Hop, Presence, Route, Trust

BARS = " ▁▂▃▄▅▆▇█"
TICK, CROSS = "✓", "✗"
GOOD, FAIR, POOR, MUTED = "$success", "$warning", "$error", "$muted"
ALARM_QBER = 0.11
"""The textbook alarm: above it somebody may be listening to the link."""
LOW_POOL = 0.2
LEAST_NAME = 6
"""Cells that tell a node's name from others."""
TABLE = 6
"""Lines of the chain with all its figures, and with the hop to worry about."""
LABEL = 8
"""Cells before the figures of the route."""

PRESENCE = {
    Presence.ONLINE: ("●", GOOD),
    Presence.BUSY: ("◐", FAIR),
    Presence.OFFLINE: ("○", MUTED),
    Presence.UNKNOWN: ("·", MUTED),
}
TRUST = {
    Trust.NEW: FAIR,
    Trust.PINNED: "",
    Trust.VERIFIED: GOOD,
    Trust.DOUBTED: f"bold {POOR}",
    Trust.CHANGED: f"bold {POOR}",
}
ALARMING = (Trust.DOUBTED, Trust.CHANGED)


def clock(seconds: float) -> str:
    """``m:ss`` or ``h:mm:ss``."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes:02}:{whole % 60:02}"


def time_of_day(unix: float) -> str:
    """``hh:mm:ss`` where the user is."""
    return time.strftime("%H:%M:%S", time.localtime(unix))


def on_screen(fault: str, code: str, advice: str) -> str:
    """A ``fault`` of sound; where its own advice is flags of the command line, with another in its place.

    That is ``advice`` where no card can be opened. Which it is, its ``code`` tells.
    """
    what = fault.partition("; ")[0]
    match code:
        case errors.NO_PYAUDIO:
            return "PyAudio is not installed: there is no sound card without it; see the README"
        case errors.NO_SOUND_SYSTEM:
            return f"{what}; start the phone again"
        case errors.NO_CARD:
            return f"{what}; {advice}"
    return fault


def sparkline(samples: Sequence[float], width: int, low: float, high: float) -> str:
    """The newest ``width`` samples between ``low`` and ``high``, the newest at the right."""
    shown = samples[-width:]
    steps = len(BARS) - 2
    bars = (BARS[1 + round(steps * min(1.0, max(0.0, (each - low) / (high - low))))] for each in shown)
    return "".join(bars).rjust(width)


def bar(share: float) -> str:
    """One block as high as ``share``, which is 0 to 1; never nothing."""
    return BARS[1 + round((len(BARS) - 2) * min(1.0, max(0.0, share)))]


def meter(level: float, width: int, *, floor: float = -60.0) -> Content:
    """A bar for ``level`` decibels below full scale."""
    filled = round(width * min(1.0, max(0.0, 1 - level / floor)))
    loud = POOR if level > -3 else GOOD
    return Content.assemble(("▮" * filled, loud), ("▯" * (width - filled), MUTED))


def loudness(level: float) -> str:
    """``level`` in words."""
    return "silent" if level < -60 else f"{level:.0f} dB"


def grade(value: float, fair: float, poor: float) -> tuple[str, str]:
    """A word and a colour for ``value``; ``fair`` and ``poor`` are where it ceases to be better than that."""
    rising = poor > fair
    if (value >= poor) if rising else (value <= poor):
        return "poor", POOR
    if (value >= fair) if rising else (value <= fair):
        return "fair", FAIR
    return "good", GOOD


def percent(share: float | None) -> str:
    """A share with as many digits as it deserves; a dash when it is not known."""
    if share is None:
        return "–"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def bit_rate(rate: float | None) -> str:
    """Bits a second."""
    if rate is None:
        return "–"
    for unit, size in (("Mb/s", 1e6), ("kb/s", 1e3)):
        if rate >= size:
            return f"{rate / size:.1f} {unit}"
    return f"{rate:.0f} b/s"


def kilobits(rate: float) -> str:
    """Kilobits a second in at most three characters, as far as that goes."""
    return f"{rate / 1000:.1f}" if rate < 9950 else f"{rate / 1000:.0f}"


def trouble_of(hop: Hop) -> str:
    """What is wrong with a link, in a word; empty when nothing is."""
    if hop.state not in ("", "up"):
        return hop.state
    if hop.qber is not None and hop.qber > ALARM_QBER:
        return "QBER ALARM"
    if hop.pool is not None and hop.pool < LOW_POOL:
        return "pool low"
    return ""


def colour_of(hop: Hop) -> str:
    """The colour that repeats ``trouble_of``."""
    word = trouble_of(hop)
    return {"": GOOD, "pool low": FAIR}.get(word, POOR)


def by_worry(route: Route) -> list[int]:
    """The hops, the one to worry about first."""

    def worth(index: int) -> tuple[float, ...]:
        hop = route.hops[index]
        pool = 2.0 if hop.pool is None else hop.pool
        rate = 1e12 if hop.rate is None else hop.rate
        return (hop.state in ("", "up"), not trouble_of(hop), pool, rate, -(hop.qber or 0.0))

    return sorted(range(len(route.hops)), key=worth)


def hop_line(route: Route, index: int, width: int, *, prefix: str = "") -> Content:
    """One hop in words, in ``width`` cells: its figures are whole, and its names as long as there is room."""
    hop = route.hops[index]
    word = trouble_of(hop)
    # What is wrong with a figure stands before it, and its name once.
    figures = [f"{word if word.startswith('QBER') else 'QBER'} {percent(hop.qber)}"]
    if hop.pool is not None:
        figures.insert(0, f"{word if word.startswith('pool') else 'pool'} {percent(hop.pool)}")
    if hop.rate is not None:
        figures.append(bit_rate(hop.rate))
    spare = [] if hop.km is None else [f"{hop.km:.0f} km"]
    if hop.pool is None and hop.age is not None:
        spare.append(f"bits {hop.age:.0f} s old")
    ends = route.nodes[index], route.nodes[index + 1]
    if not any(word and figure.startswith(word) for figure in figures):
        figures.insert(0, word or "ok")
    for rest in ([*figures, *spare], figures, figures[:-1] if hop.rate is not None else figures):
        room = width - len(prefix) - sum(2 + len(part) for part in rest)
        if len("–".join(ends)) <= room:
            break
    return Content.styled("  ".join((prefix + between(*ends, room), *rest)), colour_of(hop) if word else "")


def other_way(route: Route, width: int) -> Content:
    """The way of the next keys: how many hops it is, and of the nodes that the chain has not, who fits."""
    new = [node for node in route.now if node not in route.nodes]
    head = f"next keys: {len(route.now) - 1} hops by "
    for named in range(len(new), -1, -1):
        rest = f" and {len(new) - named} more" if named < len(new) else ""
        said = head + (", ".join(new[:named]) + rest if named else f"{len(new)} other nodes")
        if len(said) <= width:
            break
    return Content.styled(said if new else f"{head}the same nodes", FAIR)


def between(one: str, other: str, width: int) -> str:
    """Two names and a dash in ``width`` cells if that leaves enough of them, the longer one cut first."""
    room = max(2 * LEAST_NAME, width - 1)
    first = max(room // 2, room - len(other))
    cut = one if len(one) <= first else one[: first - 1] + "…"
    second = room - len(cut)
    return f"{cut}–{other if len(other) <= second else other[: second - 1] + '…'}"


def picture(route: Route, width: int, chosen: int | None = None, *, height: int = TABLE) -> list[Content]:
    """The chain of nodes, under every hop its pool, rate and QBER; with little room, its pool as a bar."""
    hops = max(1, len(route.hops))
    cell = (width - LABEL - 1) // hops
    if cell >= 4 and height >= TABLE:
        ends = route.nodes[0].ljust(LABEL + cell * hops + 1 - len(route.nodes[-1])) + route.nodes[-1]
        return [
            Content.styled(ends, "bold"),
            _chain(route, cell, chosen, " " * LABEL),
            *_table(route, cell, chosen),
        ]
    label = route.nodes[0] + " "
    cell = max(2, (width - len(label) - len(route.nodes[-1]) - 2) // hops)
    end = (" " + route.nodes[-1], "bold")
    bars = [("–" if hop.pool is None else bar(hop.pool), colour_of(hop)) for hop in route.hops]
    return [
        Content.assemble(_chain(route, cell, chosen, label), end),
        _row(
            "pool".ljust(len(label)),
            [(text.center(cell - 1).rjust(cell), style) for text, style in bars],
            chosen,
        ),
    ]


def _chain(route: Route, cell: int, chosen: int | None, label: str) -> Content:
    """Nodes ``cell`` apart; a hop that is broken has a gap."""
    parts: list[tuple[str, str]] = [(label, "bold"), ("●", GOOD)]
    for index, hop in enumerate(route.hops):
        broken = hop.state not in ("", "up")
        line = ("╳" if broken else "━").center(cell - 1, "━" if not broken else "╌")
        parts += [(line, colour_of(hop) + (" reverse" if index == chosen else "")), ("●", GOOD)]
    return Content.assemble(*parts)


def _table(route: Route, cell: int, chosen: int | None) -> list[Content]:
    pools, rates, qbers = [], [], []
    for hop in route.hops:
        colour = colour_of(hop)
        pools.append(("–" if hop.pool is None else f"{100 * hop.pool:.0f}", colour))
        rates.append(("–" if hop.rate is None else kilobits(hop.rate), ""))
        qbers.append(("–" if hop.qber is None else f"{100 * hop.qber:.1f}", colour))
    rows = (("pool %", pools), ("kb/s", rates), ("QBER %", qbers))
    return [
        _row(label.ljust(LABEL), [(text[: cell - 1].rjust(cell), style) for text, style in cells], chosen)
        for label, cells in rows
    ]


def _row(label: str, cells: Sequence[tuple[str, str]], chosen: int | None) -> Content:
    parts: list[tuple[str, str]] = [(label, MUTED)]
    for index, (text, style) in enumerate(cells):
        parts.append((text, f"{style} reverse".strip() if index == chosen else style))
    return Content.assemble(*parts)
