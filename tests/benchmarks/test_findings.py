"""What a benchmark says of itself: held, broken, or spoiled and neither."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from scripts.benchmarks.findings import Findings, Promise

GOOD = Promise("delay, ms", 40, 50)
BAD = Promise("delay, ms", 60, 50)
SPOILED = ("loss 5 %: heard before the path allows",)


@pytest.mark.parametrize(
    ("promise", "spoiled", "code", "held"),
    [(GOOD, (), 0, True), (BAD, (), 1, False), (GOOD, SPOILED, 3, None), (BAD, SPOILED, 3, None)],
)
def test_a_spoiled_run_holds_and_breaks_nothing(
    promise: Promise, spoiled: tuple[str, ...], code: int, held: bool | None
) -> None:
    findings = Findings("Delay", [{"ms": 40}], [promise], spoiled=spoiled)
    assert findings.exit_code == code
    told = findings.as_json()
    assert [each["held"] for each in told["promises"]] == [held]
    assert told["spoiled"] == list(spoiled)
    page = io.StringIO()
    findings.show(Console(file=page, width=120))
    assert ("spoiled: " + SPOILED[0] in page.getvalue()) is bool(spoiled)
    assert ("NOT HELD" in page.getvalue()) is (code == 1)
