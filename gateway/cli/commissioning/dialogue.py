"""Dialogue at a terminal: the questions of `meterseal commission` and `exchange` in words, the values beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from gateway.commissioning.record.rows import plain
from gateway.commissioning.wizard.live import Live, LiveValue
from gateway.commissioning.wizard.questions import Question
from gateway.errors import GatewayError
from gateway.messages.message import Message

_PROMPTS: Final[Mapping[str, str]] = {
    "by": "who puts {meter} into service",
    "word_order": "which of them is what the display shows",
    "ct": "current transformer ratio of {meter}, such as 200/5 (1: none)",
    "pt": "voltage transformer ratio of {meter}, such as 10000/100 (1: none)",
    "role": "what the meter is there for",
    "reversed": "does it hang the wrong way round",
    "reversed_phase": "reason why that is right (empty: turn it round, and read the meter again)",
    "limits": "limits of a value, as in: voltage_ln 207 253 (- for an open end; empty: no more)",
    "plate_serial": "serial number on the plate (empty: none to be read)",
    "other_serial": "the device says {identity}; is {plate} on its plate all the same",
    "seals": "number of a seal (empty: no more)",
    "position": "where it stands (empty: nothing)",
    "photos": "file of a photo (empty: no more)",
    "label": "its name on the pages (empty: {meter})",
    "remarks": "remarks (empty: none)",
    "no_display": "reason why nothing can be compared (empty: ask again)",
    "differs": "reason why {point} differs",
    "serial": "serial number on the plate of the new device{optional}",
    "since_fall": "{points} decreased at {at}; has the new device been read since then",
    "final": "{point} in {unit}: last register of the old device, which showed {last} last (empty: not known)",
    "initial": "{point} in {unit}: first register of the new device",
    "reason": "reason of the exchange{none}",
}
_SHOWN: Final = 16
"""How many values are shown; `meterseal read` shows all."""


class TerminalDialogue:
    """Asks at the terminal. Raises click.Abort at Ctrl-C and at the end of the input."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._last: dict[str, str] = {}

    def ask(self, question: Question) -> str:
        default = self._last.get("by", question.default) if question.key == "by" else question.default
        text = self._text(question)
        if question.choices:
            text = f"{text} ({', '.join(question.choices)})"
        elif question.key in ("reversed", "other_serial", "since_fall"):
            text = f"{text} (yes, no)"
        given = str(click.prompt(text, default=default, show_default=bool(default), type=str))
        self._last[question.key] = given
        return given

    def answers(self, key: str) -> bool:
        return False

    def refused(self, question: Question, why: GatewayError) -> None:
        click.secho(str(why), fg="yellow")

    def tell(self, sentence: Message) -> None:
        click.secho(str(sentence), fg="cyan")

    def show(self, meter: str, live: Live) -> None:
        table = Table("point", "value", "unit", box=None)
        values = [value for value in live.values.values() if value.number is not None]
        for value in values[:_SHOWN]:
            table.add_row(value.point, plain(value.value), value.unit)
        self._out.print(table)
        if len(values) > _SHOWN:
            click.echo(f"  and {len(values) - _SHOWN} more")

    def _text(self, question: Question) -> str:
        if question.key == "display":
            value: LiveValue = question.facts["value"]
            how = "empty: not shown" if question.default == "" else "again, or: differs"
            return f"{value.point} is {plain(value.value)} {value.unit}; the display shows ({how})"
        optional = "" if question.default is None else " (empty: none to be read)"
        facts: dict[str, Any] = {"meter": question.meter, "point": question.point, "optional": optional}
        facts["none"] = "" if question.default is None else " (empty: none)"
        facts |= question.facts
        return _PROMPTS[question.key].format(**facts)
