"""Field types of wires: addresses to listen on, networks, texts of DTUs, clocks of sources, addresses of meters."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta, timezone, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.place import time_zone
from gateway.field_types import Unfit, host_name
from gateway.messages.message import Message
from gateway.web_settings import ip_and_port

_RFC2217 = "rfc2217://"
LONGEST_TEXT = 64
"""Bytes of a DTU's text."""
_OFFSET = re.compile(r"([+-])(0\d|1[0-4]):([0-5]\d)")
_DIGITS = re.compile(r"[0-9]*")
_STATION = re.compile(r"[!-~]{1,24}")
_WORD = re.compile(r"[!-~]{1,32}")
_SEPARATORS = set(";,=&#")
BROADCAST = "9" * 12
"""The DL/T 645 address that every meter of a line hears and none answers."""


def is_rfc2217(port: str) -> bool:
    """The port is one of a device server (RFC 2217)."""
    return port.startswith(_RFC2217)


def rfc2217_address(port: str) -> tuple[str, int] | None:
    """``"rfc2217://10.0.0.7:2217"`` → host without brackets, and port; None: it is no such text."""
    host, _, number = port.removeprefix(_RFC2217).rpartition(":")
    if not is_rfc2217(port) or not re.fullmatch("[1-9][0-9]{0,4}", number) or int(number) > 65535:
        return None
    try:
        name = host_name(host)
    except ValueError:
        return None
    return None if (":" in name) != host.startswith("[") else (name, int(number))


def _listen(text: str) -> str:
    found = ip_and_port(text)
    if found is None or not found[1]:
        raise Unfit(Message("config-listen-form"))
    return text


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """``"10.20.0.0/16"``, or a single address; a ValueError with the form, or with the network that was meant."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise Unfit(Message("config-network-form", text=text)) from None
    raise Unfit(Message("config-network-host-bits", text=text, meant=meant))


def _network(text: str) -> str:
    network(text)
    return text


def sent_bytes(text: str) -> bytes:
    """What a DTU sends by itself: a text in UTF-8, or ``"hex:…"``. A ValueError shows the form."""
    if text.startswith("hex:"):
        try:
            data = bytes.fromhex(text.removeprefix("hex:"))
        except ValueError:
            raise Unfit(Message("config-hex-form", text=text)) from None
    else:
        data = text.encode()
    if not 0 < len(data) <= LONGEST_TEXT:
        raise Unfit(Message("config-dtu-text-length", limit=LONGEST_TEXT))
    return data


def _sent(text: str) -> str:
    sent_bytes(text)
    return text


def source_zone(text: str) -> tzinfo:
    """A clock's zone: ``"+08:00"``, or a name of the IANA's; a ValueError with the way out."""
    if (offset := _OFFSET.fullmatch(text)) is not None:
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(ahead if offset[1] == "+" else -ahead)
    if re.match("[+-]|UTC[+-]|GMT[+-]", text):
        raise Unfit(Message("config-offset-form", text=text))
    return ZoneInfo(time_zone(text))


def _source_zone(text: str) -> str:
    source_zone(text)
    return text


def meter_number(address: int | str) -> Message | None:
    """What is wrong with the address of a DL/T 645 meter; None for twelve digits."""
    if isinstance(address, int):
        return Message("config-meter-number-quotes", meant=f"{max(0, address):012d}"[:12])
    if "A" in address.upper():
        return Message("config-meter-number-wildcard", address=address)
    if not _DIGITS.fullmatch(address):
        return Message("config-meter-number-digits", address=address)
    if len(address) != 12:
        return Message("config-meter-number-length", address=address, n=len(address))
    return Message("config-meter-number-broadcast", address=address) if address == BROADCAST else None


def station_number(address: int | str) -> Message | None:
    """What is wrong with the address (MN) of an HJ 212 station; None for 1 to 24 characters of one word."""
    if isinstance(address, int):
        return Message("config-station-quotes", meant=str(address))
    if not _STATION.fullmatch(address) or _SEPARATORS & set(address):
        return Message("config-station-form", address=address)
    return None


def p1_channel(address: int | str) -> Message | None:
    """What is wrong with the address of a meter on a P1 port; None for ``"0-0"``, or ``"0-1"`` to ``"0-9"``."""
    if isinstance(address, int) or not re.fullmatch("0-[0-9]", address):
        return Message("config-p1-channel", address=str(address))
    return None


def _password(text: str) -> str:
    if not _WORD.fullmatch(text) or _SEPARATORS & set(text):
        raise Unfit(Message("config-station-password-form"))
    return text


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Listen = Annotated[str, AfterValidator(_listen)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], Field(strict=False, min_length=1)]
DtuTexts = Annotated[
    tuple[Annotated[str, AfterValidator(_sent)], ...], BeforeValidator(_listed), Field(strict=False, min_length=1)
]
SourceZone = Annotated[str, AfterValidator(_source_zone)]
StationPassword = Annotated[str, AfterValidator(_password)]
