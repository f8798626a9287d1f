"""The shape of the source tree, held as tests: purity, size, names, and paths that the README names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(p for top in ("qcall", "relay") for p in (ROOT / top).rglob("*.py"))

# Everything not listed here is pure: no clock, no randomness, no sockets, no asyncio.
SHELLS = {
    "qcall/config.py",
    "qcall/headless.py",
    "qcall/keyboard.py",
    "qcall/wire/program.py",
    "qcall/media/channel.py",
    "qcall/media/peer.py",
    "qcall/media/mouthpiece.py",
    "qcall/media/earpiece.py",
    "qcall/media/wav.py",
    "qcall/media/devices.py",
    "qcall/media/gathering.py",
    "qcall/media/portaudio.py",
    "qcall/media/soundcard.py",
    "qcall/wire/local.py",
    "qcall/wire/vouched.py",
    "qcall/net/authority.py",
    "qcall/net/signalling.py",
    "qcall/net/lane.py",
    "qcall/net/kme.py",
    "relay/config.py",
    "relay/control.py",
    "relay/health.py",
    "relay/laboratory.py",
    "relay/processes.py",
    "relay/options.py",
    "relay/serve.py",
    "relay/pki.py",
    "relay/trust.py",
    "relay/standalone.py",
    "relay/storage.py",
    "relay/wiretap.py",
    "relay/workers.py",
    "relay/turn/fastpath.py",
    "relay/turn/mmsg.py",
    "relay/turn/overflow.py",
    "relay/turn/sockets.py",
    "relay/turn/streams.py",
    "relay/turn/tcp.py",
    "relay/turn/timerfd.py",
    "relay/turn/tls.py",
    "relay/turn/udp.py",
    "relay/signalling/accounts.py",
    "relay/signalling/websocket.py",
    "relay/kme/commit.py",
    "relay/kme/keystore.py",
    "relay/kme/http.py",
    "relay/network/http.py",
}
SHELL_PACKAGES = ("qcall/cli/", "qcall/records/", "qcall/session/", "qcall/tui/", "relay/cli/")
IMPURE = {
    "asyncio", "socket", "time", "random", "secrets", "threading", "subprocess", "ssl", "sqlite3",
    "aiohttp", "select", "selectors", "multiprocessing", "tempfile", "uvloop",
}  # fmt: skip
IMPURE_CALLS = {("os", "urandom"), ("datetime", "now"), ("uuid", "uuid4"), ("uuid", "uuid1")}
NAMELESS = re.compile(r"/(utils?|helpers?|common|misc|manager)\.py$")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_shell(name: str) -> bool:
    return name in SHELLS or name.startswith(SHELL_PACKAGES)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_are_named_after_something(path: Path) -> None:
    assert not NAMELESS.search("/" + relative(path))


@pytest.mark.parametrize("path", [p for p in MODULES if not is_shell(relative(p))], ids=relative)
def test_cores_are_pure(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = {(node.module or "").split(".")[0]}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in IMPURE_CALLS, f"line {node.lineno}"
            continue
        else:
            continue
        assert not names & IMPURE, f"line {node.lineno}: a core may not import {names & IMPURE}"


def test_shells_that_are_listed_exist() -> None:
    assert [name for name in sorted(SHELLS) if not (ROOT / name).exists()] == []


def test_paths_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"`((?:qcall|relay|tests|scripts)/[\w./-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
