"""What is wrong with a field of a setting or a command, in the words of its type: choices or description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "a table of texts",
}
UNKNOWN = re.compile("Object contains unknown field `(.*)`")


def fault_of(error: Exception, kind: type, given: Mapping[str, Any]) -> tuple[str, str]:
    """The field of ``kind`` that an error of msgspec is about, and what is wrong with what was ``given``."""
    text, _, at = str(error).partition(" - at `$.")
    if (unknown := UNKNOWN.fullmatch(text)) and not at:
        return unknown[1], "unknown"
    name = at.rstrip("`").partition("[")[0]
    hint = get_type_hints(kind, include_extras=True).get(name)
    value = given.get(name)
    if get_origin(hint) is Literal:
        return name, f"{value} is none of {', '.join(map(str, get_args(hint)))}"
    shown = f"{value:g}" if isinstance(value, float) else repr(value)
    for meta in getattr(hint, "__metadata__", ()):
        if meta.description:
            return name, f"{shown} is not {meta.description}"
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else get_origin(hint) or hint
    if plain in KINDS and ", got `" in text:
        return name, f"{shown} is not {KINDS[plain]}"
    return name, text
