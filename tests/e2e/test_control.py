"""The control socket: who may open it, what it answers, and what stands in its way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat

import pytest

from qcall.wire.local import MAX_LINE
from relay.control import ControlServer, ask
from relay.errors import AddressInUse, LocalFault, Refused, StorageError, UsageError


@pytest.fixture
async def start(tmp_path):
    """Start control sockets; they are closed at the end."""
    started = []

    async def start(path=tmp_path / "control.sock", **commands):
        started.append(await ControlServer.start(path, commands))
        return path

    yield start
    for each in started:
        await each.close()


async def echo(arguments):
    return dict(arguments)


async def test_a_command_gets_its_arguments_and_its_answer_comes_back(start):
    path = await start(echo=echo)
    assert await ask(path, "echo", hop="a - b", times=[1, 2]) == {"hop": "a - b", "times": [1, 2]}


async def test_only_its_owner_may_open_it(start):
    path = await start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_refusals_keep_their_kind_and_text(start):
    async def wrong(_):
        raise UsageError("no such hop; see relay status")

    async def refuse(_):
        raise Refused("not while it drains", code="draining")

    path = await start(wrong=wrong, refuse=refuse)
    with pytest.raises(UsageError, match="no such hop"):
        await ask(path, "wrong")
    with pytest.raises(Refused, match="drains") as refused:
        await ask(path, "refuse")
    assert refused.value.code == "draining"


async def test_a_fault_of_the_relay_is_kept_in_its_log(start, caplog):
    async def fail(_):
        raise KeyError("inner secret")

    path = await start(fail=fail, echo=echo)
    with pytest.raises(Refused, match="inside the relay") as refused:
        await ask(path, "fail")
    assert "inner" not in str(refused.value)
    assert "inner secret" in caplog.text
    assert await ask(path, "echo") == {}


async def test_an_unknown_command_is_told_which_are_known(start):
    path = await start(echo=echo)
    with pytest.raises(UsageError, match="echo"):
        await ask(path, "explode")


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"{}\n", b'"x"\n', b'{"command":{}}\n', b"\xff\n", b"{\n"])
async def test_what_is_no_request_is_refused_and_the_connection_goes_on(start, line):
    path = await start(echo=echo)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line + b'{"command":"echo","a":1}\n')
    assert json.loads(await reader.readline())["ok"] is False
    assert json.loads(await reader.readline()) == {"ok": True, "data": {"a": 1}}
    writer.close()
    await writer.wait_closed()


async def test_an_endless_line_ends_the_connection(start):
    path = await start(echo=echo)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"x" * (MAX_LINE + 65_536))
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    assert await ask(path, "echo") == {}


async def test_nobody_there_is_said_so(tmp_path):
    with pytest.raises(LocalFault, match="no relay runs"):
        await ask(tmp_path / "control.sock", "status")


async def test_a_relay_that_starts_or_ends_says_so(start):
    path = await start()
    with pytest.raises(Refused, match="starting or ending") as refused:
        await ask(path, "status")
    assert refused.value.code == "starting"


async def test_a_home_has_one_relay(start):
    await start()
    with pytest.raises(AddressInUse, match="already"):
        await start()


async def test_what_a_dead_relay_left_is_replaced(start, tmp_path):
    path = tmp_path / "control.sock"
    process = await asyncio.create_subprocess_exec(
        "python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).bind({str(path)!r})"
    )
    await process.wait()
    assert path.exists()
    await start(echo=echo)
    assert await ask(path, "echo") == {}


async def test_a_long_home_works_as_well(start, tmp_path):
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    path = await start(directory / "control.sock", echo=echo)
    assert await ask(path, "echo", a=1) == {"a": 1}


async def test_a_home_that_cannot_hold_it_is_said_so(start, tmp_path):
    with pytest.raises(StorageError, match="control socket"):
        await start(tmp_path / "missing" / "control.sock")


async def test_closing_hangs_up_and_removes_the_file(tmp_path):
    path = tmp_path / "control.sock"
    control = await ControlServer.start(path, {"echo": echo})
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"command":"echo"}\n')
    await reader.readline()
    await control.close()
    assert await reader.read() == b""
    assert not path.exists()
    writer.close()
