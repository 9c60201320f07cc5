"""Answers file of a dialogue without a keyboard: the answers of each meter by the keys of their questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from gateway.commissioning.wizard.questions import KEYS, Question
from gateway.errors import ConfigError, GatewayError
from gateway.key_errors import closest
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.messages import Sentence
from ledger_client.text_file import NotText, NotToml, text_of, toml_of

_COMMON: Final = ("by", "position", "remarks")
"""Keys that may stand once for all meters, before the first of them."""
_TYPES: Final[Mapping[type, str]] = {str: "text", int: "number", bool: "true or false", dict: "table", list: "list"}


class Answers:
    """The answers of one meter; asked as a terminal is. A refused answer ends the commissioning."""

    def __init__(self, path: Path, meter: str, given: Mapping[str, Any]) -> None:
        self._path, self._meter, self._given = path, meter, given
        self._left = {key: list(value) for key, value in given.items() if isinstance(value, list)}
        self._left["limits"] = [" ".join([name, *map(str, _ends(ends))]) for name, ends in _limits(given).items()]
        self._typed: set[str] = set()

    @property
    def keys(self) -> frozenset[str]:
        """The questions that the file answers."""
        return frozenset(self._given)

    def demand_all_used(self) -> bool:
        """True. Raises ConfigError: the file has numbers of the display that nothing was compared with."""
        left = [point for point in self._given.get("display", ()) if point not in self._typed]
        if left:
            raise self._error("display", Message("answers-display-left", points=tuple(left)))
        return True

    def ask(self, question: Question) -> str:
        key = question.key
        if key in ("seals", "photos", "limits"):
            return str(left.pop(0)) if (left := self._left.get(key)) else ""
        if key == "display":
            return self._display(question)
        if key in ("differs", "final", "initial"):
            return self._of_point(key, question, missing=question.default)
        if key == "reversed_phase" and not self.answers(key):
            raise self._error(key, Message("answers-reversed-phase", why=question.facts["why"]))
        if key in self._given:
            value = self._given[key]
            if isinstance(value, bool):
                return "yes" if value else "no"
            return str(value)
        if key == "no_display" and "display" in self._given:
            raise self._error("display", Message("answers-not-compared", points=tuple(self._given["display"])))
        if question.default is None or key == "no_display":
            raise self._error(key, Message("answers-missing", meter=self._meter))
        return question.default

    def answers(self, key: str) -> bool:
        return bool(str(self._given.get(key, "")).strip())

    def refused(self, question: Question, why: GatewayError) -> None:
        differs = self._given.get("differs", {})
        if question.key == "display" and question.point in differs:
            return
        key = f"display, {question.point}" if question.key == "display" else question.key
        raise self._error(key, why.message or Message("wizard-answer", what=why.sentence))

    def tell(self, sentence: Message) -> None:
        """Nobody reads it; the record holds what was answered."""

    def show(self, meter: str, live: Any) -> None:
        """Nobody looks."""

    def _display(self, question: Question) -> str:
        if question.point in self._typed:
            return "differs"
        self._typed.add(question.point)
        return self._of_point("display", question, missing="")

    def _of_point(self, key: str, question: Question, missing: str | None = None) -> str:
        table = self._given.get(key, {})
        if question.point not in table and missing is None:
            raise self._error(f"{key}, {question.point}", Message("answers-missing", meter=self._meter))
        return str(table.get(question.point, missing))

    def _error(self, key: str, sentence: Sentence) -> ConfigError:
        return ConfigError(self._path, f"{self._meter}, {key}", sentence)


def read_answers(
    path: Path, meters: Iterable[str], keys: Mapping[str, type | tuple[type, ...]] = KEYS
) -> dict[str, Answers]:
    """The answers by meter, in the order of the file; ``keys``: what can be asked, with the types of the answers.

    Raises ConfigError: it cannot be read, a meter or a key that there is not, a value of another type.
    """
    raw = _document(path)
    known = tuple(meters)
    common = {key: value for key, value in raw.items() if not isinstance(value, dict)}
    shared = tuple(key for key in _COMMON if key in keys)
    for key in common:
        if key not in shared:
            _unknown(path, key, shared)
    _check(path, "", common, keys)
    found = {}
    for name, table in raw.items():
        if not isinstance(table, dict):
            continue
        if name not in known:
            _no_meter(path, name, known)
        _check(path, f"{name}, ", table, keys)
        photos = {"photos": [str(path.parent / str(p)) for p in table["photos"]]} if "photos" in table else {}
        found[name] = Answers(path, name, common | table | photos)
    if not found:
        raise ConfigError(path, "", Message("answers-none"))
    return found


def _document(path: Path) -> dict[str, Any]:
    try:
        return toml_of(text_of(path.read_bytes()), str)
    except OSError as error:
        raise ConfigError(path, "", Message("config-not-readable", error=os_error(error))) from None
    except NotText as error:
        raise ConfigError(path, "", error.sentence) from None
    except NotToml as error:
        raise ConfigError(path, "", Message("config-not-toml", error=error.sentence)) from None


def _check(path: Path, where: str, table: Mapping[str, Any], known: Mapping[str, type | tuple[type, ...]]) -> None:
    for key, value in table.items():
        wanted = known.get(key)
        if wanted is None:
            _unknown(path, f"{where}{key}", tuple(known))
        kinds = wanted if isinstance(wanted, tuple) else (wanted,)
        if type(value) not in kinds:
            names = tuple(_TYPES[kind] for kind in kinds)
            raise ConfigError(path, f"{where}{key}", Message("answers-type", kinds=names))
        for each in _parts(key, value):
            if type(each) not in (str, int):
                raise ConfigError(path, f"{where}{key}", Message("answers-part-type", value=str(each)))


def _parts(key: str, value: Any) -> Iterable[Any]:
    """What stands in a list or in a table; numbers with a point are texts by now, with all of their digits."""
    if isinstance(value, dict):
        return [part for each in value.values() for part in _ends(each)] if key == "limits" else value.values()
    return value if isinstance(value, list) else ()


def _ends(value: Any) -> list[Any]:
    """Both limits of a point, or the one answer that there is for it."""
    return value if isinstance(value, list) else [value]


def _limits(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return found if isinstance(found := given.get("limits"), dict) else {}


def _unknown(path: Path, where: str, known: tuple[str, ...]) -> NoReturn:
    key = where.split(", ")[-1]
    other = closest(key, known)
    if other is None:
        raise ConfigError(path, where, Message("answers-unknown", names=known))
    raise ConfigError(path, where, Message("answers-unknown-meant", other=other))


def _no_meter(path: Path, name: str, known: tuple[str, ...]) -> NoReturn:
    other = closest(name, known)
    if other is None:
        raise ConfigError(path, name, Message("answers-no-meter", meters=known))
    raise ConfigError(path, name, Message("answers-no-meter-meant", other=other))
