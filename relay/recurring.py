"""Work that comes again and again: it goes on whatever goes wrong, and says so once, not at every turn."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from relay.errors import RelayError


class Recurring:
    """What went wrong with work called ``name`` when it was last done goes to ``log`` when that changes."""

    def __init__(self, name: str, log: logging.Logger) -> None:
        self._name = name
        self._log = log
        self._fault = ""

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One turn of the work; only what ends a task passes through, a cancellation for one."""
        fault = ""
        try:
            yield
        except RelayError as error:
            fault = str(error)
        except Exception as error:  # a defect of ours: the next turn may do without what met it
            fault = f"{self._name} failed: {type(error).__name__}"
        if fault and fault != self._fault:
            self._log.error("%s", fault)
        elif self._fault and not fault:
            self._log.warning("%s is well again", self._name)
        self._fault = fault
