"""Linux's timer as a file descriptor: it wakes the event loop in time, where the loop's own timers come late.

Timers of asyncio and of uvloop wait in whole milliseconds (epoll's timeout), four times the error that the
modelled path may have.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_TFD_FLAGS: Final = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_TFD_TIMER_ABSTIME: Final = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerDescriptor:
    """One alarm; its descriptor becomes readable when the time has come."""

    def __init__(self, descriptor: int, library: ctypes.CDLL) -> None:
        self._descriptor = descriptor
        self._settime = library.timerfd_settime
        self._settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._spec = _Itimerspec(_Timespec(0, 0), _Timespec(0, 0))
        self._spec_at = ctypes.addressof(self._spec)

    @classmethod
    def open(cls) -> TimerDescriptor | None:
        """An alarm that is not set; None where the platform has none."""
        try:
            library = ctypes.CDLL(None, use_errno=True)
            descriptor = library.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS)
        except (AttributeError, OSError):
            return None
        return cls(descriptor, library) if descriptor >= 0 else None

    def fileno(self) -> int:
        return self._descriptor

    def set(self, at: float) -> None:
        """Go off at ``at``, in seconds of ``time.monotonic``, instead of what was set before."""
        seconds, fraction = divmod(max(at, 1e-6), 1.0)  # zero would switch it off
        value = self._spec.value
        value.seconds, value.nanoseconds = int(seconds), int(fraction * 1e9)
        if self._settime(self._descriptor, _TFD_TIMER_ABSTIME, self._spec_at, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def acknowledge(self) -> None:
        """Make the descriptor wait again after it went off."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 8)

    def close(self) -> None:
        os.close(self._descriptor)


class Alarm:
    """Calls ``ring`` at the earliest of the times set; where there is no descriptor, by the loop's timers."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._set_for: float | None = None
        self._handle: asyncio.Handle | None = None
        self._is_anew = False  # whether the descriptor was set since it last went off
        self._descriptor = TimerDescriptor.open()
        if self._descriptor is not None:
            self._loop.add_reader(self._descriptor.fileno(), self._goes_off, self._descriptor)

    def set(self, at: float | None) -> None:
        """Ring no later than ``at``, in seconds of ``time.monotonic``; an earlier time that was set stays."""
        if at is None or (self._set_for is not None and self._set_for <= at):
            return
        self._set_for = at
        ahead = at - time.monotonic()
        if self._descriptor is not None and ahead > 0:
            self._descriptor.set(at)
            self._is_anew = True
            return
        if self._handle is not None:
            self._handle.cancel()
        # A descriptor that is set for the past goes off as well, but a busy server would pay for each time.
        self._handle = (
            self._loop.call_later(ahead, self._rings) if ahead > 0 else self._loop.call_soon(self._rings)
        )

    def close(self) -> None:
        """Never ring again."""
        if self._handle is not None:
            self._handle.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor.fileno())
            self._descriptor.close()

    def _goes_off(self, descriptor: TimerDescriptor) -> None:
        self._is_anew = False
        try:
            self._rings()
        finally:
            if not self._is_anew:  # setting it acknowledges as well
                descriptor.acknowledge()

    def _rings(self) -> None:
        self._set_for = None
        self._ring()
