"""The gateway's time: one wall-clock reading at the start of an epoch, carried on by the monotonic clock.

Schedules and record times come from here and never run backwards. What the kernel thinks of its own clock
(synchronised or not, and how wrong it may be) is read by ``kernel_clock`` (adjtimex(2)); it is never set.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

STA_UNSYNC = 0x0040  # adjtimex(2)
USABLE_AFTER_S = 2**28  # RFC 8428 §4.5.3: smaller times count as relative


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
    and its clock letter is then ``U`` (unknown); else ``S`` (synchronised) or ``I`` (informative).
    """

    def __init__(self, *, not_before_ms: int = 0) -> None:
        self.started_monotonic = time.monotonic()
        wall_ms = time.time_ns() // 1_000_000
        self.usable = wall_ms >= max(not_before_ms, USABLE_AFTER_S * 1000)
        self.started_ms = wall_ms if self.usable else max(not_before_ms, USABLE_AFTER_S * 1000)

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def up_ms(self) -> int:
        """Milliseconds since the epoch of this process began."""
        return int((time.monotonic() - self.started_monotonic) * 1000)

    def now_ms(self) -> int:
        """Wall clock in ms, never running backwards within an epoch."""
        return self.started_ms + self.up_ms()

    def at_ms(self, monotonic: float) -> int:
        """Wall clock in ms at a moment of the monotonic clock."""
        return self.started_ms + int((monotonic - self.started_monotonic) * 1000)

    def letter(self) -> tuple[str, int | None]:
        """OCMF's clock letter for a record made now, and the error bound in ms where the kernel gives one."""
        if not self.usable:
            return "U", None
        kernel = kernel_clock()
        return ("S", kernel.error_ms) if kernel.synchronised else ("I", None)
