"""Profile from a CSV table of registers, as manuals and spreadsheets have it: taken whole, or refused by line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from gateway.cli.profiles.csv_columns import COLUMNS, OTHER_NAMES
from gateway.devices.points import Profile, ProfileError, nearest
from gateway.devices.profile import NotToml, profile_of, toml_of
from gateway.devices.profile_keys import DEMANDED, POINT_2, Wrong
from gateway.devices.profile_rules import unit_fault
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.csv_cells import plain_text
from ledger_client.messages import Sentence

BASES: Final = ("0", "1", "4xxxx")
"""How a table counts registers: from 0 as on the wire, from 1, or from 1 behind the digit of the table (40001)."""
LARGEST: Final = 4_000_000
"""Bytes of a file that is read."""
_TABLES: Final = {"0": 1, "1": 2, "3": 4, "4": 3}
"""Function code by the digit in front of a register."""
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(?:[.,][0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?")
_WHOLE: Final = re.compile(r"[+-]?(?:[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16})")
_REFERENCES: Final = ("about", "factor_from", "scale_from", "sign_from", "sum")
"""Keys of a point that name others."""
ANY_UNIT: Final = "count"
"""In place of a unit that is none, to see what else is wrong with the point."""


@dataclass(slots=True)
class _Row:
    """A line as a point. ``signs``: the decimal signs that its numbers have."""

    line: int
    name: str
    keys: dict[str, Any] = field(default_factory=dict)
    signs: set[str] = field(default_factory=set)


class Refused(Exception):
    """Lines that cannot be taken, each with its number and the way out; nothing of the file is."""

    def __init__(self, problems: list[Message], lines: int) -> None:
        super().__init__(f"{lines} lines")
        self.problems, self.lines = problems, lines


def read_csv(path: Path, base: str) -> Profile:
    """The points of a file as a profile, whose other keys are still to be said.

    Args:
        base: one of ``BASES``.

    Raises:
        GatewayError: the file cannot be read.
        Refused: it is no such table, or has bad lines.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise GatewayError(Message("csv-unreadable", file=str(path), error=os_error(error))) from None
    return _Table(path, base).profile(data)


