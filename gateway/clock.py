"""The gateway's time: one wall-clock reading at the start of an epoch, carried on by the monotonic clock.

Schedules and record times come from here and never run backwards. What the kernel thinks of its own clock
(synchronised or not, and how wrong it may be) is read by ``kernel_clock`` (adjtimex(2)); it is never set.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass

STA_UNSYNC = 0x0040  # adjtimex(2)
USABLE_AFTER_S = 2**28  # RFC 8428 §4.5.3: smaller times count as relative
STEP_MS = 100
"""A change beyond this is a step: ntpd steps from 128 ms on, others from 0.4 or 1 s, and slew what is less."""
APART_MS = 1000
TRIES, BETWEEN_S = 5, 0.005
KERNEL_EVERY_S = 1.0
"""What the kernel thinks of its clock changes so slowly (its error bound by half a millisecond a second) that one
answer does for all records of a second."""


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),  # the kernel fills the remainder of struct timex; nothing of it is read
    )


_adjtimex = ctypes.CDLL(None).adjtimex


@dataclass(frozen=True, slots=True)
class KernelClock:
    """What adjtimex(2) says: is the clock disciplined, and its largest possible error in ms (None: not told)."""

    synchronised: bool
    error_ms: int | None


def kernel_clock() -> KernelClock:
    """Read the kernel's clock state; a refused call (EPERM in a sandbox) is an unsynchronised clock, not an error."""
    state = _Timex()
    if _adjtimex(ctypes.byref(state)) < 0:
        return KernelClock(False, None)
    synchronised = not state.status & STA_UNSYNC
    return KernelClock(synchronised, -(-int(state.maxerror) // 1000) if synchronised else None)


class Clock:
    """Milliseconds since 1970 that only go forward, from one anchor taken when the epoch begins.

    ``not_before_ms`` is the time of the last record known: a machine that woke up in the past goes on from there,
    and its clock letter is then ``U`` (unknown); else ``S`` (synchronised) or ``I`` (informative). The system's clock
    may be set while this one runs on: ``ahead_ms`` tells by how much they have parted.
    """

    def __init__(
        self,
        *,
        not_before_ms: int = 0,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        kernel: Callable[[], KernelClock] = kernel_clock,
    ) -> None:
        """``wall_ns``, ``monotonic`` and ``kernel`` are the machine's, or what stands for them."""
        self._wall_ns, self._monotonic, self._kernel = wall_ns, monotonic, kernel
        self._told = kernel(), monotonic() + KERNEL_EVERY_S
        self.started_monotonic, wall_ms = self._both()
        self.usable = wall_ms >= max(not_before_ms, USABLE_AFTER_S * 1000)
        self.started_ms = wall_ms if self.usable else max(not_before_ms, USABLE_AFTER_S * 1000)

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return self._monotonic()

    def up_ms(self) -> int:
        """Milliseconds since the epoch of this process began."""
        return int((self._monotonic() - self.started_monotonic) * 1000)

    def now_ms(self) -> int:
        """Wall clock in ms, never running backwards within an epoch."""
        return self.started_ms + self.up_ms()

    def at_ms(self, monotonic: float) -> int:
        """Wall clock in ms at a moment of the monotonic clock."""
        return self.started_ms + int((monotonic - self.started_monotonic) * 1000)

    def ahead_ms(self) -> int:
        """How far the system's clock is ahead of this one: it changes by more than ``STEP_MS`` only when that is set,
        for the monotonic clock follows all lesser corrections."""
        monotonic, wall_ms = self._both()
        return wall_ms - self.at_ms(monotonic)

    def letter(self) -> tuple[str, int | None]:
        """OCMF's clock letter for a record made now, and the error bound in ms where the kernel gives one.

        A system clock that was set, and is synchronised since, tells how wrong this one is and does not mend it: that
        is part of the bound, and beyond ``APART_MS`` this clock is not called synchronised.
        """
        if not self.usable:
            return "U", None
        kernel = self._kernel_state()
        if not kernel.synchronised or kernel.error_ms is None:
            return "S" if kernel.synchronised else "I", None
        apart_ms = abs(self.ahead_ms())
        return "S" if apart_ms <= APART_MS else "I", kernel.error_ms + apart_ms

    def _kernel_state(self) -> KernelClock:
        """The kernel's last answer, at most ``KERNEL_EVERY_S`` old. Any thread may ask: both parts change as one."""
        state, until = self._told
        now = self._monotonic()
        if now >= until:
            state = self._kernel()
            self._told = state, now + KERNEL_EVERY_S
        return state

    def _both(self) -> tuple[float, int]:
        """One moment of the monotonic and the system's clock; read again when something came in between."""
        for _ in range(TRIES):
            before, wall_ns, after = self._monotonic(), self._wall_ns(), self._monotonic()
            if after - before <= BETWEEN_S:
                break
        return before, wall_ns // 1_000_000
