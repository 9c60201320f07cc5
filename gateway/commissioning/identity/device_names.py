"""What a device says of itself by function 43/14 and function 17, and whether that is the model of a profile.

Modbus application protocol v1.1b3, 6.13 (report server ID) and 6.21 (read device identification).
"""

from __future__ import annotations

import re
from itertools import pairwise

from gateway.commissioning.identity.unit_reads import UnitReads
from gateway.devices.points import Profile
from gateway.fieldbus.modbus.exceptions import ILLEGAL_VALUE
from gateway.fieldbus.modbus.frames import (
    DEVICE_IDENTIFICATION,
    REPORT_SERVER_ID,
    Request,
    identification_object,
    object_text,
)
from gateway.fieldbus.wire.link import Answer, Refusal

BASIC, OBJECTS = 1, (0, 1, 2)
"""Read code of the basic objects: vendor, product, version."""
SHORTEST, LONG = 4, 6
_MODEL = re.compile(r"[A-Z0-9]+")
_PART = re.compile(r"[0-9]+[A-Z]+[A-Z0-9]*")


async def identification(reads: UnitReads) -> tuple[str, ...]:
    """Vendor, product and version as function 43/14 tells them, as far as it does."""
    stream = await reads.put(Request(reads.unit, DEVICE_IDENTIFICATION, 0, BASIC))
    if isinstance(stream, Answer):
        return tuple(text for number in OBJECTS if (text := _printable(object_text(stream.data, number))))
    if not isinstance(stream, Refusal) or stream.refused.code != ILLEGAL_VALUE:
        return ()
    texts = []
    for number in OBJECTS:  # a device with access to single objects only
        outcome = await reads.put(identification_object(reads.unit, number))
        if not isinstance(outcome, Answer):
            break
        texts.append(_printable(object_text(outcome.data, number)))
    return tuple(text for text in texts if text)


async def server_id(reads: UnitReads) -> str | None:
    """The text in the answer to function 17; its form is the maker's own."""
    outcome = await reads.put(Request(reads.unit, REPORT_SERVER_ID))
    if not isinstance(outcome, Answer):
        return None
    runs = re.findall(rb"[\x20-\x7e]{4,}", outcome.data)
    return " ".join(run.decode("ascii").strip() for run in runs) or None


def _printable(text: str | None) -> str:
    return text if text and text.isprintable() else ""


def models_of(profile: Profile) -> tuple[str, ...]:
    """The models that a profile names: words of its ``device`` with a letter and a digit, such as SDM630."""
    words = _words(profile.device)
    return tuple(
        word for word in words if len(word) >= SHORTEST and re.search("[A-Z]", word) and re.search("[0-9]", word)
    )


def names_model(texts: tuple[str, ...], profile: Profile) -> str | None:
    """The text in which a device calls itself a model of this profile: one of its words is the model, or begins with
    it; a long one may stand within an order number, as PM5560 in METSEPM5560."""
    for text in texts:
        words = _words(text)
        for model in models_of(profile):
            if any(word.startswith(model) or (len(model) >= LONG and model in word) for word in words):
                return text
    return None


def _words(text: str) -> list[str]:
    """Words of letters and digits in capitals, and those of two parts as one word: UMG 96RM is UMG96RM too."""
    words = _MODEL.findall(text.upper())
    return [*words, *(a + b for a, b in pairwise(words) if a.isalpha() and _PART.fullmatch(b))]
