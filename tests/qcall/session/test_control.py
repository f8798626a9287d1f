"""The phone's control socket: who may open it, what it answers, and how it tells what happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat

import pytest

from qcall.errors import LocalFault, UsageError
from qcall.session import commands
from qcall.session.control import BACKLOG, PHONE, ControlServer, ask, events
from qcall.session.event import Event
from qcall.wire.local import MAX_LINE, bind


class Recorder:
    """A desk that remembers what it was told, and refuses what it is told to refuse."""

    def __init__(self):
        self.told = []
        self.followers = []
        self.followed = asyncio.Event()
        self.refusal = None

    async def run(self, command):
        if self.refusal is not None:
            raise self.refusal
        self.told.append(command)
        return {"told": type(command).__name__}

    @contextlib.contextmanager
    def follow(self, follower):
        self.followers.append(follower)
        self.followed.set()
        try:
            yield
        finally:
            self.followers.remove(follower)
            self.followed.set()


@pytest.fixture
async def desk():
    return Recorder()


@pytest.fixture
async def path(desk, tmp_path):
    path = tmp_path / "control.sock"
    server = await ControlServer.start(path, desk)
    yield path
    await server.close()


async def test_only_its_owner_may_open_it(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_command_is_carried_out_and_answered(path, desk):
    assert await ask(path, {"command": "dial", "contact": "bob"}) == {"told": "Dial"}
    assert desk.told == [commands.Dial("bob")]


async def test_every_command_can_be_told_by_its_name(path, desk):
    given = {
        "contact": "bob",
        "digits": "1",
        "text": "hi",
        "same": True,
        "name": "bob",
        "file": "x.vcf",
        "qkd": "require",
        "kind": "speaker",
    }
    for name, kind in commands.BY_NAME.items():
        needed = {field: given[field] for field in kind.__struct_fields__ if field in given}
        needed |= {"state": "on"} if kind is commands.Presence else {}
        if kind is not commands.Subscribe:
            assert await ask(path, {"command": name, **needed}) == {"told": kind.__name__}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\n", "hangup"),
        (b"[]\n", "hangup"),
        (b"{}\n", "hangup"),
        (b"\xff\n", "hangup"),
        (b'{"command":"explode"}\n', "hangup"),
        (b'{"command":"mute","state":"maybe"}\n', "state: maybe is none of on, off, toggle"),
        (b'{"command":"dtmf","digits":"12x"}\n', "digits: '12x' is not 1 to 32 of 0-9, *, #, A-D"),
        (b'{"command":"text","text":""}\n', "text: '' is not 1 to 500 characters"),
        (b'{"command":"history","limit":0}\n', "limit: Expected `int` >= 1"),
        (b'{"command":"import","file":"a\\u0000"}\n', "is not the path of a file"),
        (b'{"command":"dial"}\n', "missing required field `contact`"),
        (b'{"command":"answer","how":1}\n', "how: unknown"),
    ],
)
async def test_what_is_no_command_is_refused_and_the_connection_goes_on(path, desk, line, said):
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line + b'{"command":"answer"}\n')
    refused = json.loads(await reader.readline())
    assert (refused["ok"], refused["error"]["code"]) == (False, "usage")
    assert said in refused["error"]["text"]
    assert ("accept-new-key" in refused["error"]["text"]) is (said == "hangup")
    assert json.loads(await reader.readline())["ok"]
    assert desk.told == [commands.Answer()]
    writer.close()


async def test_a_refusal_keeps_its_kind(path, desk):
    desk.refusal = UsageError("there is no call")
    with pytest.raises(UsageError, match="there is no call"):
        await ask(path, {"command": "mute"})
    desk.refusal = LocalFault("the phone is still starting", code="starting")
    with pytest.raises(LocalFault, match="still starting") as refused:
        await ask(path, {"command": "mute"})
    assert refused.value.code == "starting"


async def test_a_fault_of_ours_is_logged_and_not_told(path, desk, caplog):
    desk.refusal = KeyError("inner secret")
    with pytest.raises(LocalFault) as refused:
        await ask(path, {"command": "mute"})
    assert "inner" not in str(refused.value)
    assert "inner secret" in caplog.text


async def test_a_follower_is_told_every_event_until_it_leaves(path, desk):
    following = events(path)
    first = asyncio.create_task(anext(following))
    await desk.followed.wait()
    desk.followers[0](Event("ringing", 1.0, {"contact": "bob"}))
    assert await first == {"event": "ringing", "at": 1.0, "contact": "bob"}
    desk.followed.clear()
    await following.aclose()
    await desk.followed.wait()
    assert desk.followers == []


async def test_a_follower_that_does_not_read_is_let_go(path, desk):
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"command":"subscribe"}\n')
    await reader.readline()
    desk.followed.clear()
    for _ in range(BACKLOG + 2):
        if desk.followers:
            desk.followers[0](Event("text", 1.0, {"text": "x" * 4096}))
    await desk.followed.wait()
    assert desk.followers == []
    writer.close()


async def test_a_line_without_end_ends_the_connection(path):
    reader, writer = await asyncio.open_unix_connection(path)
    with contextlib.suppress(ConnectionError):
        writer.write(b"x" * (MAX_LINE + 2))
        await writer.drain()
        assert await reader.read() == b""
    writer.close()


async def test_a_live_phone_keeps_its_socket_and_a_dead_one_loses_it(path, desk, tmp_path):
    with pytest.raises(UsageError, match="already"):
        await ControlServer.start(path, desk)
    left = tmp_path / "left.sock"
    bind(left, PHONE).close()  # as a phone that was killed leaves it
    server = await ControlServer.start(left, desk)
    assert await ask(left, {"command": "status"}) == {"told": "Status"}
    await server.close()
    assert not left.exists()


async def test_no_phone_is_said_in_one_line(tmp_path):
    with pytest.raises(LocalFault, match="no phone runs"):
        await ask(tmp_path / "control.sock", {"command": "status"})
