"""Nodes, links and access sites of a quantum network, read from TOML.

A file names its sites (nodes where phones attach) and its links; nodes follow from the links::

    name = "beijing-hefei"
    description = "modelled: ..."
    optics = "field"                       # a preset of relay.network.physics
    sites = ["beijing", "hefei"]
    links = [
      { a = "beijing", b = "langfang", km = 62 },
      { a = "langfang", b = "tianjin", km = 70, extra_loss = 0.5 },
    ]
    spans = [                              # a long line with trusted nodes every so many km
      { a = "wuhan", b = "hefei", km = 380, every = 70 },
    ]

Lengths are kilometres of fibre, losses dB. Names are lower-case host labels, because they become key-node
names in certificates. The presets are modelled: no operator's node list is public, and none is claimed.
"""

from __future__ import annotations

import difflib
import importlib.resources
import itertools
import math
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from relay.errors import UsageError

from .physics import PRESETS, LinkQuality, Optics, quality
from .routing import cheapest

FIBRE_DELAY = 4.9e-6
"""Seconds a kilometre: light in glass."""
NODE_DELAY = 50e-6
"""Seconds that a trusted node takes to verify, decrypt and encrypt; an assumption of the model."""
SUFFIX = ".toml"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")
"""RFC 1123 clause 2.1, short enough for ``kme-`` and an index in one certificate label."""

MAX_FILE = 1 << 20
"""Bytes of a file."""
MAX_LINKS = 20_000
MAX_DESCRIPTION = 200
"""Characters, all on one line."""


def kme_id(node: str) -> str:
    """The KME ID of a node's key node."""
    return f"kme-{node}"


@dataclass(frozen=True, slots=True)
class Link:
    """One fibre between two trusted nodes; ``a`` and ``b`` in the order of the file."""

    a: str
    b: str
    km: float
    extra_loss: float
    optics: Optics

    @property
    def name(self) -> str:
        return f"{self.a}–{self.b}"

    def quality(self, *, eve: float = 0.0) -> LinkQuality:
        """Rate and error of the undisturbed link, or with an eavesdropper on a share of its pulses."""
        return quality(self.optics, self.km, extra_loss=self.extra_loss, eve=eve)


@dataclass(frozen=True)
class Topology:
    """A checked network: every name is known, every site can reach every other."""

    name: str
    description: str
    sites: tuple[str, ...]
    links: tuple[Link, ...]

    @cached_property
    def neighbours(self) -> dict[str, dict[str, Link]]:
        """Every node, and its links by the node at their other end."""
        found: dict[str, dict[str, Link]] = {}
        for link in self.links:
            found.setdefault(link.a, {})[link.b] = link
            found.setdefault(link.b, {})[link.a] = link
        return found

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self.neighbours)

    @property
    def km(self) -> float:
        """All fibre together."""
        return sum(link.km for link in self.links)

    def known(self, node: str) -> None:
        """Raise :class:`UsageError` when there is no such node."""
        if node not in self.neighbours:
            near = ", ".join(difflib.get_close_matches(node, self.nodes, cutoff=0.0))
            raise UsageError(f"there is no node {node} in {self.name}; the nearest by name are {near}")

    def link(self, a: str, b: str) -> Link:
        """The link between two nodes; raises :class:`UsageError` naming the neighbours there are."""
        try:
            return self.neighbours[a][b]
        except KeyError:
            known = ", ".join(self.neighbours.get(a, ())) or "no node of that name"
            raise UsageError(f"there is no link {a}–{b}; {a} has links to: {known}") from None

    def path(self, source: str, target: str) -> tuple[str, ...]:
        """The shortest route in kilometres: nodes from ``source`` to ``target``, both included."""
        path = self.detour(source, target, frozenset())
        if path is None:
            raise UsageError(f"topology {self.name} has no path from {source} to {target}")
        return path

    def detour(self, source: str, target: str, dark: Set[Link]) -> tuple[str, ...] | None:
        """The shortest route over fibre that is not in ``dark``; None when there is none."""
        return cheapest(self.neighbours, source, target, lambda link: math.inf if link in dark else link.km)

    def delay(self, path: Sequence[str]) -> float:
        """Seconds that a frame takes along ``path``: fibre and nodes."""
        hops = list(itertools.pairwise(path))
        return sum(self.link(a, b).km for a, b in hops) * FIBRE_DELAY + len(hops) * NODE_DELAY

    def hops(self, path: Sequence[str]) -> tuple[tuple[str, float], ...]:
        """Name and kilometres of every hop of a path, in travelling order."""
        return tuple((f"{a}–{b}", self.link(a, b).km) for a, b in itertools.pairwise(path))


