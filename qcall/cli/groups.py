"""Groups of options: where a command takes a dataclass, the command line has an option for each field."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` as Typer is to see it: each parameter that is a dataclass spread out, in its place."""
    hints = get_type_hints(command, include_extras=True)
    given = inspect.signature(command).parameters.values()
    groups = {each.name: hints[each.name] for each in given if is_dataclass(hints[each.name])}
    spread: list[inspect.Parameter] = []
    for each in given:
        if each.name in groups:
            spread += options_of(groups[each.name])
        else:
            spread.append(each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def called(**values: Any) -> None:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **made)

    called.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in spread}
    return called


def options_of(group: type[Any]) -> Iterator[inspect.Parameter]:
    """A parameter for each field, which must have a default."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        assert field.default is not MISSING
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
