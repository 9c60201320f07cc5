"""Schema of a scenario's ``[[bus]]`` with type = "hj212": data loggers of emission monitors that dial a gateway."""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from firmware_sim.meters.emission_station import FACTORS, StationSpec
from firmware_sim.plant.tree import GRID
from firmware_sim.wire.hj212.messages import DAY, HOUR, MINUTE, REALTIME, Manners
from firmware_sim.wire.hj212.packets import MOST_CP_BYTES

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
Text = Annotated[str, Field(pattern=r"^[^;,=&\s]{0,64}$")]
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")


class StationTable(BaseModel):
    """``[[bus.meter]]`` of such a bus."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Name
    address: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,24}$")]
    measures: Name = GRID
    password: Text = "123456"
    st: Annotated[str, Field(pattern=r"^\d\d$")] = "31"
    old_style: bool = False
    factors: list[str] = list(FACTORS)
    flags: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z]?$")]] = {}
    items: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9]+-[A-Za-z]+$")], Text] = {}
    realtime_s: Seconds = 30
    minute_s: Seconds = 0
    hour_s: Seconds = 0
    day_s: Seconds = 0
    wants_answer: bool = True
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    resends: Annotated[int, Field(ge=0, le=100)] = 3
    cp_bytes: Annotated[int, Field(ge=100, le=MOST_CP_BYTES)] = MOST_CP_BYTES
    waits_for_part: bool = True
    heartbeat_s: Seconds = 0
    clock_notice: bool = False
    reconnect_s: Annotated[float, Field(gt=0, le=3600)] = 5.0

    @field_validator("factors")
    @classmethod
    def _known(cls, codes: list[str]) -> list[str]:
        if unknown := [code for code in codes if code not in FACTORS]:
            raise ValueError(f"no such factor: {', '.join(unknown)}; there are {', '.join(FACTORS)}")
        return codes

    def codes(self) -> list[str]:
        """The codes of its factors as it writes them."""
        return [FACTORS[code].old_code if self.old_style else code for code in self.factors]

    def spec(self) -> StationSpec:
        """The station with its instruments."""
        return StationSpec(
            self.name,
            self.address,
            self.password,
            self.st,
            self.old_style,
            tuple(self.factors),
            self.flags,
            self.items,
            self.measures,
        )

    def manners(self, tz: tzinfo) -> Manners:
        """How its logger works."""
        every_s = {REALTIME: self.realtime_s, MINUTE: self.minute_s, HOUR: self.hour_s, DAY: self.day_s}
        return Manners(
            every_ms={cn: seconds * 1000 for cn, seconds in every_s.items() if seconds},
            tz=tz,
            wants_answer=self.wants_answer,
            timeout_ms=round(self.timeout_s * 1000),
            resends=self.resends,
            most_cp_bytes=self.cp_bytes,
            waits_for_part=self.waits_for_part,
            heartbeat_ms=self.heartbeat_s * 1000,
            clock_notice=self.clock_notice,
            reconnect_ms=round(self.reconnect_s * 1000),
        )


class Hj212Table(BaseModel):
    """``[[bus]]`` with type = "hj212": ``host`` and ``port`` are the gateway's."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Literal["hj212"]
    name: Name
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
    timezone: str = "+08:00"
    meter: Annotated[list[StationTable], Field(min_length=1)]

    @field_validator("timezone")
    @classmethod
    def _exists(cls, name: str) -> str:
        zone(name)
        return name


def zone(name: str) -> tzinfo:
    """A time zone by its IANA name, or as an offset such as "+08:00". Raises ValueError."""
    if offset := _OFFSET.fullmatch(name):
        away = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-away if offset[1] == "-" else away)
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError('no such time zone; give an IANA name, or an offset such as "+08:00"') from None
