"""What a TURN server's refusal means for a call."""

from __future__ import annotations

import pytest

from qcall.media.gathering import refusal


@pytest.mark.parametrize("code", [486, 508])
def test_a_full_relay_is_called_full(code: int) -> None:
    error = refusal("the relay's media server at here:1", code)
    assert (error.code, str(error)) == ("busy-relay", "the relay takes no more calls now; try again later")


@pytest.mark.parametrize(("code", "told"), [(401, "error 401"), (None, "gives no code")])
def test_any_other_refusal_is_told_by_its_number(code: int | None, told: str) -> None:
    error = refusal("the relay's media server at here:1", code)
    assert (
        str(error) == f"the relay's media server at here:1 refuses this phone ({told}); start the phone again"
    )
