"""Answers that an unauthenticated source may draw."""

from __future__ import annotations

import sys

from relay.turn.throttle import Throttle

KEY = bytes(32)


def admitted(throttle: Throttle, host: str, now: float, tries: int) -> int:
    return sum(throttle.admits(host, now) for _ in range(tries))


def test_a_source_gets_its_rate_and_no_more():
    throttle = Throttle(KEY, 10.0)
    assert admitted(throttle, "198.51.100.7", 1_000.0, 50) == 10
    assert admitted(throttle, "198.51.100.7", 1_000.5, 50) == 5


def test_a_quiet_hour_saves_up_one_second():
    throttle = Throttle(KEY, 10.0)
    admitted(throttle, "198.51.100.7", 1_000.0, 50)
    assert admitted(throttle, "198.51.100.7", 4_600.0, 50) == 10


def test_sources_do_not_pay_for_each_other():
    throttle = Throttle(KEY, 10.0)
    admitted(throttle, "198.51.100.7", 1_000.0, 50)
    assert admitted(throttle, "198.51.100.8", 1_000.0, 50) == 10


def test_an_ipv6_site_is_one_source():
    throttle = Throttle(KEY, 10.0)
    drawn = sum(admitted(throttle, f"2001:db8:0:1::{i:x}", 1_000.0, 1) for i in range(50))
    assert drawn == 10


def test_the_table_does_not_grow_with_sources():
    throttle = Throttle(KEY, 10.0)
    throttle.admits("198.51.100.7", 0.0)
    sizes = [sys.getsizeof(value) for value in vars(throttle).values()]
    for i in range(20_000):
        throttle.admits(f"10.{i >> 8}.{i & 255}.1", 1.0)
    assert [sys.getsizeof(value) for value in vars(throttle).values()] == sizes
