"""Tables of a scenario file as such: strict and frozen, the types that several share, and line settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from firmware_sim.wire.line import Line
from firmware_sim.wire.line_noise import Noise
from firmware_sim.wire.uart import Uart

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Positive = Annotated[float, Field(ge=0, le=1e9)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, le=1)]
Class = Annotated[float, Field(gt=0, le=10)]
"""Of a meter's accuracy, in percent."""
Baudrate = Annotated[int, Field(ge=50, le=4_000_000)]
Port = Annotated[int, Field(ge=0, le=65535)]
LinkPath = Annotated[str, Field(min_length=1)]


class Table(BaseModel):
    """A table; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class EndTable(Table):
    """Settings of one end of a line, where they are not those of the bus."""

    baudrate: Baudrate | None = None
    parity: Literal["N", "E", "O"] | None = None
    stopbits: Literal[1, 2] | None = None
    checks_parity: bool = True

    @property
    def differs(self) -> bool:
        """Whether it has settings of its own."""
        return not self.checks_parity or (self.baudrate, self.parity, self.stopbits) != (None, None, None)

    def uart(self, line: Line) -> Uart:
        """Its settings on this line."""
        settings = self.baudrate or line.baudrate, self.parity or line.parity, self.stopbits or line.stopbits
        return Uart(*settings, checks_parity=self.checks_parity)


class BitLine(Protocol):
    """``[[bus]]`` that can be a line of bits."""

    @property
    def port(self) -> str | int | None: ...
    @property
    def rfc2217(self) -> bool: ...
    @property
    def garbles(self) -> bool: ...
    @property
    def emulate(self) -> bool: ...
    @property
    def check_settings(self) -> bool: ...
    @property
    def meter(self) -> Sequence[EndTable]: ...
    @property
    def line(self) -> Callable[[], Line]: ...


def check_bits(table: BitLine) -> None:
    """Raises ``ValueError`` for keys that a line of bits does not have."""
    if table.rfc2217 and not isinstance(table.port, int):
        raise ValueError("rfc2217 needs a number as port: the TCP port of the device server")
    if table.garbles and not isinstance(table.port, str):
        raise ValueError("garbles is for a pseudo-terminal; an RFC 2217 line always does")
    if (table.rfc2217 or table.garbles) and (table.check_settings or not table.emulate):
        raise ValueError("a line of bits takes its time and checks settings by itself: remove emulate, check_settings")


def uarts(table: BitLine) -> list[Uart] | None:
    """What each device is set to; None: the line is none of bits."""
    return [row.uart(table.line()) for row in table.meter] if table.rfc2217 or table.garbles else None


class NoiseTable(Table):
    """``[[bus.disturb]]`` with kind = "noise"."""

    kind: Literal["noise"]
    every_ms: Annotated[float, Field(ge=1)] = 1000
    size: Annotated[int, Field(ge=1, le=256)] = 4

    def made(self) -> Noise:
        """The disturbance."""
        return Noise(self.every_ms, self.size)
