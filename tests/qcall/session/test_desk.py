"""The desk of a phone: what it knows when the phone is attached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qcall.config import Account, Home
from qcall.records.store import CallRecord, Records
from qcall.session.desk import Desk


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Any]:
    """What the desk looks at when a phone is attached."""
    records = Records(tmp_path / "records.db")
    account = Account(name="alice", relay="ws://127.0.0.1:1", site="beijing", sae_id="a", kme_id="kme-b")
    yield SimpleNamespace(account=account, records=records, conversations={})
    records.close()


async def test_a_phone_that_starts_redials_whom_it_called_last(phone: Any, tmp_path: Path) -> None:
    for began, (contact, outgoing) in enumerate((("bob", True), ("carol", True), ("dave", False))):
        phone.records.add_call(CallRecord(b"", contact, outgoing, float(began), 9.0, "hangup", {}))
    desk = Desk(Home(tmp_path))
    desk.attach(phone)
    assert desk.snapshot.last_dialled == "carol"


async def test_a_phone_that_called_nobody_has_nobody_to_redial(phone: Any, tmp_path: Path) -> None:
    desk = Desk(Home(tmp_path))
    desk.attach(phone)
    assert desk.snapshot.last_dialled == ""
