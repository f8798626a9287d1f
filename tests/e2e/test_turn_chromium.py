"""A WebRTC call between two pages of headless Chromium, over nothing but our relay."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.turn.credentials import StaticUsers
from relay.turn.udp import TurnServer

LIMIT = 60.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0",
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed; on Debian: apt-get install chromium"
)

PREPARE = """
globalThis.peer = new RTCPeerConnection({
  iceTransportPolicy: "relay",
  iceServers: [{urls: "turn:%s:%d?transport=%s", username: "alice", credential: "wonderland"}],
});
globalThis.heard = [];
globalThis.listen = channel => {
  globalThis.channel = channel;
  channel.onmessage = event => {
    heard.push(event.data);
    if (!event.data.endsWith("!")) channel.send(event.data + "!");
  };
};
peer.ontrack = event => {
  globalThis.player = new Audio();
  player.srcObject = event.streams[0];
  player.play();
};
peer.ondatachannel = event => listen(event.channel);
const context = new AudioContext(), tone = context.createOscillator();
const sound = context.createMediaStreamDestination();
tone.connect(sound);
tone.start();
sound.stream.getTracks().forEach(track => peer.addTrack(track, sound.stream));
globalThis.gathered = () => new Promise(resolve => {
  const check = () => peer.iceGatheringState === "complete" && resolve(peer.localDescription.toJSON());
  peer.onicegatheringstatechange = check;
  check();
});
globalThis.until = (what, limit) => new Promise((resolve, reject) => {
  const timer = setInterval(async () => {
    const found = await what();
    if (found) { clearInterval(timer); resolve(found); }
  }, 50);
  setTimeout(() => { clearInterval(timer); reject(new Error(peer.connectionState)); }, limit);
});
globalThis.stats = async type => [...(await peer.getStats()).values()].filter(each => each.type === type);
true
"""


class Page:
    """A tab, driven over the DevTools protocol."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    async def run(self, script: str) -> Any:
        """The value of ``script``, awaited where it is a promise."""
        answer = await self._browser.call(
            "Runtime.evaluate",
            session=self._session,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")


class Browser:
    """A running Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer to one DevTools command; events in between are of no interest."""
        number = next(self._ids)
        command: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            command["sessionId"] = session
        await self._socket.send_json(command)
        async with asyncio.timeout(LIMIT):
            while (answer := await self._socket.receive_json()).get("id") != number:
                pass
        assert "error" not in answer, answer
        return answer["result"]

    async def page(self) -> Page:
        """A new empty tab."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        return Page(self, attached["sessionId"])


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """Chromium with an empty profile, ended at the end."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port, path = await where(tmp_path / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            url = f"ws://127.0.0.1:{port}{path}"
            async with session.ws_connect(url, max_msg_size=0) as socket:
                browser = Browser(socket)
                yield browser
                with contextlib.suppress(Exception):  # it hangs up instead of answering
                    await browser.call("Browser.close")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                async with asyncio.timeout(10):
                    await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def where(file: Path, process: asyncio.subprocess.Process) -> tuple[str, str]:
    """Port and path of the DevTools, which Chromium writes down when it is ready."""
    async with asyncio.timeout(LIMIT):
        while process.returncode is None:
            with contextlib.suppress(OSError, ValueError):
                port, path = file.read_text().split()
                return port, path
            await asyncio.sleep(0.05)
    pytest.skip(f"Chromium does not start here (exit code {process.returncode})")


@pytest.fixture
async def server() -> AsyncIterator[TurnServer]:
    """Our TURN server, with nothing allowed that is not by default."""
    made = await TurnServer.start(
        "127.0.0.1", 0, realm="relay", credentials=StaticUsers({"alice": "wonderland"})
    )
    yield made
    await made.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_pages_call_each_other_through_the_relay(browser, server, transport):
    caller, callee = [await browser.page() for _ in range(2)]
    for page in (caller, callee):
        await page.run(PREPARE % (*server.address, transport))
    await caller.run('listen(peer.createDataChannel("chat"))')
    await caller.run("peer.createOffer().then(offer => peer.setLocalDescription(offer))")
    offer = await caller.run("gathered()")
    await callee.run(f"peer.setRemoteDescription({json.dumps(offer)})")
    await callee.run("peer.createAnswer().then(answer => peer.setLocalDescription(answer))")
    answer = await callee.run("gathered()")
    await caller.run(f"peer.setRemoteDescription({json.dumps(answer)})")

    for page in (caller, callee):
        await page.run('until(() => peer.connectionState === "connected", 20000)')
        await page.run('until(() => globalThis.channel?.readyState === "open", 20000)')
    await caller.run("for (let n = 0; n < 100; n++) channel.send(String(n))")
    assert await caller.run("until(() => heard.length === 100 && heard, 20000)") == [
        f"{n}!" for n in range(100)
    ]
    for page in (caller, callee):
        audio = await page.run(
            'until(async () => (await stats("inbound-rtp")).find('
            "each => each.packetsReceived > 50 && each.totalAudioEnergy > 0.01), 20000)"
        )
        assert audio["kind"] == "audio"
        pairs = await page.run('stats("candidate-pair")')
        used = next(pair for pair in pairs if pair.get("nominated"))
        candidates = {
            each["id"]: each
            for kind in ("local-candidate", "remote-candidate")
            for each in await page.run(f'stats("{kind}")')
        }
        assert candidates[used["localCandidateId"]]["candidateType"] == "relay"
        assert candidates[used["remoteCandidateId"]]["candidateType"] == "relay"
    counters = server.counters
    assert bool(server.shortcuts) is (transport == "udp"), "media of browsers takes the fast path"
    assert counters.hairpinned > 200
    assert counters.peer_packets_out == 0
    assert counters.by_transport[transport] >= 2
    for page in (caller, callee):
        await page.run("peer.close()")
