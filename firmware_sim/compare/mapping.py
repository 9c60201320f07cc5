"""``--map``: what the readings' names, columns and units are in the words of the log. TOML; every key may be left out.

[columns]                # the readings' column of the time, …
time = "ts"
[meters]                 # the readings' name = the log's
"Main" = "export-main"
[points]                 # of every meter, or of one
"U1" = "voltage_ln_l1"
"Main/P" = "active_power_total"
[factors]                # times this it is the log's number: kW × 1000 = W
"Main/P" = 1000
[ignore]                 # what is not compared
meters = ["weather"]
points = ["comment", "Main/alarm"]
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from firmware_sim.errors import CompareError

AGAIN: Final = (".first", ".second")
"""Behind a point's name in Meterseal's readings: the other of two looks at a counter, since it had jumped."""
COLUMNS: Final = ("time", "meter", "point", "value", "quality")
_TABLES: Final = ("columns", "meters", "points", "factors", "ignore")
_SMALLEST, _LARGEST = Decimal("1e-12"), Decimal("1e12")


@dataclass(frozen=True, slots=True)
class Names:
    """A ``--map`` file. Names are the readings'; those of points may have a meter before them: ``METER/POINT``."""

    columns: Mapping[str, str] = field(default_factory=dict)
    meters: Mapping[str, str] = field(default_factory=dict)
    points: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, Decimal] = field(default_factory=dict)
    ignored_meters: frozenset[str] = frozenset()
    ignored_points: frozenset[str] = frozenset()

    def meter(self, name: str) -> str:
        """A meter's name in the log."""
        return self.meters.get(name, name)

    def point(self, meter: str, name: str) -> str:
        """A point's name in the log."""
        name = name.removesuffix(AGAIN[0]).removesuffix(AGAIN[1])
        return self.points.get(f"{meter}/{name}", self.points.get(name, name))

    def factor(self, meter: str, point: str) -> Decimal | None:
        """What makes of the readings' number that of the log; None: it is the log's."""
        return self.factors.get(f"{meter}/{point}", self.factors.get(point))

    def ignores(self, meter: str, point: str) -> bool:
        """Whether a row is left out."""
        return meter in self.ignored_meters or point in self.ignored_points or f"{meter}/{point}" in self.ignored_points


def nearest(word: str, known: Iterable[str], *, fix: str = "") -> str:
    """The fix of an unknown name: the nearest that is known, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, 1, 0.5)
    first = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
    return f"{first} {fix}".strip()


def read_names(path: Path) -> Names:
    """A ``--map`` file. Raises ``CompareError``."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise CompareError(f"{path}: {error.strerror or error}", "check the path and its permissions") from None
    except UnicodeDecodeError as error:
        raise CompareError(f"{path}: byte {error.start} is not UTF-8", "save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise CompareError(f"{path}: not valid TOML: {error}", "correct that line") from None
    return _Check(path).names(table)


class _Check:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self, table: dict[str, Any]) -> Names:
        for key in table:
            if key not in _TABLES:
                raise self._refuse(f"no such table: {key!r}", nearest(key, _TABLES))
        columns = self._texts(table, "columns")
        for column in columns:
            if column not in COLUMNS:
                raise self._refuse(f"columns.{column}: no such column", nearest(column, COLUMNS))
        meters, points = self._texts(table, "meters"), self._texts(table, "points")
        self._once("meters", meters)
        of_all = {name: point for name, point in points.items() if "/" not in name}
        self._once("points", of_all)
        for meter in {name.partition("/")[0] for name in points if "/" in name}:
            self._once(
                "points", of_all | {n.partition("/")[2]: p for n, p in points.items() if n.startswith(f"{meter}/")}
            )
        ignored = self._table(table, "ignore")
        for key in ignored:
            if key not in ("meters", "points"):
                raise self._refuse(f"ignore.{key}: no such key", nearest(key, ("meters", "points")))
        factors = {name: self._factor(name, value) for name, value in self._table(table, "factors").items()}
        return Names(
            columns,
            meters,
            points,
            factors,
            self._list(ignored, "meters"),
            self._list(ignored, "points"),
        )

    def _factor(self, name: str, value: Any) -> Decimal:
        where = f"factors.{name}"
        fix = "give a number that makes the log's of the readings': 1000 where they are in kW and the log is in W"
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self._refuse(f"{where}: {value!r} is no number", fix)
        factor = Decimal(value)
        if not factor.is_finite() or not factor:
            raise self._refuse(f"{where}: by {value} every value would be the same", fix)
        if not _SMALLEST <= abs(factor) <= _LARGEST:
            raise self._refuse(f"{where}: no two units are {value} apart", fix)
        return factor

    def _once(self, where: str, names: Mapping[str, str]) -> None:
        seen: dict[str, str] = {}
        for name, other in names.items():
            if other in seen:
                problem = f"{where}: {seen[other]!r} and {name!r} are both {other!r}"
                raise self._refuse(problem, "compare one of them, and put the other into [ignore]")
            seen[other] = name

    def _table(self, table: dict[str, Any], key: str) -> dict[str, Any]:
        found = table.get(key, {})
        if not isinstance(found, dict):
            raise self._refuse(f"{key} is no table", f"write [{key}]")
        return found

    def _texts(self, table: dict[str, Any], key: str) -> dict[str, str]:
        found = self._table(table, key)
        for name, value in found.items():
            if not isinstance(value, str) or not value:
                raise self._refuse(f"{key}.{name}: {value!r} is no name", 'write a text: "name"')
        return found

    def _list(self, table: dict[str, Any], key: str) -> frozenset[str]:
        found = table.get(key, [])
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise self._refuse(f"ignore.{key} is no list of names", f'write {key} = ["name"]')
        return frozenset(found)

    def _refuse(self, problem: str, fix: str) -> CompareError:
        return CompareError(f"{self._path}: {problem}", fix)
