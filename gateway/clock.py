"""Gateway clock: one wall-clock reading at the start of an epoch, advanced by the monotonic clock.

Schedules run on that alone. Record times follow it too, and are brought back to the system's clock by corrections, of
which the journal makes signed events; neither ever runs backwards. What the kernel thinks of its own clock
(synchronised or not, and how wrong it may be) is read by ``kernel_clock`` (adjtimex(2)); it is never set.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
STA_UNSYNC = 0x0040  # adjtimex(2)
USABLE_AFTER_S = 2**28  # RFC 8428 §4.5.3: smaller times count as relative
BUILT_S = 1_795_564_800
"""2026-11-25, when this version was made: no record of it is older, whatever an unset clock says."""
SLOWED = 9  # tenths: how fast record times run while they wait for a clock that is behind them
STEP_MS = 100
"""A change beyond this is a step: ntpd steps from 128 ms on, others from 0.4 or 1 s, and slew what is less."""
APART_MS = 1000
FAR_MS, STANDS_S = 60_000, 60.0
"""A step forward of more than this is followed only when it has stood for so long, or the kernel calls its clock
synchronised: times do not run backwards, so a wrong hour would take ten to wait out."""
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
    """State of the kernel's clock, by adjtimex(2): whether it is disciplined, and its largest possible error in ms
    (None: unknown)."""

    synchronised: bool
    error_ms: int | None


def kernel_clock() -> KernelClock:
    """Read the kernel's clock state; a refused call (EPERM in a sandbox) is an unsynchronised clock, not an error."""
    state = _Timex()
    if _adjtimex(ctypes.byref(state)) < 0:
        return KernelClock(False, None)
    synchronised = not state.status & STA_UNSYNC
    return KernelClock(synchronised, -(-int(state.maxerror) // 1000) if synchronised else None)


@dataclass(frozen=True, slots=True)
class Course:
    """How record times follow from the schedule's: from ``run_ms``, which was ``time_ms``, at full speed or slowed."""

    run_ms: int
    time_ms: int
    slow: bool = False

    def at(self, run_ms: int) -> int:
        """The record time of a moment of the schedule."""
        gone = run_ms - self.run_ms
        return self.time_ms + (gone * SLOWED // 10 if self.slow else gone)


@dataclass(frozen=True, slots=True)
class Correction:
    """A change of course that the system's clock asks for: the record time now and from now on, and what became of it.

    ``dates``: the clock was unknown until now, so that this tells when the epoch really was.
    """

    course: Course
    before_ms: int
    up_ms: int
    dates: bool

    @property
    def after_ms(self) -> int:
        """The record time from which the new course begins."""
        return self.course.time_ms


class Clock:
    """The schedule's milliseconds, carried by the monotonic clock alone, and the record times that follow from them.

    ``not_before_ms`` is the time of the last record known: a machine that woke up in the past goes on from there,
    and its clock letter is then ``U`` (unknown); else ``S`` (synchronised) or ``I`` (informative). When the system's
    clock becomes good, or is set, a ``correction`` is due: record times jump forward to it, or are slowed to nine
    tenths until it has caught up. They never run backwards. The schedule knows nothing of it.
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
        self._kernel_answer = kernel(), monotonic() + KERNEL_EVERY_S
        self.started_monotonic, wall_ms = self._both()
        self.usable = wall_ms >= max(not_before_ms, USABLE_AFTER_S * 1000)
        self.started_ms = wall_ms if self.usable else max(not_before_ms, BUILT_S * 1000)
        self._course = Course(self.started_ms, self.started_ms)
        self._far: tuple[int, float] | None = None
        """A step that is not followed yet: how far ahead of the schedule, and since when (monotonic)."""

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return self._monotonic()

    def up_ms(self) -> int:
        """Milliseconds since the epoch of this process began."""
        return int((self._monotonic() - self.started_monotonic) * 1000)

    def schedule_ms(self) -> int:
        """Now, for schedules: the time at the start and what has gone by since, whatever becomes of the wall clock."""
        return self.started_ms + self.up_ms()

    def now_ms(self) -> int:
        """Now, for records: wall clock in ms, never running backwards within an epoch."""
        return self._course.at(self.schedule_ms())

    def at_ms(self, monotonic: float) -> int:
        """The record time of a moment of the monotonic clock."""
        return self._course.at(self._run_ms(monotonic))

    def record_ms(self, schedule_ms: int) -> int:
        """The record time of a moment of the schedule."""
        return self._course.at(schedule_ms)

    def slowed(self, period_ms: int) -> int:
        """How long a period of the schedule is in record times."""
        return period_ms * SLOWED // 10 if self._course.slow else period_ms

    def ahead_ms(self) -> int:
        """How far the system's clock is ahead of the schedule: it changes by more than ``STEP_MS`` only when that is
        set, for the monotonic clock follows all lesser corrections."""
        monotonic, wall_ms = self._both()
        return wall_ms - self._run_ms(monotonic)

    def doubted(self) -> bool:
        """The system's clock is so far ahead that record times do not follow it yet."""
        return self._apart()[0] > FAR_MS

    def letter(self) -> tuple[str, int | None]:
        """OCMF's clock letter for a record made now, and the error bound in ms where the kernel gives one.

        While the system's clock is ``doubted`` the time is unknown. How far record times are from it is part of the
        bound, and beyond ``APART_MS`` they are not called synchronised.
        """
        apart_ms = self._apart()[0]
        if not self.usable or apart_ms > FAR_MS:
            return "U", None
        kernel = self._kernel_state()
        if not kernel.synchronised or kernel.error_ms is None:
            return "S" if kernel.synchronised else "I", None
        return "S" if abs(apart_ms) <= APART_MS else "I", kernel.error_ms + abs(apart_ms)

    def correction(self) -> Correction | None:
        """The change of course that is due; None while record times are right, or cannot be made so.

        Unknown times are dated by a system clock that has come past them. One that is synchronised and still behind the
        last record is waited for, slowed; so is one that was set back. One that was set far forward has to stand first.
        """
        apart_ms, run_ms = self._apart()
        now_ms, course = self._course.at(run_ms), self._course
        patience_ms = APART_MS if self.usable else 0  # an unknown clock stays so until the system's has come past it
        if now_ms + apart_ms < USABLE_AFTER_S * 1000 or not self._stands(apart_ms):
            return None
        if apart_ms > APART_MS or (apart_ms >= 0 and not self.usable):
            course = Course(run_ms, now_ms + apart_ms)
        elif apart_ms < -patience_ms and not course.slow and (self.usable or self._kernel_state().synchronised):
            course = Course(run_ms, now_ms, slow=True)
        elif apart_ms >= 0 and course.slow:
            course = Course(run_ms, now_ms)
        if course is self._course:
            return None
        dates = not self.usable and not course.slow
        return Correction(course, now_ms, run_ms - self.started_ms, dates)

    def _stands(self, apart_ms: int) -> bool:
        """The system's clock is not far ahead, or has been so for long enough, or the kernel vouches for it."""
        if apart_ms <= FAR_MS:
            self._far = None
            return True
        ahead_ms, now = self.ahead_ms(), self._monotonic()
        if self._far is None or abs(ahead_ms - self._far[0]) > APART_MS:
            self._far = ahead_ms, now
        return now - self._far[1] >= STANDS_S or self._kernel().synchronised

    def turn(self, correction: Correction) -> None:
        """Take the new course. Any thread may read the clock meanwhile."""
        self._course = correction.course
        self.usable = self.usable or correction.dates

    def turned(self, correction: Correction) -> Clock:
        """This clock as it will be once the course is taken."""
        turned = copy(self)
        turned.turn(correction)
        return turned

    def _run_ms(self, monotonic: float) -> int:
        return self.started_ms + int((monotonic - self.started_monotonic) * 1000)

    def _apart(self) -> tuple[int, int]:
        """How far the system's clock is ahead of record times, and the schedule's time of that comparison."""
        monotonic, wall_ms = self._both()
        run_ms = self._run_ms(monotonic)
        return wall_ms - self._course.at(run_ms), run_ms

    def _kernel_state(self) -> KernelClock:
        """The kernel's last answer, at most ``KERNEL_EVERY_S`` old. Any thread may ask: both parts change as one."""
        state, until = self._kernel_answer
        now = self._monotonic()
        if now >= until:
            state = self._kernel()
            self._kernel_answer = state, now + KERNEL_EVERY_S
        return state

    def _both(self) -> tuple[float, int]:
        """One moment of the monotonic and the system's clock; read again when something came in between."""
        for _ in range(TRIES):
            before, wall_ns, after = self._monotonic(), self._wall_ns(), self._monotonic()
            if after - before <= BETWEEN_S:
                break
        return before, wall_ns // 1_000_000
