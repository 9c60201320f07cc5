"""Steps of a plant as JSON has them, so that a later run of the same plant goes on where this one was. Pure.

Whole numbers and floats come back as they were, so every later step is the same as without the interruption.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

STEP_EVERY_S, ALL_FOR_S, HOURLY_FOR_S = 600, 86_400, 7 * 86_400

T = TypeVar("T")


def is_worth_keeping(second: int, now_s: int) -> bool:
    """Whether the step of a second is kept: one of every ten minutes for a day, of every hour for a week, and of every
    day for good. From these a look back is made again."""
    age_s = now_s - second
    return age_s <= ALL_FOR_S or second % 86_400 == 0 or (second % 3600 == 0 and age_s <= HOURLY_FOR_S)


def plain(step: Any) -> Any:
    """A step, and what it consists of, as JSON has it: lists of numbers."""
    if is_dataclass(step):
        return [plain(getattr(step, each.name)) for each in fields(step)]
    return [plain(each) for each in step] if isinstance(step, tuple) else step


def alike(row: Any, like: T) -> T:
    """The step that ``plain`` wrote.

    Args:
        row: as read.
        like: another step of the same plant.

    Raises:
        ValueError: it is none of this plant.
    """
    made: Any
    if is_dataclass(like) and not isinstance(like, type):
        made = type(like)(*_each(row, [getattr(like, each.name) for each in fields(like)]))
    elif isinstance(like, tuple):
        made = tuple(_each(row, list(like)))
    elif type(row) not in (int, float) or not math.isfinite(row):
        raise ValueError(f"{row!r} is no number")
    else:
        made = row
    found: T = made
    return found


def _each(row: Any, likes: list[Any]) -> list[Any]:
    if not isinstance(row, list) or len(row) != len(likes):
        raise ValueError(f"not {len(likes)} values")
    return [alike(each, like) for each, like in zip(row, likes, strict=True)]
