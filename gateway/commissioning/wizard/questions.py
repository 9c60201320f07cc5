"""Questions of a commissioning: their keys, and what each answer has to be. Pure but for the photos' files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.commissioning.record.content import MOST_REMARKS, MOST_TEXT, Photo
from gateway.config.limits import Pair, limit_pairs, misfits
from gateway.devices.knowledge.device_numbers import device_numbers
from gateway.devices.points import Profile
from gateway.errors import GatewayError
from gateway.field_types import transformer_ratio
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.messages import sentence_of

MOST_PATH: Final = 4096
"""Bytes of a path (Linux, PATH_MAX)."""
WORD_ORDERS: Final = ("big", "little")
KEYS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "by": str,
    "word_order": str,
    "ct": (str, int),
    "pt": (str, int),
    "display": dict,
    "differs": dict,
    "no_display": str,
    "role": str,
    "reversed": bool,
    "reversed_phase": str,
    "limits": dict,
    "label": str,
    "plate_serial": str,
    "other_serial": bool,
    "seals": list,
    "position": str,
    "photos": list,
    "remarks": str,
}
"""What can be asked of a meter, with the types that an answers file may have; docs/commissioning.md says each."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question. ``default``: what an empty answer means, None: it must be answered; ``facts``: what it shows, by
    name; ``point``: of a question about one point of the meter."""

    key: str
    meter: str
    default: str | None = None
    choices: tuple[str, ...] = ()
    point: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Dialogue(Protocol):
    """Whoever answers: somebody at a terminal, or a file."""

    def ask(self, question: Question) -> str:
        """The answer as text, ``yes`` and ``no`` where that is asked."""

    def answers(self, key: str) -> bool:
        """It answers this question without being asked."""

    def refused(self, question: Question, why: GatewayError) -> None:
        """The last answer cannot be taken. Returns to be asked once more, or raises it."""

    def tell(self, sentence: Message) -> None:
        """Something to know before the next question."""

    def show(self, meter: str, live: Any) -> None:
        """The live values of a meter, to hold beside its display."""


def ratio(text: str) -> str | int:
    """``200/5`` or a number, as gateway.toml has it. Raises GatewayError."""
    given = text.strip()
    try:
        transformer_ratio(int(given) if given.isdigit() else given)
    except ValueError as error:
        raise GatewayError(Message("wizard-answer", what=sentence_of(error))) from None
    return int(given) if given.isdigit() else given


def nameplate(text: str) -> str | int:
    """The same, or "" where it is not stated."""
    return ratio(text) if text.strip() else ""


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Limits of a meter that are not in the configuration yet; ``points``: those that it names."""

    points: tuple[str, ...]
    limits: Mapping[str, Pair]


def limit(text: str, points: tuple[str, ...], profile: Profile) -> str:
    """``voltage_ln 207 253``: a point or the stem of its phases, and its limits, ``-`` for an open end; as it is kept.

    ``points``: those that the meter records, none: those of its profile. Raises GatewayError.
    """
    words = text.split()
    if len(words) != 3:
        raise GatewayError(Message("wizard-limit-form"))
    name, low, high = words
    try:
        pairs = limit_pairs({name: [_end(low, -inf), _end(high, inf)]})
    except ValueError as error:
        raise GatewayError(Message("wizard-answer", what=sentence_of(error))) from None
    for _, wrong in misfits(Unwritten(points, pairs), profile):
        raise GatewayError(Message("wizard-answer", what=wrong))
    return f"{name} {low} {high}"


def limit_keys(given: Iterable[str]) -> dict[str, list[int | float]]:
    """Limits that were given, as gateway.toml has them."""
    found: dict[str, list[int | float]] = {}
    for text in given:
        name, low, high = text.split()
        found[name] = [int(end) if end.is_integer() else end for end in (_end(low, -inf), _end(high, inf))]
    return found


def _end(text: str, open_: float) -> float:
    """One end. Raises GatewayError: no number."""
    try:
        return open_ if text == "-" else float(text)
    except ValueError:
        raise GatewayError(Message("wizard-limit-form")) from None


def choice(text: str, choices: tuple[str, ...]) -> str:
    """One of several words, or the beginning of one alone. Raises GatewayError."""
    given = text.strip().lower()
    meant = [word for word in choices if word == given] or [
        word for word in choices if given and word.startswith(given)
    ]
    if len(meant) != 1:
        raise GatewayError(Message("wizard-no-choice", given=text.strip(), choices=choices))
    return meant[0]


def yes(text: str) -> bool:
    """Yes or no. Raises GatewayError."""
    return choice(text, ("yes", "no")) == "yes"


def line(text: str, most: int = MOST_TEXT) -> str:
    """A text of one line, as a record can hold it. Raises GatewayError."""
    given = text.strip()
    if not given.isprintable() or len(given.encode()) > most:
        raise GatewayError(Message("wizard-text", most=most))
    return given


def remark(text: str) -> str:
    """Remarks, of several lines in an answers file. Raises GatewayError."""
    return "\n".join(line(one, MOST_REMARKS) for one in text.strip().splitlines())


def photo(text: str) -> Photo:
    """Name, size and SHA-256 of a picture; ``~`` is a home folder.

    Raises GatewayError: there is no such file, it cannot be read or is empty, or a record cannot hold its name.
    """
    digest, size, path = hashlib.sha256(), 0, Path(line(text, MOST_PATH))
    try:
        path = path.expanduser()
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise GatewayError(Message("wizard-photo-no-file", path=str(path)))
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise GatewayError(Message("wizard-photo", path=str(path), error=os_error(error))) from None
    except RuntimeError:  # a home folder of nobody
        raise GatewayError(Message("wizard-photo-no-file", path=str(path))) from None
    if not size:
        raise GatewayError(Message("wizard-photo-empty", path=str(path)))
    return Photo(line(path.name), size, digest.digest())


def same_serial(plate: str, identity: str) -> bool:
    """Whether the number on a plate is one that the device tells; spaces, dashes and leading zeros do not count."""
    return _bare(plate) in map(_bare, device_numbers(identity))


def _bare(text: str) -> str:
    return "".join(c for c in text.upper() if c.isalnum()).lstrip("0")
