"""The report of the demonstration, with Rich. Every figure comes from the programs that ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .attacker import LAYERS
from .hearing import Hearing
from .stage import Event

NAMES = {"classical": "X25519", "mlkem": "ML-KEM"}
LIKE = 0.9
"""Correlation of what was heard with what was said, from which on it is the same speech."""


@dataclass(frozen=True)
class Failure:
    """A check that failed: what it is about, its figure, and the limit of that."""

    check: str
    figure: str
    limit: str
    real_time: bool = False
    """Whether a machine that is busy with other things fails it too."""

    def __str__(self) -> str:
        return f"{self.check}: {self.figure}, must be {self.limit}"


BUSY = (
    "This is a measure of real time alone, which a machine that is busy with other programs spoils: "
    "every attack went as it should. Run scripts/demo again when the machine is idle."
)


@dataclass(frozen=True)
class Attack:
    """One try of the attacker program."""

    given: tuple[str, ...]
    honest_nodes: bool
    packets: int
    end_keys: int
    opened: int

    @property
    def is_control(self) -> bool:
        """Whether the attacker had every layer, so that it must succeed."""
        stolen = set() if self.honest_nodes else {"qkd"}
        return set(self.given) | stolen == set(LAYERS)

    @property
    def as_it_should(self) -> bool:
        """Whether the attack opened all packets as the control, and none otherwise."""
        return self.packets > 0 and self.opened == (self.packets if self.is_control else 0)

    @property
    def failure(self) -> Failure:
        """What is wrong when it did not."""
        broken = [name for layer, name in NAMES.items() if layer in self.given]
        keys = "no QKD key" if self.honest_nodes else "every QKD key stolen"
        attack = f"packets opened with {' and '.join(broken) or 'no layer'} broken, {keys}"
        if not self.packets:
            return Failure(attack, "none was recorded", "more than none")
        control = f"{self.packets}, as the control" if self.is_control else "0"
        return Failure(attack, f"{self.opened} of {self.packets}", control)


@dataclass(frozen=True)
class Result:
    """What happened in one demonstration."""

    ready: Event
    route: Event
    caller: Event
    callee: Event
    at_callee: Hearing
    at_caller: Hearing
    attacks: Sequence[Attack]
    seconds: float

    @property
    def proved(self) -> bool:
        """Whether every attack went as it should and both phones heard the other's speech."""
        return not self.failures

    @property
    def failures(self) -> list[Failure]:
        """The checks that failed."""
        heard = [
            Failure(
                f"likeness of what {name} heard to what was said",
                f"{hearing.correlation:.3f}",
                f"above {LIKE:g}",
                real_time=True,
            )
            for name, hearing in (("alice", self.at_caller), ("bob", self.at_callee))
            if not hearing.correlation > LIKE
        ]
        return heard + [attack.failure for attack in self.attacks if not attack.as_it_should]

    def summary(self) -> dict[str, Any]:
        """The result for other programs; delays in milliseconds."""
        return {
            "path": self.ready["path"],
            "security": self.caller["security"],
            "timing": {"caller": self.caller["timing"], "callee": self.callee["timing"]},
            "quality": {"caller": self.caller["quality"], "callee": self.callee["quality"]},
            "hearing": {
                side: {
                    "correlation": round(hearing.correlation, 4),
                    "mouth_to_ear_p50_ms": round(1000 * hearing.percentile(50), 1),
                    "mouth_to_ear_p95_ms": round(1000 * hearing.percentile(95), 1),
                }
                for side, hearing in (("callee", self.at_callee), ("caller", self.at_caller))
            },
            "attacks": [
                {
                    "given": attack.given,
                    "honest_nodes": attack.honest_nodes,
                    "packets": attack.packets,
                    "opened": attack.opened,
                }
                for attack in self.attacks
            ],
            "proved": self.proved,
            "failures": [str(failure) for failure in self.failures],
            "seconds": round(self.seconds, 1),
        }


def show(result: Result, console: Console) -> None:
    """Print the report."""
    security = result.caller["security"]
    console.print()
    console.print(Panel(Text(security["line"], style="bold green"), title="the call", expand=False))
    console.print(path(result))
    console.print(layers(security))
    console.print(figures(result))
    console.print(proof(result))
    show_verdict("Nobody in between could listen.", result.failures, console)
    console.print(f"[dim]{result.seconds:.0f} s in all. All quantum links are simulated.[/]")