class _LinkEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    a: str
    b: str
    km: float
    extra_loss: float = 0.0
    optics: str = ""


class _SpanEntry(_LinkEntry, frozen=True, kw_only=True):
    every: float


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    description: str
    sites: tuple[str, ...]
    optics: str = "field"
    links: tuple[_LinkEntry, ...] = ()
    spans: tuple[_SpanEntry, ...] = ()


def presets() -> tuple[str, ...]:
    """Names of the topologies that come with the program."""
    here = importlib.resources.files(__package__)
    return tuple(sorted(p.name.removesuffix(SUFFIX) for p in here.iterdir() if p.name.endswith(SUFFIX)))


def load(name_or_file: str) -> Topology:
    """A preset by name, else a TOML file; raises :class:`UsageError` with line and reason."""
    if name_or_file in presets():
        text = importlib.resources.files(__package__).joinpath(name_or_file + SUFFIX).read_text("utf-8")
        return parse(text, name_or_file)
    try:
        with Path(name_or_file).open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        known = ", ".join(presets())
        raise UsageError(f"no topology {name_or_file}: name a file or one of {known}") from None
    except OSError as error:
        raise UsageError(f"cannot read topology {name_or_file}: {error.strerror}") from None
    if len(raw) > MAX_FILE:  # first: what was read of it may end within a character
        raise UsageError(f"{name_or_file} is no topology: it is longer than {MAX_FILE >> 20} MiB")
    try:
        return parse(raw.decode("utf-8"), name_or_file)
    except UnicodeDecodeError:
        raise UsageError(f"{name_or_file} is no topology: it is not text in UTF-8") from None


def parse(text: str, source: str) -> Topology:
    """The topology in ``text``; ``source`` names it in errors. Raises :class:`UsageError`."""
    try:
        file = msgspec.toml.decode(text, type=_File)
    except msgspec.ValidationError as error:
        raise _fault(text, source, *_entry_of(str(error)), str(error)) from None
    except msgspec.DecodeError as error:  # tomllib's own text names line and column
        raise UsageError(f"{source}: {error}") from None
    except (ValueError, RecursionError):  # tomllib lets what Python says of both through
        raise UsageError(f"{source}: a number is too long, or tables are too deep in each other") from None
    if not LABEL.fullmatch(file.name):
        raise _fault(text, source, "name", -1, _no_label(file.name, "name"))
    if not file.description.isprintable() or len(file.description) > MAX_DESCRIPTION:
        lengthy = f"a description is one line of at most {MAX_DESCRIPTION} characters"
        raise _fault(text, source, "description", -1, lengthy)
    if odd := [site for site in file.sites if not LABEL.fullmatch(site)]:
        raise _fault(text, source, "sites", -1, _no_label(odd[0], "node name"))
    links: dict[frozenset[str], Link] = {}
    for section, index, entry in _entries(file):
        if reason := _nonsense(file, entry):
            raise _fault(text, source, section, index, reason)
        for link in _expand(entry, PRESETS[entry.optics or file.optics]):
            if link.quality().rate <= 0:
                keyless = f"{link.name} makes no key over {link.km:g} km; put trusted nodes between its ends"
                raise _fault(text, source, section, index, keyless)
            if len(links) == MAX_LINKS:
                raise _fault(text, source, section, index, f"more than {MAX_LINKS} links")
            if links.setdefault(frozenset((link.a, link.b)), link) is not link:
                raise _fault(text, source, section, index, f"{link.name} is there twice")
    topology = Topology(file.name, file.description, file.sites, tuple(links.values()))
    if reason := _unusable(topology):
        raise _fault(text, source, "sites", -1, reason)
    return topology


