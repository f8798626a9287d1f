"""Address book entries as vCards 4.0 (RFC 6350). Pure.

An entry's call name is an ``IMPP`` property with a ``qcall:`` URI (RFC 6350, section 6.4.3). What other
programs put into a card and this phone has no use for is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

SCHEME = "qcall:"
FOLD = 75
"""Octets of a content line before it is folded (section 3.2)."""
_ESCAPES = {"n": "\n", "N": "\n"}


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """Somebody in the address book."""

    name: str
    """What the relay knows them by."""
    shown: str = ""
    """What the user calls them."""
    note: str = ""


def dump(entries: Iterable[Entry]) -> str:
    """The vCards of ``entries``, in their order."""
    return "".join(_card(entry) for entry in entries)


def load(text: str) -> list[Entry]:
    """Every entry with a call name in ``text``. Raises ``ValueError`` when it is not vCards."""
    entries: list[Entry] = []
    card: dict[str, str] | None = None
    for name, value in _lines(text):
        match name, value.strip().upper():
            case "BEGIN", "VCARD":
                card = {}
            case "END", "VCARD":
                if card is None:
                    raise ValueError("a card ends that did not begin")
                if "call" in card:
                    shown = card.get("FN", "")
                    call = card["call"]
                    entries.append(Entry(call, "" if shown == call else shown, card.get("NOTE", "")))
                card = None
            case _ if card is None:
                raise ValueError("it does not begin with BEGIN:VCARD")
            case "IMPP", _ if value.startswith(SCHEME):
                card["call"] = unquote(value.removeprefix(SCHEME))
            case (("FN" | "NOTE"), _):
                card[name] = _plain(value)
    if card is not None:
        raise ValueError("its last card has no end")
    return entries


def number(text: str) -> int:
    """How many cards there are in ``text``, with a call name or without."""
    return sum((name, value.strip().upper()) == ("BEGIN", "VCARD") for name, value in _lines(text))


def _card(entry: Entry) -> str:
    lines = ["BEGIN:VCARD", "VERSION:4.0", f"FN:{_escaped(entry.shown or entry.name)}"]
    lines.append(f"IMPP:{SCHEME}{quote(entry.name)}")
    if entry.note:
        lines.append(f"NOTE:{_escaped(entry.note)}")
    return "".join(_folded(line) + "\r\n" for line in (*lines, "END:VCARD"))


def _folded(line: str) -> str:
    """``line`` in pieces that are short enough; no character is cut in two."""
    pieces, size = [""], 0
    for character in line:
        width = len(character.encode())
        if size + width > FOLD:
            pieces.append("")
            size = 1
        pieces[-1] += character
        size += width
    return "\r\n ".join(pieces)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Names without group and parameters, upper case, and values; unfolded."""
    unfolded = re.sub(r"\r?\n[ \t]", "", text.removeprefix("\ufeff"))
    for line in re.split(r"\r?\n", unfolded):
        if not line.strip():
            continue
        # A colon inside a quoted parameter does not end it.
        found = re.match(r'(?:[\w-]+\.)?([\w-]+)(?:;(?:"[^"]*"|[^":])*)?:(.*)', line, re.DOTALL)
        if found is None:
            raise ValueError(f"{line[:40]!r} is not a line of a vCard")
        yield found[1].upper(), found[2]


def _escaped(value: str) -> str:
    return re.sub(r"[\\,;]", r"\\\g<0>", value).replace("\r", "").replace("\n", r"\n")


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), value)
