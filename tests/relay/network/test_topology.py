"""Topologies: the presets keep what they promise, and nonsense is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import UsageError
from relay.network import topology

GOOD = """name = "t"
description = "modelled"
sites = ["a", "c"]
links = [
  { a = "a", b = "b", km = 10 },  # { a comment }
  { a = "b", b = "c", km = 20 },
  { a = "a", b = "c", km = 40 },
]
"""
TABLES = """name = "t"
description = "modelled"
sites = ["a", "b"]

[[links]]
a = "a"
b = "b"
km = 10

[[links]]
a = "b"
b = "b"
km = 10
"""


def test_the_default_route_has_sixteen_nodes_over_a_thousand_kilometres() -> None:
    chain = topology.load("beijing-hefei")
    hops = chain.hops(chain.path("beijing", "hefei"))
    assert len(chain.path("beijing", "hefei")) == 16
    assert all(40 <= km <= 90 for _, km in hops)
    assert 1000 <= sum(km for _, km in hops) <= 1060
    assert {"tianjin", "jinan", "xuzhou"} <= set(chain.path("beijing", "hefei"))


def test_a_second_route_shares_no_node_with_the_first() -> None:
    chain = topology.load("beijing-hefei")
    main = set(chain.path("beijing", "hefei")[1:-1])
    rest = tuple(link for link in chain.links if not {link.a, link.b} & main)
    west = topology.Topology("west", "", chain.sites, rest)
    assert sum(km for _, km in west.hops(west.path("beijing", "hefei"))) > 1060


@pytest.mark.parametrize("name", topology.presets())
def test_every_preset_loads_and_says_it_is_modelled(name: str) -> None:
    assert "modelled" in topology.load(name).description


def test_a_route_is_the_shortest_in_kilometres_and_the_same_both_ways() -> None:
    small = topology.parse(GOOD, "t")
    assert small.path("a", "c") == ("a", "b", "c")
    assert small.path("c", "a") == ("c", "b", "a")
    assert small.hops(small.path("a", "c")) == (("a–b", 10), ("b–c", 20))
    assert small.path("a", "a") == ("a",)


def test_a_span_has_a_trusted_node_every_so_often() -> None:
    text = GOOD.replace("links = [", 'spans = [{ a = "c", b = "d", km = 210, every = 70 }]\nlinks = [')
    small = topology.parse(text, "t")
    assert small.path("c", "d") == ("c", "c-d-1", "c-d-2", "d")
    assert small.km == 280


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("km = 20", "km = -1", r"t, line 6, links\[1\]: km = -1 is not between 0 and 10000"),
        ("km = 20", 'km = "x"', r"t, line 6, links\[1\]: Expected `float`"),
        ("km = 20", "kn = 20", r"t, line 6, links\[1\]: Object"),
        ("km = 20", "km = nan", "km = nan"),
        ("km = 20", "km = 20, extra_loss = 900", "extra_loss = 900 dB"),
        ("km = 20", 'km = 20, optics = "best"', "'best' is not one of field, ghz"),
        ('b = "c", km = 20', 'b = "b", km = 20', "line 6.*linked to itself"),
        ('b = "c", km = 20', 'b = "A B", km = 20', "line 6.*no node name"),
        ('b = "c", km = 40', 'b = "b", km = 40', r"line 7, links\[2\]: a–b is there twice"),
        ('sites = ["a", "c"]', 'sites = ["a", "x"]', "t, line 3, sites: x has no link"),
        ('sites = ["a", "c"]', 'sites = ["a"]', "at least two"),
        ('sites = ["a", "c"]', "sites = 3", "t, line 3, sites: Expected `array`"),
        ("km = 20", "km = = 20", "line 6"),
        ('name = "t"', 'name = "t"\ncolour = "red"', "t, line 2, colour: .*unknown field `colour`"),
        ('name = "t"', 'name = "T T"', "t, line 1, name: 'T T' is no name"),
        ('name = "t"', 'name = ""', "t, line 1, name: '' is no name"),
        ('name = "t"', "", "t: .*missing required field `name`"),
        ("km = 20", "km = 1000", r"t, line 6, links\[1\]: b–c makes no key over 1000 km"),
        ("km = 20", "km = " + "9" * 5000, "t: a number is too long"),
        ("km = 20", "km = " + "[" * 5000 + "]" * 5000, "t: .*too deep"),
        (
            'sites = ["a", "c"]',
            'sites = ["a", "\\u001b[31m"]',
            r"t, line 3, sites: '\\x1b\[31m' is no node name",
        ),
        ("modelled", "\\u001b[31mmodelled", "t, line 2, description: .* one line"),
        ("modelled", "m" * 300, "t, line 2, description: .* one line"),
        ("km = 20", "km = 20, extra_loss = 60", r"t, line 6, links\[1\]: b–c makes no key"),
    ],
)
def test_nonsense_is_named_with_line_and_reason(old: str, new: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        topology.parse(GOOD.replace(old, new, 1), "t")


def test_the_line_of_a_table_is_named_too() -> None:
    with pytest.raises(UsageError, match=r"t, line 10, links\[1\]: b is linked to itself"):
        topology.parse(TABLES, "t")


def test_the_line_of_an_unknown_table_is_named_too() -> None:
    with pytest.raises(UsageError, match=r"t, line 14, paint: .*unknown field"):
        topology.parse(TABLES.replace('b = "b"\nkm = 10\n', 'b = "c"\nkm = 10\n') + "[[paint]]\n", "t")


def test_a_span_whose_hops_make_no_key_is_refused_with_its_line() -> None:
    text = GOOD.replace("links = [", 'spans = [{ a = "c", b = "d", km = 900, every = 450 }]\nlinks = [')
    with pytest.raises(UsageError, match=r"t, line 4, spans\[0\]: c–c-d-1 makes no key over 450 km"):
        topology.parse(text, "t")


def test_sites_that_cannot_reach_each_other_are_refused() -> None:
    islands = GOOD.replace('b = "c", km = 20', 'b = "d", km = 20').replace(
        'a = "a", b = "c"', 'a = "c", b = "e"'
    )
    with pytest.raises(UsageError, match="t, line 3, sites: c cannot be reached from a"):
        topology.parse(islands, "t")


def test_an_unknown_preset_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="beijing-hefei"):
        topology.load(str(tmp_path / "none"))


def test_a_file_of_ones_own_can_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(GOOD)
    assert topology.load(str(tmp_path / "own.toml")).nodes == ("a", "b", "c")


def test_an_unknown_link_is_answered_with_the_neighbours() -> None:
    with pytest.raises(UsageError, match="no link a–x; a has links to: b, c"):
        topology.parse(GOOD, "t").link("a", "x")


def test_a_network_has_a_bounded_number_of_links() -> None:
    span = '{ a = "c", b = "d", km = 10000, every = 1 }, { a = "d", b = "e", km = 10000, every = 1 }'
    text = GOOD.replace("links = [", f"spans = [{span}]\nlinks = [")
    with pytest.raises(UsageError, match=r"t, line 4, spans\[1\]: more than 20000 links"):
        topology.parse(text, "t")


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"\xff\xfe", "is no topology: it is not text in UTF-8"),
        pytest.param(b"#" * (1 << 20) + b"##", "longer than 1 MiB", id="long"),
        pytest.param(b"#" * (1 << 20) + "é".encode(), "longer than 1 MiB", id="cut in a character"),
        (None, "cannot read topology .*: Is a directory"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, contents: bytes | None, said: str) -> None:
    file = tmp_path / "own.toml"
    if contents is None:
        file.mkdir()
    else:
        file.write_bytes(contents)
    with pytest.raises(UsageError, match=said):
        topology.load(str(file))


@given(st.text(max_size=200))
def test_any_text_is_a_topology_or_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        topology.parse(text, "fuzz")


def test_the_backbone_has_sixteen_cities_and_a_trusted_node_about_every_seventy_kilometres() -> None:
    backbone = topology.load("backbone-16")
    assert len(backbone.sites) == 16
    assert {"beijing", "shanghai", "guangzhou", "hefei"} <= set(backbone.sites)
    assert all(50 <= link.km <= 90 for link in backbone.links)


def test_the_metropolitan_network_has_the_published_counts() -> None:
    metro = topology.load("hefei-metro")
    assert len(metro.sites) == 159
    assert len(set(metro.nodes) - set(metro.sites)) == 8
    assert round(metro.km) == 1147


@pytest.mark.parametrize("name", topology.presets())
def test_every_link_of_a_preset_makes_key(name: str) -> None:
    assert min(link.quality().rate for link in topology.load(name).links) > 1000
