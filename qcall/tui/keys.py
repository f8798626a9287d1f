"""Every key of the main application, by an ID that ``[keys]`` in ``config.toml`` can give another key.

[keys]
dial = "ctrl+d"
hangup = "b,f10"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding

from qcall.errors import ConfigError
from qcall.session.snapshot import Phase, Snapshot


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what it does. ``when`` says in which states the footer shows it."""

    id: str
    key: str
    action: str
    label: str
    help: str
    when: str = "always"
    """always, again, ringing, call, talking, two"""
    shown: str = ""
    """How the footer writes the key; empty: as it is."""


KEYS = (
    Key("answer", "a", "answer", "Answer", "answer the call that rings", "ringing"),
    Key("refuse", "x", "refuse", "Refuse", "refuse the call that rings, with a text if you like", "ringing"),
    Key("hangup", "b", "hangup", "Hang up", "hang up, or cancel what is being dialled", "call"),
    Key("dial", "d", "dial", "Dial", "call somebody by name"),
    Key("mute", "m", "mute", "Mute", "turn the microphone off, or on again", "call"),
    Key("hold", "h", "hold", "Hold", "put the call on hold, or take it back", "talking"),
    Key("swap", "w", "swap", "Swap", "talk to the other call, this one on hold", "two"),
    Key("verify", "v", "verify", "Verify", "compare the four words with the other phone", "call"),
    Key("text", "t", "text", "Text", "send a line of text into the call", "call"),
    Key(
        "record",
        "R",
        "record",
        "Record",
        "record the call; the far phone is told",
        "talking",
    ),
    Key("redial", "r", "redial", "Redial", "call again whom you called last", "again"),
    Key("contacts", "f", "page('contacts')", "Contacts", "the address book"),
    Key("history", "c", "page('history')", "Calls", "the history of calls"),
    Key("log", "l", "page('trace')", "Log", "log, and the handshake message by message"),
    Key("settings", "s", "page('settings')", "Settings", "sound, policy, theme, keys"),
    Key(
        "command",
        "colon",
        "page('commandline')",
        "Command",
        "a command by its name, with completion",
        shown=":",
    ),
    Key("palette", "ctrl+p", "command_palette", "Palette", "search every command", shown="^p"),
    Key("help", "f1", "page('help')", "Help", "help for what has the focus", shown="F1"),
    Key("quit", "q,ctrl+q", "quit_phone", "Quit", "leave; asks if a call is up", shown="q"),
)
DTMF = {character: character for character in "0123456789"} | {"*": "asterisk", "#": "number_sign"}
"""Keypad digits and what Textual calls their keys."""
BY_ID = {key.id: key for key in KEYS}
SPECIAL = {"colon": ":", "ctrl+": "^", "escape": "Esc", "question_mark": "?", "slash": "/", "space": "Space"}
"""Names of keys and how people write them."""
DIALOG = (
    Binding(BY_ID["help"].key, "app.page('help')", "Help", id="help", show=False),
    Binding("ctrl+q", "app.quit_phone", "Quit", show=False),
    Binding("ctrl+c", "app.help_quit", show=False, system=True),
)
"""For dialogs, which have none of the application's keys."""


def shown(key: str) -> str:
    """A key as people write it."""
    for name, sign in SPECIAL.items():
        key = key.replace(name, sign)
    return key.upper() if key.startswith("f") and key[1:].isdigit() else key


def written(chosen: Mapping[str, str], id: str) -> str:
    """The key with that ID, as people write it, by the user's ``chosen`` keys."""
    key = BY_ID[id]
    return shown(chosen[id].split(",")[0]) if id in chosen else key.shown or shown(key.key.split(",")[0])


def bindings() -> list[Binding]:
    """What the application binds."""
    known = [Binding(key.key, key.action, key.label, id=key.id, show=True, tooltip=key.help) for key in KEYS]
    digits = [
        Binding(name, f"digit('{digit}')", f"keypad {digit}", id=f"digit-{name}", show=False)
        for digit, name in DTMF.items()
    ]
    return known + digits


def keymap(chosen: Mapping[str, str]) -> Mapping[str, str]:
    """The user's keys. Raises ``ConfigError`` for an ID that is none and for a key that is taken."""
    if unknown := sorted(chosen.keys() - BY_ID.keys()):
        raise ConfigError(f"[keys]: there is no {unknown[0]!r}; the IDs are {', '.join(sorted(BY_ID))}")
    taken: dict[str, str] = {}
    for id, key in BY_ID.items():
        for each in chosen.get(id, key.key).split(","):
            name = each.strip()
            if not name:
                raise ConfigError(f"[keys]: {id} has no key; leave the line out for {BY_ID[id].key}")
            if name in taken:
                raise ConfigError(f"[keys]: {name} would be both {taken[name]} and {id}; choose another")
            taken[name] = id
    return dict(chosen)


def states(snapshot: Snapshot) -> frozenset[str]:
    """Which ``when`` of a key hold now."""
    found = {"always"}
    if snapshot.incoming is not None:
        found.add("ringing")
    if snapshot.live:
        found.add("call")
    elif snapshot.last_dialled:
        found.add("again")
    if snapshot.call is not None and snapshot.call.phase is Phase.TALKING:
        found.add("talking")
    if len(snapshot.live) > 1:
        found.add("two")
    return frozenset(found)
