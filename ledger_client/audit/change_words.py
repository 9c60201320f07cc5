"""Changes of the configuration in words: a line for each meter and field, with the time of every value. No I/O.

Two values never look alike: letters beyond ASCII are escapes, since those of another script may resemble them, and long
values are cut only where they differ before the cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ledger_client.audit.result import Change
from ledger_client.times import rfc3339

MOST: Final = 6
"""So many changes of one field are put in words; --json has all of them."""
_WIDE, _WIDE_HASH = 80, 16


def changes_in_words(changes: Sequence[Change]) -> Iterator[str]:
    """A line for each meter and field that was changed, the whole configuration first."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        groups.setdefault((change.meter or "", change.field), []).append(change)
    for (meter, field), those in sorted(groups.items()):
        yield f"{meter or 'the configuration'}, {field}: {_course(field, those)}"


def _course(field: str, changes: Sequence[Change]) -> str:
    """The values in order, each until when it was changed."""
    shown, left = changes[:MOST], len(changes) - MOST
    values = _apart(field, [shown[0].before, *(change.after for change in shown)])
    how = ["", *(" without a meter-exchange" if change.exchange is False else "" for change in shown)]
    said = [value + extra for value, extra in zip(values, how, strict=True)]
    ended = [f"{one} until {rfc3339(change.since)}" for one, change in zip(said, shown, strict=False)]
    last = f"{said[-1]}, and {left} changes more: --json has all" if left > 0 else said[-1]
    return f"{', '.join(ended)}, then {last}"


def _apart(field: str, values: Sequence[Any]) -> list[str]:
    wide = _WIDE_HASH if isinstance(values[0], bytes) else _WIDE
    texts = [one.encode("ascii", "backslashreplace").decode() for one in _texts(field, values)]
    short = [one if len(one) <= wide else f"{one[:wide]}…" for one in texts]
    return short if len({*short}) == len({*texts}) else texts


def _texts(field: str, values: Sequence[Any]) -> list[str]:
    if field == "ratios":
        changed = sorted({key for some in values for key in some if any(o.get(key) != some[key] for o in values)})
        return [", ".join(f"{key} {some[key]}" if key in some else f"no {key}" for key in changed) for some in values]
    return [_text(field, value) for value in values]


def _text(field: str, value: Any) -> str:
    if field == "configured":
        return "in the configuration" if value else "out of the configuration, where nothing is due,"
    if field == "period":
        return f"{value / 1000:g} s"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