def _entries(file: _File) -> Iterator[tuple[str, int, _LinkEntry]]:
    for section, entries in (("links", file.links), ("spans", file.spans)):
        yield from ((section, index, entry) for index, entry in enumerate(entries))


def _expand(entry: _LinkEntry, optics: Optics) -> Iterator[Link]:
    """The links of an entry: itself, or a span cut into equal hops of about ``every`` kilometres."""
    count = max(1, round(entry.km / entry.every)) if isinstance(entry, _SpanEntry) else 1
    names = [entry.a, *(f"{entry.a}-{entry.b}-{i}" for i in range(1, count)), entry.b]
    for a, b in itertools.pairwise(names):
        yield Link(a, b, round(entry.km / count, 3), entry.extra_loss, optics)


def _nonsense(file: _File, entry: _LinkEntry) -> str | None:
    """What is wrong with one entry, if anything."""
    for name in (entry.a, entry.b):
        if not LABEL.fullmatch(name):
            return _no_label(name, "node name")
    if entry.a == entry.b:
        return f"{entry.a} is linked to itself"
    if not 0 < entry.km <= 10_000:
        return f"km = {entry.km:g} is not between 0 and 10000"
    if not 0 <= entry.extra_loss <= 100:
        return f"extra_loss = {entry.extra_loss:g} dB is not between 0 and 100"
    if isinstance(entry, _SpanEntry) and not 1 <= entry.every <= 1000:
        return f"every = {entry.every:g} km is not between 1 and 1000"
    if (optics := entry.optics or file.optics) not in PRESETS:
        return f"optics = {optics!r} is not one of {', '.join(PRESETS)}"
    return None


def _no_label(name: str, kind: str) -> str:
    return f"{name!r} is no {kind}: use a-z, 0-9 and hyphens, at most 48"


def _unusable(topology: Topology) -> str | None:
    """Why the network as a whole cannot serve its sites, if so."""
    if len(topology.sites) < 2 or len(set(topology.sites)) != len(topology.sites):
        return "name at least two access sites, each once"
    for site in topology.sites:
        if site not in topology.neighbours:
            return f"{site} has no link"
    reached, waiting = {topology.sites[0]}, [topology.sites[0]]
    while waiting:
        fresh = topology.neighbours[waiting.pop()].keys() - reached
        reached |= fresh
        waiting.extend(fresh)
    cut_off = next((site for site in topology.sites if site not in reached), None)
    return f"{cut_off} cannot be reached from {topology.sites[0]}" if cut_off else None


def _entry_of(error: str) -> tuple[str, int]:
    """Section and index out of msgspec's path, ``$.links[3].km``; -1 when it is a member of the file.

    An unknown member has no path but its own name; one that is missing has neither, and no line.
    """
    found = re.search(r"\$\.(\w+)(?:\[(\d+)\])?", error) or re.search(r"unknown field `(.+)`()$", error)
    return (found[1], int(found[2] or -1)) if found else ("", -1)


def _fault(text: str, source: str, section: str, index: int, reason: str) -> UsageError:
    line = _line(text, section, index)
    where = f"{section}[{index}]" if index >= 0 else section
    named = (source, f"line {line}" if line else "", where)
    return UsageError(", ".join(part for part in named if part) + f": {reason}")


def _line(text: str, section: str, index: int) -> int | None:
    """The line of the ``index``-th entry, inline or as ``[[section]]``; of the member itself at -1."""
    inside, seen, section = False, -1, re.escape(section)
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r'"[^"]*"', '""', raw).split("#")[0].strip()
        if re.fullmatch(rf"\[\[?\s*{section}\s*\]\]?", line):
            if index < 0:
                return number
            seen += 1
        elif re.match(rf"{section}\s*=", line):
            if index < 0:
                return number
            inside = True
        if inside:
            seen += line.count("{")
            inside = not line.endswith("]")
        if 0 <= index <= seen:
            return number
    return None
