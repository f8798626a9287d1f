"""Programs on a stage: they end with it, however it ends, and are the same from a loaded interpreter."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demonstration.stage import Begin, Stage, execute
from tests.e2e.preloaded import interpreter

ROOT = Path(__file__).parent.parent.parent
PARENT = """
import asyncio, contextlib, pathlib, sys
from scripts.demonstration.stage import execute, stage
from tests.e2e.preloaded import interpreter

async def main(begin):
    async with stage(pathlib.Path(sys.argv[1]), begin) as theatre:
        relay = await theatre.serve()
        print(relay.process.pid, flush=True)
        await asyncio.Event().wait()

with interpreter() if sys.argv[2] == "forked" else contextlib.nullcontext(execute) as begin:
    asyncio.run(main(begin))
"""
LINUX = pytest.mark.skipif(
    not hasattr(os, "pidfd_open") or shutil.which("setpriv") is None,
    reason="needs Linux with setpriv: apt-get install util-linux",
)


@LINUX
@pytest.mark.parametrize("how", ["in full", "forked"])
async def test_programs_end_when_whoever_started_them_is_killed(tmp_path: Path, how: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, tmp_path, how, cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    relay = os.pidfd_open(int(await parent.stdout.readline()))
    control = tmp_path / "relay" / "control.sock"
    assert control.exists()
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(relay, over.set)
    assert not over.is_set()
    parent.kill()
    await parent.communicate()
    try:
        async with asyncio.timeout(10):
            await over.wait()
    finally:
        if not over.is_set():
            signal.pidfd_send_signal(relay, signal.SIGKILL)
        asyncio.get_running_loop().remove_reader(relay)
        os.close(relay)
    assert not control.exists(), "it ended as after Ctrl-C"


@LINUX
@pytest.mark.parametrize("how", ["in full", "forked"])
async def test_what_programs_are_given_and_give_is_the_same_either_way(tmp_path: Path, how: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys\n"
        "at_start = signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "print(__name__, sys.argv[1:], os.environ.get('WORD'), sys.stdin.read(), at_start)\n"
        "print(len(os.listdir('/proc/self/fd')), sys.stdout.encoding, sys.stdout.line_buffering)\n"
        "print('aside', file=sys.stderr)\n"
        "sys.exit(7)\n"
    )

    async def run(begin: Begin) -> tuple[int, bytes, bytes]:
        reading, writing = os.pipe()
        os.write(writing, b"typed")
        os.close(writing)
        process = await begin([sys.executable, str(script), "a", "b c"], {"WORD": "said"}, reading)
        os.close(reading)
        assert process.stdout is not None
        assert process.stderr is not None
        said = await process.stdout.read(), await process.stderr.read()
        return await process.wait(), *said

    expected = (7, b"__main__ ['a', 'b c'] said typed True\n", b"aside\n")
    if how == "in full":
        code, said, aside = await run(execute)
    else:
        with interpreter() as begin:
            code, said, aside = await run(begin)
    first, _, second = said.partition(b"\n")
    assert (code, first + b"\n", aside) == expected
    assert second == b"4 utf-8 False\n"


@LINUX
async def test_a_forked_program_ends_by_signals_as_others_do(theatre: Stage) -> None:
    theatre.relay_home.mkdir()
    relay = await theatre.serve()
    relay.process.kill()
    assert await relay.ended() == -signal.SIGKILL
    relay = await theatre.serve()
    relay.interrupt()
    assert await relay.ended() == 0
