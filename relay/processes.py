"""Trusted nodes as processes of their own: one of them, and all of a topology as the children of a relay.

Each node has a control socket beside its files, so that faults and status reach it. A child ends with its
relay, however that ends: it notices when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from relay.config import RelayHome
from relay.control import Arguments, Command, ControlServer, ask
from relay.errors import AddressInUse, LocalFault, RelayError, StorageError, UsageError, failure
from relay.kme.audit import AuditLog
from relay.network.faults import FaultRequest, understood, void
from relay.network.http import TrustedNode
from relay.network.memory import MemoryFile
from relay.network.node import Observer
from relay.network.topology import Link, Topology, kme_id
from relay.pki import Authority, trust_of_node
from relay.storage import why
from relay.trust import reached_at

START_LIMIT = 120.0
"""Seconds for all nodes to start: a metropolitan network has 167."""
STARTING_AT_ONCE = 8
END_LIMIT = 5.0


AUDIT_FILE = "audit.log"


def control_path(home: RelayHome, node: str) -> Path:
    """The control socket of a node."""
    return home.key_nodes / kme_id(node) / "control.sock"


class RunningNode:
    """One trusted node in this process, with its control socket."""

    def __init__(self, name: str, topology: Topology, node: TrustedNode) -> None:
        self._name = name
        self._topology = topology
        self._node = node
        self._stack: contextlib.AsyncExitStack

    @classmethod
    async def start(
        cls, home: RelayHome, name: str, topology: Topology, listen: tuple[str, int], kme: tuple[str, int]
    ) -> RunningNode:
        """Start the node ``name``. Raises UsageError, AddressInUse and StorageError."""
        topology.known(name)
        home.create()
        kme_name = kme_id(name)
        hosts = reached_at(listen[0], kme[0])
        async with contextlib.AsyncExitStack() as stack:
            # Before any file of the node is touched: it also says whether the node runs already.
            commands: dict[str, Command] = {}
            stack.push_async_callback((await _control(home, name, commands)).close)
            if name in topology.sites:
                stack.callback(AuditLog(home.key_nodes / kme_name / AUDIT_FILE).close)
            node = await TrustedNode.start(
                name,
                topology,
                authority=trust_of_node(home.authority, home.key_nodes / kme_name, kme_name, hosts),
                directory=home.key_nodes,
                node_key=home.secret(kme_name),
                host=listen[0],
                port=listen[1],
                kme_host=kme[0],
                kme_port=kme[1],
                entropy=secrets.token_bytes,
            )
            stack.push_async_callback(node.close)
            running = cls(name, topology, node)
            commands |= {"fault": running._fault, "status": running._status}
            stack.callback(commands.clear)
            running._stack = stack.pop_all()
        return running

    def ready(self) -> dict[str, Any]:
        """Where it listens, for ``--json``; ``url`` is for SAEs and absent where no phones attach."""
        found = {"event": "ready", "node": self._name, "nodes": self._node.url, "simulated": True}
        return found if self._node.kme is None else {**found, "kme": {self._name: self._node.kme.url}}

    async def close(self) -> None:
        """Stop serving."""
        await self._stack.aclose()

    async def _fault(self, arguments: Arguments) -> None:
        request = understood(arguments, self._topology)
        self._node.process.disturb(request)
        if self._node.store is not None:
            void(request, self._topology, self._node.store)

    async def _status(self, _: Arguments) -> dict[str, Any]:
        process = self._node.process
        return {
            "links": process.report(),
            "captured": None if process.captured is None else len(process.captured),
            "relayed": process.relayed,
        }


async def _control(home: RelayHome, node: str, commands: Mapping[str, Command]) -> ControlServer:
    """The control socket of a node; there is one node of a name in a home."""
    path = control_path(home, node)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return await ControlServer.start(path, commands)
    except OSError as error:
        raise StorageError(f"cannot make {path.parent}: {why(error, path.parent)}") from None
    except AddressInUse:
        text = f"node {node} runs with the home {home.directory} already; stop that one first"
        raise AddressInUse(text) from None


class KeyProcesses:
    """All nodes of a topology, each a child process; the key nodes of its access sites are among them."""

    def __init__(self, home: RelayHome, topology: Topology) -> None:
        self._home = home
        self._topology = topology
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._urls: dict[str, str] = {}

    @classmethod
    async def start(
        cls, home: RelayHome, topology: Topology, source: str, host: str, ports: Mapping[str, int]
    ) -> KeyProcesses:
        """Start every node of ``topology``, which ``source`` names; nothing is left running when it fails."""
        made = cls(home, topology)
        authority = Authority.open_or_create(home.authority)
        for node in topology.nodes:
            directory = home.key_nodes / kme_id(node)
            # Certificates for all: no node needs to see the authority's private key.
            authority.kme_files(directory, kme_id(node), reached_at(host))
            # The network starts with its relay; a node that restarts in it remembers.
            MemoryFile(directory).forget()
        gate = asyncio.Semaphore(STARTING_AT_ONCE)
        try:
            async with asyncio.timeout(START_LIMIT), asyncio.TaskGroup() as group:
                for node in topology.nodes:
                    group.create_task(made._start(gate, node, source, host, ports.get(node, 0)))
        except TimeoutError:
            await made.close()
            raise LocalFault(f"not all nodes were up within {START_LIMIT:g} s") from None
        except BaseExceptionGroup as failures:
            await made.close()
            raise failures.exceptions[0] from None
        except BaseException:
            await made.close()
            raise
        return made

    def url(self, site: str) -> str:
        """Where the key node of a site listens."""
        return self._urls[site]

    def observe(self, on_key: Observer, on_request: Callable[[str, str, str, bytes], None]) -> None:
        """Nobody sees into other processes: raises :class:`UsageError`."""
        raise UsageError("--record needs the nodes in this process; leave --processes out")

    async def disturb(self, request: FaultRequest) -> None:
        """Tell every node that it concerns; one that is down needs no telling."""
        arguments = {"action": request.action, "names": list(request.names), "share": request.share}
        # Stock of any site may have crossed the link.
        concerned = {*request.names, *self._topology.sites} if request.names else set(self._topology.nodes)
        await asyncio.gather(*(self._ask(node, "fault", **arguments) for node in sorted(concerned)))

    async def report(self) -> dict[str, Any]:
        """The network as ``relay status`` shows it, put together from what every node says."""
        nodes = self._topology.nodes
        answers = await asyncio.gather(*(self._ask(node, "status") for node in nodes))
        told = dict(zip(nodes, answers, strict=True))
        links = []
        for link in self._topology.links:
            rows = (told[link.a] or {}).get("links", ()), (told[link.b] or {}).get("links", ())
            ours = [row for each in rows for row in each if (row["a"], row["b"]) == (link.a, link.b)]
            links.append(ours[0] if len(ours) == 2 else _down(link))
        captured = {node: each["captured"] for node, each in told.items() if each}
        return {
            "simulated": True,
            "topology": self._topology.name,
            "keys_relayed": sum(each["relayed"] for each in told.values() if each),
            "compromised": {node: count for node, count in captured.items() if count is not None},
            "down": [node for node, each in told.items() if each is None],
            "links": links,
        }

    async def close(self) -> None:
        """End every node."""
        children, self._children = list(self._children.values()), {}
        for child in children:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.terminate()
        for child in children:
            try:
                async with asyncio.timeout(END_LIMIT):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()

    async def _start(self, gate: asyncio.Semaphore, node: str, source: str, host: str, port: int) -> None:
        addresses = ("--listen", f"{host}:0", "--kme", f"{host}:{port}", "--json", "--attached")
        command = (
            "--home",
            str(self._home.directory),
            "kme",
            "--node",
            node,
            "--topology",
            source,
            *addresses,
        )
        async with gate:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "relay.cli", *command,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            self._children[node] = child
            assert child.stdout is not None
            try:
                ready = json.loads(await child.stdout.readline())
            except ValueError:
                text = f"node {node} did not start; run relay kme --node {node} to see why"
                raise LocalFault(text) from None
            if (failed := failure(ready)) is not None:
                raise failed
        self._urls |= ready.get("kme", {})

    async def _ask(self, node: str, command: str, **arguments: Any) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] | None = await ask(control_path(self._home, node), command, **arguments)
        except UsageError:
            raise
        except RelayError:
            return None
        return answer


def _down(link: Link) -> dict[str, Any]:
    """A link of which a node does not answer: what is in its pool, nobody can say."""
    unknown = dict.fromkeys(("pool", "capacity", "spent", "lost"))
    at = link.quality()
    known = {"a": link.a, "b": link.b, "km": link.km, "loss_db": round(at.loss, 2), "rate": 0.0, "qber": None}
    return {**known, "condition": "down", "eve": None, **unknown}
