"""Release in order, and not before the time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.path.wheel import Wheel


@given(st.lists(st.floats(0, 100)), st.floats(0, 100))
def test_due_items_come_out_in_order_and_the_rest_waits(times: list[float], now: float) -> None:
    wheel: Wheel[tuple[float, int]] = Wheel()
    for index, at in enumerate(times):
        wheel.schedule(at, (at, index))
    assert wheel.due(now) == sorted((at, index) for index, at in enumerate(times) if at <= now)
    later = [at for at in times if at > now]
    assert len(wheel) == len(later)
    assert wheel.deadline == min(later, default=None)


def test_items_need_no_order_of_their_own() -> None:
    wheel: Wheel[dict[str, int]] = Wheel()
    wheel.schedule(1.0, {"a": 1})
    wheel.schedule(1.0, {"b": 2})
    assert wheel.due(1.0) == [{"a": 1}, {"b": 2}]