def show_verdict(proved: str, failures: Sequence[Failure], console: Console) -> None:
    """Print ``proved``, or every check that failed."""
    if not failures:
        console.print(f"[bold green]{proved}[/]")
        return
    console.print("[bold red]NOT PROVED:[/]")
    for failure in failures:
        console.print(f"  {failure}", style="red", highlight=False)
    if all(failure.real_time for failure in failures):
        console.print(BUSY, highlight=False)


def path(result: Result) -> Group:
    """The nodes the voice and the keys went through."""
    modelled = result.ready["path"]
    nodes = result.caller["security"]["qkd"]["path"]
    title = (
        f"[bold]Path[/]  {len(nodes)} trusted nodes, {len(nodes) - 1} hops, {modelled['km']:.0f} km, "
        f"{modelled['delay_ms']:.1f} ms one way [dim](modelled)[/]"
    )
    return Group(Text.from_markup(title), Text(" ═ ".join(nodes), style="cyan"), Text())


def layers(security: dict[str, Any]) -> Table:
    """Where each key layer came from."""
    table = Table(title="Three layers, one key", title_justify="left", expand=False)
    for column in ("layer", "from", "named"):
        table.add_column(column, overflow="fold")
    for name in ("classical", "mlkem"):
        table.add_row(name, security[name]["algorithm"], security[name]["source"])
    qkd = security["qkd"]
    table.add_row("qkd", f"{qkd['master_kme']} and {qkd['slave_kme']} (simulated)", "\n".join(qkd["key_ids"]))
    identity = f"bob {security['fingerprint']}\nwords {' '.join(security['words'])}"
    table.add_row("identities", f"{security['signatures']}, signed on both phones", identity)
    return table


def figures(result: Result) -> Table:
    """Setup, delay, loss and quality, at both ends."""
    table = Table(title="Measured", title_justify="left", expand=False)
    table.add_column("")
    table.add_column("alice", justify="right")
    table.add_column("bob", justify="right")
    timing = result.caller["timing"]
    ends = result.caller["quality"], result.callee["quality"]
    hearing = result.at_caller, result.at_callee
    table.add_row("dial to ringing", f"{timing['dial_to_ringing_ms']:.0f} ms", "")
    table.add_row("answer to first audio", f"{answer_to_audio(result):.0f} ms", "")
    table.add_row("mouth to ear, median", *(f"{1000 * each.percentile(50):.0f} ms" for each in hearing))
    table.add_row("mouth to ear, p95", *(f"{1000 * each.percentile(95):.0f} ms" for each in hearing))
    table.add_row("likeness of what was heard", *(f"{each.correlation:.3f}" for each in hearing))
    table.add_row("packets lost", *(f"{end['packetsLost']} of {end['packetsExpected']}" for end in ends))
    table.add_row("MOS (E-model)", *(f"{end['mos']:.2f}" for end in ends))
    return table


def answer_to_audio(result: Result) -> float:
    """Milliseconds from the callee's answer to the first of its audio at the caller."""
    answered, first = result.callee["timing"]["answered_at"], result.caller["timing"]["first_audio_at"]
    return 1000 * float(first - answered)


def proof(result: Result) -> Table:
    """What the attacker could do."""
    first = result.attacks[0]
    title = f"The attacker: {first.packets} SRTP packets recorded, {first.end_keys} QKD end keys stolen"
    table = Table(title=title, title_justify="left", expand=False)
    for column in ("X25519", "ML-KEM", "QKD, trusted nodes"):
        table.add_column(column)
    table.add_column("opened", justify="right")
    for attack in result.attacks:
        layers = ("broken" if layer in attack.given else "holds" for layer in ("classical", "mlkem"))
        nodes = "all honest" if attack.honest_nodes else "every key stolen"
        style = "green" if attack.as_it_should else "red"
        control = "  [dim]control: must open all[/]" if attack.is_control else ""
        table.add_row(*layers, nodes, f"[{style}]{attack.opened} of {attack.packets}[/]{control}")
    return table
