"""Deadlines: nothing is forgotten, nothing comes early."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from relay.turn.deadlines import Deadlines

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 9), st.floats(0, 50)),
        st.tuples(st.just("discard"), st.integers(0, 9), st.just(0.0)),
        st.tuples(st.just("due"), st.just(0), st.floats(0, 50)),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_does_what_a_plain_dictionary_would(steps):
    deadlines: Deadlines[int] = Deadlines()
    model: dict[int, int] = {}
    for verb, key, at in steps:
        if verb == "set":
            deadlines.set(key, at)
            model[key] = math.ceil(at)
        elif verb == "discard":
            deadlines.discard(key)
            model.pop(key, None)
        else:
            due = {key for key, second in model.items() if second <= at}
            assert set(deadlines.due(at)) == due
            model = {key: second for key, second in model.items() if key not in due}
        assert len(deadlines) == len(model)
        assert deadlines.next == (float(min(model.values())) if model else None)
