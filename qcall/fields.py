"""What is wrong with a field of a setting or a command, in the words of its type: choices or description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints


def fault_of(error: Exception, kind: type, given: Mapping[str, Any]) -> tuple[str, str]:
    """The field of ``kind`` that an error of msgspec is about, and what is wrong with what was ``given``."""
    text, _, at = str(error).partition(" - at `$.")
    name = at.rstrip("`")
    hint = get_type_hints(kind, include_extras=True).get(name)
    value = given.get(name)
    if get_origin(hint) is Literal:
        return name, f"{value} is none of {', '.join(map(str, get_args(hint)))}"
    for meta in getattr(hint, "__metadata__", ()):
        if meta.description:
            return name, f"{value!r} is not {meta.description}"
    return name, text
