"""Letters of a fuel's analysis, and the values that each can have (rule M6). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger_client.formats.senml import Number

C_AR, C_AD, M_AR, M_AD, NCV, CC, OF = "C_ar", "C_ad", "M_ar", "M_ad", "NCV", "CC", "OF"
LETTERS: Final = (C_AR, C_AD, M_AR, M_AD, NCV, CC, OF)
_KINDS: Final[Mapping[str, str]] = {
    C_AR: "share", C_AD: "share", OF: "share", M_AR: "percent", M_AD: "percent", NCV: "amount", CC: "amount",
}  # fmt: skip
_BOUNDS: Final[Mapping[str, str]] = {
    "share": "not a share above 0 and up to 1",
    "percent": "not percent of mass, from 0 and below 100",
    "amount": "not above 0",
}
_WAY_OUT: Final[Mapping[str, str]] = {
    "share": "give a share of 1, such as 0.61 for 61 %",
    "percent": "give percent, such as 10.3",
    "amount": "give the value of the analysis: NCV in MJ a kg or m3, CC in kg of carbon a GJ",
}


def letter_fault(letter: str, value: Number) -> tuple[str, str] | None:
    """Why a letter cannot have a value, and the way out; None: it can."""
    kind = _KINDS.get(letter)
    if kind is None:
        return "there is no such letter", f"they are {', '.join(LETTERS)}"
    if {"share": 0 < value <= 1, "percent": 0 <= value < 100, "amount": value > 0}[kind]:
        return None
    return f"it is {value}, {_BOUNDS[kind]}", _WAY_OUT[kind]
