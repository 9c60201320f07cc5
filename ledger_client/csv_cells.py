"""Cells of CSV that no spreadsheet takes for a formula. Pure.

A cell that begins with one of ``= + - @`` (full-width, too), a tab or a line's end is a formula to a spreadsheet,
whatever its quotes, and a formula may start a program: such cells get an apostrophe in front. Numbers keep their sign.
"""

from __future__ import annotations

import re
from typing import Final

_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r\n＝＋－＠]")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")


def text_cell(text: str) -> str:
    """Text of a meter or a person, also one that looks like a number."""
    return f"'{text}" if _FORMULA.match(text) else text


def plain_text(cell: str) -> str:
    """What ``text_cell`` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def cell(text: str) -> str:
    """Text or a decimal number, where the caller has both as text."""
    return text if _NUMBER.fullmatch(text) else text_cell(text)
