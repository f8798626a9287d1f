"""What takes long in an agreement is done beside the loop that sound and messages need."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from qcall.agreement import effects as agree
from qcall.agreement.kem_work import Worked
from qcall.crypto.secret import Secret
from qcall.errors import AgreementFailed
from qcall.session.keying import Keying
from qcall.session.work import Work

PATIENCE = 5.0


class Agreement:
    """An agreement that wants one thing and notes what it is given."""

    deadline = None
    state = None

    def __init__(self) -> None:
        self.given: asyncio.Queue[Any] = asyncio.Queue()

    def want(self, job: Callable[[], Worked]) -> agree.Effects:
        return (agree.Compute(job),)

    def computed(self, worked: Worked, now: float) -> agree.Effects:
        self.given.put_nowait(worked)
        return ()

    def abort(self, failure: AgreementFailed) -> agree.Effects:
        self.given.put_nowait(failure)
        return ()


async def given_for(job: Callable[[], Worked]) -> Any:
    """What the agreement is given for ``job``."""
    faults: list[Exception] = []
    agreement, work = Agreement(), Work(faults.append)
    keying = Keying(agreement, None, SimpleNamespace(), work, None, None)  # type: ignore[arg-type]
    try:
        keying._run(agreement.want(job))
        return await asyncio.wait_for(agreement.given.get(), 2 * PATIENCE)
    finally:
        await work.stop()
        assert faults == []


async def test_the_loop_turns_while_a_kem_is_at_work() -> None:
    turned, worked = threading.Event(), Worked()

    def job() -> Worked:
        assert turned.wait(PATIENCE)
        return worked

    asyncio.get_running_loop().call_later(0.01, turned.set)
    assert await given_for(job) is worked


async def test_a_kem_that_refuses_ends_the_call() -> None:
    refusal = AgreementFailed("a ciphertext of HQC-5 is not one for this key", code="kem-ciphertext")

    def job() -> Worked:
        raise refusal

    assert await given_for(job) is refusal


async def test_what_comes_of_work_after_the_call_is_wiped() -> None:
    begun, ended, shared = threading.Event(), threading.Event(), Secret(bytes(32))

    def job() -> Worked:
        begun.set()
        assert ended.wait(PATIENCE)
        return Worked(shared=[shared])

    agreement, work = Agreement(), Work(lambda _: None)
    keying = Keying(agreement, None, SimpleNamespace(), work, None, None)  # type: ignore[arg-type]
    keying._run(agreement.want(job))
    await asyncio.to_thread(begun.wait, PATIENCE)
    await work.stop()
    ended.set()
    async with asyncio.timeout(PATIENCE):
        while not shared.wiped:
            await asyncio.sleep(0)
    assert agreement.given.empty()