class _Table:
    """One file. Every problem names its line."""

    def __init__(self, path: Path, base: str) -> None:
        self._file, self._base = str(path), base
        self._name = re.sub("[^A-Za-z0-9._-]", "-", path.stem) or "profile"
        self._by_address = ("fc",) if base == "4xxxx" else ()
        self._problems: list[tuple[int, Message]] = []
        self._cells = set[tuple[int, str]]()

    def profile(self, data: bytes) -> Profile:
        text = self._text(data)
        lines = self._lines(text)
        line, header = next(lines, (1, []))
        columns = self._columns(line, header)
        found = [row for line, cells in lines if (row := self._row(line, columns, cells))]
        self._alike(found)
        self._same_sign(found)
        if not found and not self._problems:
            self._add(line + 1, Message("csv-no-points"))
        profile = self._whole(found) if set(DEMANDED["modbus"]) <= {*columns, *self._by_address} else None
        self._end()
        assert profile is not None
        return profile

    def _add(self, line: int, what: Sentence, column: str = "") -> None:
        file = self._file
        sentence = Message("csv-line", file=file, line=line, what=what)
        if column:
            sentence = Message("csv-cell", file=file, line=line, column=column, what=what)
        self._problems.append((line, sentence))
        self._cells.add((line, column))

    def _end(self) -> None:
        if self._problems:
            found = sorted(self._problems, key=lambda each: each[0])
            raise Refused([sentence for _, sentence in found], len({line for line, _ in found}))

    def _text(self, data: bytes) -> str:
        if len(data) > LARGEST:
            self._add(data[:LARGEST].count(b"\n") + 1, Message("csv-too-long", limit_bytes=LARGEST))
            self._end()
        data = data.removeprefix(b"\xef\xbb\xbf")
        try:
            text = data.decode()
            bad = text.find("\0")
        except UnicodeDecodeError as error:
            text, bad = "", error.start
            self._add(data[:bad].count(b"\n") + 1, Message("csv-not-utf8"))
        if text and bad >= 0:
            self._add(text[:bad].count("\n") + 1, Message("csv-not-utf8"))
        self._end()
        return text

    def _lines(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Each line that is not empty, with its number; a quoted cell may go over several."""
        head = text.lstrip("\r\n").split("\n", 1)[0]
        delimiter = max(",;\t", key=head.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = [cell.strip() for cell in next(reader)]
            except StopIteration:
                return
            except csv.Error:
                self._add(line, Message("csv-quotes"))
                return
            if any(cells):
                yield line, cells

    def _columns(self, line: int, header: list[str]) -> list[str]:
        """What each column is; "" for one that is not taken."""
        names = [cell.lower() for cell in header]
        while names and not names[-1]:
            names.pop()
        columns = list[str]()
        for name in names:
            column = OTHER_NAMES.get(name, name)
            if column not in COLUMNS:
                self._add(line, Message("csv-column", column=name, hint=nearest(name, [*COLUMNS])))
            elif column in columns:
                self._add(line, Message("csv-column-twice", column=column))
            columns.append(column if column in COLUMNS and column not in columns else "")
        for column in ("name", *DEMANDED["modbus"]):
            if column not in (*columns, *self._by_address):
                self._add(line, Message("csv-column-missing", column=column))
        if "name" not in columns:  # no line could be taken, and each would say so
            self._end()
        return columns

    def _row(self, line: int, columns: list[str], cells: list[str]) -> _Row | None:
        while len(cells) > len(columns) and not cells[-1]:
            cells.pop()
        if len(cells) != len(columns):
            self._add(line, Message("csv-cells", n=len(cells), columns=len(columns)))
            return None
        filled = {column: _plain(column, cell) for column, cell in zip(columns, cells, strict=True) if column and cell}
        if "name" not in filled:
            self._add(line, Message("csv-no-name"), "name")
            return None
        row = _Row(line, filled.pop("name"))
        for column, cell in filled.items():
            try:
                self._take(row, column, cell)
            except Wrong as wrong:
                self._add(line, Message("profile-value", value=cell[:80], rule=wrong.rule), column)
        if (unit := row.keys.get("unit")) and (fault := unit_fault(unit)) is not None:
            self._add(line, fault, "unit")
            row.keys["unit"] = ANY_UNIT
        return row

    def _take(self, row: _Row, column: str, cell: str) -> None:
        """One cell as a key of the point. Raises Wrong."""
        if column == "address":
            fc, address = self._address(cell)
            if fc is not None and row.keys.setdefault("fc", fc) != fc:
                raise Wrong(Message("csv-other-table", fc=fc))
            row.keys["address"] = POINT_2["address"](address)
            return
        value = _value(row, column, cell)
        if column == "fc" and row.keys.get("fc", value) != value:
            raise Wrong(Message("csv-other-table", fc=row.keys["fc"]))
        POINT_2[column](value)
        row.keys[column] = value

    def _address(self, cell: str) -> tuple[int | None, int]:
        """Function code, where the register says it, and the address from 0. Raises Wrong."""
        if self._base != "4xxxx":
            return None, _whole(cell) - int(self._base)
        if not re.fullmatch("[0134][0-9]{4,5}", cell) or int(cell[1:]) == 0:
            raise Wrong(Message("csv-table-digit"))
        return _TABLES[cell[0]], int(cell[1:]) - 1

    def _alike(self, rows: list[_Row]) -> None:
        first: dict[str, int] = {}
        for row in rows:
            if row.name in first:
                self._add(row.line, Message("csv-name-twice", name=row.name, line=first[row.name]), "name")
            first.setdefault(row.name, row.line)

    def _same_sign(self, rows: list[_Row]) -> None:
        """A file whose numbers have one decimal sign only: with both, 1.000 may be a thousand."""
        first: dict[str, int] = {}
        for row in rows:
            for sign in sorted(row.signs):
                first.setdefault(sign, row.line)
                if len(first) > 1:
                    other = "," if sign == "." else "."
                    self._add(row.line, Message("csv-decimal-signs", sign=sign, other=other, line=first[other]))
                    return

    def _alone(self, row: _Row, rows: dict[str, _Row]) -> None:
        """Add each rule that the keys of a point break, beside the points that it names. A key that is named is taken
        out to see the next one; where the point is none without it, that is the last."""
        named, keys = _reached(row, rows), dict(row.keys)
        seen = {column for line, column in self._cells if line == row.line}
        seen |= {*self._by_address} if "address" in seen else set()
        seen |= {"from_unit", "wire_unit"} if "unit" in seen else set()
        while (error := self._refusal({**named, row.name: keys})) is not None:
            column = error.key.removeprefix(f"points.{row.name}").lstrip(".").partition(".")[0]
            if not f"{error.key}.".startswith(f"points.{row.name}."):
                return  # another line's
            is_new = column not in seen
            if is_new:
                self._add(row.line, error.what, column if column in COLUMNS else "")
            seen.add(column)
            if is_new and column == "kind" and column not in keys:
                keys[column] = "gauge"
            elif keys.pop(column, None) is None:
                return

    def _whole(self, found: list[_Row]) -> Profile | None:
        """The rules between the keys of points, and between points: each line that breaks one, but none only because it
        names a line that does."""
        rows = {row.name: row for row in reversed(found)}
        for row in found:
            self._alone(row, rows)
        bad = {line for line, _ in self._problems}
        left = {row.name: row for row in found if row.line not in bad}
        gone = set(rows) - set(left)
        while left:
            error = self._refusal({row.name: row.keys for row in left.values()})
            if error is None:
                break
            row = _named(error.key, left)
            column = error.key.removeprefix(f"points.{row.name}").lstrip(".")
            if not gone & {name for key in _REFERENCES for name in _names(row.keys.get(key, ()))}:
                self._add(row.line, error.what, column if column in COLUMNS else "")
            gone.add(row.name)
            del left[row.name]
        return None if gone or not left else self._profile({row.name: row.keys for row in left.values()})

    def _refusal(self, points: dict[str, dict[str, Any]]) -> ProfileError | None:
        try:
            self._profile(points)
        except ProfileError as error:
            return error
        return None

    def _profile(self, points: dict[str, dict[str, Any]]) -> Profile:
        """Raises ProfileError."""
        head = {"format": 2, "vendor": "?", "device": "?", "source": f"CSV file {Path(self._file).name}"}
        return profile_of({**head, "points": points}, self._name, self._file)


def _reached(row: _Row, rows: dict[str, _Row]) -> dict[str, dict[str, Any]]:
    """The keys of the points that a point names, and of those that these name."""
    found, left = dict[str, dict[str, Any]](), [row]
    while left:
        keys = left.pop().keys
        for name in (name for key in _REFERENCES for name in _names(keys.get(key, ()))):
            if name in rows and name not in found and name != row.name:
                found[name] = rows[name].keys
                left.append(rows[name])
    return found


def _named(key: str, rows: dict[str, _Row]) -> _Row:
    """The line that an error is about; names may have dots. The first where it is about none."""
    found = [row for row in rows.values() if f"{key}.".startswith(f"points.{row.name}.")]
    return max(found, key=lambda row: len(row.name)) if found else next(iter(rows.values()))


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _plain(column: str, cell: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from taking text for a formula."""
    return plain_text(cell) if COLUMNS[column] == "text" else cell


def _value(row: _Row, column: str, cell: str) -> Any:
    """A cell as a profile's TOML would say it. Raises Wrong."""
    form = COLUMNS[column]
    if form == "whole":
        return _whole(cell)
    if form == "number":
        return _number(row, cell)
    if form == "flag":
        if cell.lower() not in _FLAGS:
            raise Wrong(Message("profile-true-false"))
        return _FLAGS[cell.lower()]
    if form == "names":
        return cell.split()
    if form == "wholes":
        return [_whole(word) for word in cell.split()]
    if form == "toml":
        return _toml(cell)
    return cell.lower() if form == "word" else cell


def _whole(cell: str) -> int:
    if not _WHOLE.fullmatch(cell):
        raise Wrong(Message("csv-whole"))
    return int(cell, 16 if "x" in cell.lower() else 10)


def _number(row: _Row, cell: str) -> Any:
    if "/" in cell:
        return cell
    if not _NUMBER.fullmatch(cell):
        raise Wrong(Message("csv-number"))
    if re.fullmatch("[+-]?[1-9][0-9]{0,2},[0-9]{3}", cell):
        raise Wrong(Message("csv-thousand", whole=cell.replace(",", ""), parted=cell.replace(",", ".")))
    row.signs |= {sign for sign in ".," if sign in cell}
    return Decimal(cell.replace(",", "."))


def _toml(cell: str) -> Any:
    try:
        table = toml_of(f"x = {cell}", Decimal)
    except NotToml:
        table = {}
    if list(table) != ["x"]:
        raise Wrong(Message("csv-toml"))
    return table["x"]
